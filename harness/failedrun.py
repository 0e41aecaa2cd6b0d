"""Why the tasks of a DAG run failed, asked as soon as it is judged: what was watched of its pods is still known.

Pods of a run are short-lived. Their states and logs come from the follower, which has kept them from the first line
on; only events and Airflow's task logs are asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from harness.airflow.logs import log_lines
from harness.airflow.values import TaskInfo
from harness.diagnostics.catalogue import UNKNOWN
from harness.diagnostics.diagnose import diagnose
from harness.diagnostics.evidence import Evidence
from harness.dvc import Verdict
from harness.errors import EnvironmentFailed, HarnessError
from harness.model import BlockedEgress, Diagnosis, PipelineRun
from harness.names import AIRFLOW_NAMESPACE

_log = logging.getLogger(__name__)
_TASKS_CHECK: Final = "tasks.succeeded"
_FAILED: Final = "failed"
_MOST: Final = 3
JsonObject = Mapping[str, Any]
Answer = TypeVar("Answer")


class Followed(Protocol):
    """What of `PodFollower` this needs."""

    def manifests(self) -> Mapping[str, JsonObject]:
        """See `PodFollower.manifests`."""

    def logs(self, pod: str) -> Mapping[str, tuple[str, ...]]:
        """See `PodFollower.logs`."""


class Events(Protocol):
    """What of `KubeApi` this needs."""

    def list(self, kind: str, namespace: str | None = None, /) -> Sequence[JsonObject]:
        """See `KubeApi.list`."""


class Tasks(Protocol):
    """What of `AirflowApi` this needs."""

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInfo, ...]:
        """See `AirflowApi.task_instances`."""

    def task_logs(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> tuple[str, ...]:
        """See `AirflowApi.task_logs`."""


def causes(
    verdict: Verdict,
    run: PipelineRun,
    follower: Followed,
    *,
    kube: Events,
    api: Tasks,
    blocked: Iterable[BlockedEgress] = (),
) -> tuple[Diagnosis, ...]:
    """The likeliest causes that are recognised; none where no task failed. Not redacted.

    Args:
        verdict: On the run.
        run: What was seen of it.
        follower: Of its pods.
        kube: Gives the events.
        api: Gives the logs of the tasks that failed.
        blocked: What pods tried to reach outside the cluster while it lasted.
    """
    words = next((check.explanation for check in verdict.failures if check.id == _TASKS_CHECK), None)
    if words is None:
        return ()
    outcome = run.outcome
    failed = {task.task_id for task in outcome.tasks.values() if task.state == _FAILED}
    evidence = of_failed_pods(
        words,
        pods=follower.manifests(),
        # An executor's pod succeeds where its task fails.
        executors={name for name, pod in run.pods.items() if pod.role == "executor" and pod.task_id in failed},
        logs=follower.logs,
        events=_asked("events", lambda: kube.list("Event", AIRFLOW_NAMESPACE)) or (),
        tasks=_asked("task logs", lambda: _task_logs(api, outcome.dag_id, outcome.run_id)) or {},
        blocked=blocked,
    )
    return tuple(found for found in diagnose(evidence) if found.code != UNKNOWN)[:_MOST]


def of_failed_pods(
    words: str,
    *,
    pods: Mapping[str, JsonObject],
    logs: Callable[[str], Mapping[str, Iterable[str]]],
    executors: Collection[str] = (),
    events: Iterable[JsonObject] = (),
    tasks: Mapping[str, str] | None = None,
    blocked: Iterable[BlockedEgress] = (),
) -> Evidence:
    """What is about tasks that failed, so that nothing else is taken for the cause.

    Args:
        words: What the verdict says of them.
        pods: The last object seen of each pod of the run, by name, also of those that are gone.
        logs: Lines by container of one of them.
        executors: Names of those that ran Airflow's part of the tasks that failed.
        events: Of their namespace, also about other things.
        tasks: Airflow's logs of the tasks that failed.
        blocked: What pods tried to reach outside the cluster.

    Returns:
        The pods that did not succeed, their events and logs, those of the tasks, and the verdict's words.
    """
    lost = {
        name: pod
        for name, pod in pods.items()
        if (pod.get("status") or {}).get("phase") != "Succeeded" or name in executors
    }
    places = {f"{AIRFLOW_NAMESPACE}/{name}" for name in lost}
    # The second pod of one name is "name~2" to the follower, and not to the cluster.
    known, lost_names = ({str(pod["metadata"]["name"]) for pod in of.values()} for of in (pods, lost))
    about = [
        (event, str((event.get("involvedObject") or event.get("regarding") or {}).get("name"))) for event in events
    ]
    return Evidence(
        error=HarnessError("the DAG run failed", evidence={"the verdict": words.replace("; ", "\n")}),
        pods=list(lost.values()),
        # One that the follower has not seen may stand in the verdict's words.
        events=[event for event, name in about if name in lost_names or (name not in known and f"/{name}" in words)],
        logs={
            **{
                f"pod {AIRFLOW_NAMESPACE}/{name}, container {container}": "\n".join(_readable(lines))
                for name in lost
                for container, lines in logs(name).items()
            },
            **(tasks or {}),
        },
        blocked=[attempt for attempt in blocked if attempt.pod in places],
    )


def _readable(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a log; where Airflow has written one as JSON, as its API would give it."""
    for line in lines:
        message = None
        if line.startswith("{"):
            with suppress(ValueError):
                message = json.loads(line)
        yield from log_lines([message]) if isinstance(message, dict) and "event" in message else [line]


def _task_logs(api: Tasks, dag_id: str, run_id: str) -> dict[str, str]:
    """Of the last try of each task instance that failed."""
    found = {}
    for task in api.task_instances(dag_id, run_id):
        if task.state == _FAILED and task.try_number > 0:
            mapped = f"[{task.map_index}]" if task.map_index >= 0 else ""
            lines = api.task_logs(dag_id, run_id, task.task_id, try_number=task.try_number, map_index=task.map_index)
            found[f"task {task.task_id}{mapped}"] = "\n".join(lines)
    return found


def _asked(what: str, question: Callable[[], Answer]) -> Answer | None:
    """An answer that helps to tell the cause; without it the verdict stands all the same."""
    try:
        return question()
    except EnvironmentFailed as error:
        _log.warning("the cause of a failed run is looked for without %s: %s", what, error.message)
        return None
