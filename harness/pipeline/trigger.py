"""Triggers the DAG and follows the run to its end, or to the first thing from which it cannot end well.

A DAG run that fails is a result, returned like one that succeeds: the verdict is about it. What ends the wait with
an error is the environment's fault or nobody's yet: a pod that cannot start, a task that nobody picks up, a pod
that is over while Airflow still calls its task running.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from harness.airflow.runids import new_logical_date
from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagInfo, Health, TaskInfo
from harness.errors import EnvironmentFailed, WaitFailed, WaitTimeout
from harness.model import DagRunOutcome, PipelineRun, PodEvidence, Seeded, TaskOutcome
from harness.pipeline.stuck import StuckTasks
from harness.wait import Waiter

FINISHED: Final = frozenset({"success", "failed"})
_LOST: Final = frozenset({"failed", "upstream_failed"})
# Of each log, for the reader of an error: whole logs are in the evidence folder. Airflow's own lines are long JSON.
_TAIL_LINES: Final = 12
_LINE_CHARACTERS: Final = 300


class RunApi(Protocol):
    """What of `AirflowApi` a run needs."""

    def require_dag(self, dag_id: str) -> DagInfo:
        """See `AirflowApi.require_dag`."""

    def trigger(
        self, dag_id: str, run_id: str, *, logical_date: datetime | None, conf: Mapping[str, Any] | None = None
    ) -> None:
        """See `AirflowApi.trigger`."""

    def unpause(self, dag_id: str) -> None:
        """See `AirflowApi.unpause`."""

    def run_state(self, dag_id: str, run_id: str) -> str:
        """See `AirflowApi.run_state`."""

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInfo, ...]:
        """See `AirflowApi.task_instances`."""

    def task_logs(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> tuple[str, ...]:
        """See `AirflowApi.task_logs`."""

    def health(self) -> Health:
        """See `AirflowApi.health`."""


class Follower(Protocol):
    """What of `PodFollower` a run needs."""

    run_id: str

    def check(self) -> None:
        """See `PodFollower.check`."""

    def evidence(self) -> dict[str, PodEvidence]:
        """See `PodFollower.evidence`."""

    def logs(self, pod: str) -> dict[str, tuple[str, ...]]:
        """See `PodFollower.logs`."""

    def fatal(self) -> Mapping[str, str]:
        """See `PodFollower.fatal`."""

    def settle(self, waiter: Waiter, *, timeout: float = 20.0) -> bool:
        """See `PodFollower.settle`."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """One look at the run."""

    state: str
    tasks: tuple[TaskInfo, ...]
    fault: str | None

    @property
    def lost(self) -> tuple[TaskInfo, ...]:
        return tuple(task for task in self.tasks if task.state in _LOST)

    def __str__(self) -> str:
        tasks = ", ".join(f"{task.task_id} {task.state}" for task in self.tasks)
        return f"{self.state}: {tasks}" if tasks else self.state


def run_pipeline(
    api: RunApi,
    follower: Follower,
    seeded: Seeded,
    dag_id: str,
    *,
    waiter: Waiter,
    conf: Mapping[str, Any] | None = None,
    with_logical_date: bool = True,
    timeout: float = 600.0,
    raise_on_failure: bool = False,
) -> PipelineRun:
    """Trigger a run and follow it to its end.

    Args:
        api: Airflow.
        follower: Of the run's pods, already started; its `run_id` becomes the run's.
        seeded: What the run starts from; handed on.
        dag_id: The DAG, ready to be triggered (`readiness.wait_for_dag`).
        waiter: How patient to be.
        conf: The run's configuration.
        with_logical_date: Whether the run has a logical date; a DAG that uses `{{ ds }}` needs one.
        timeout: Seconds for the whole run, before the waiter's patience is applied.
        raise_on_failure: Raise `WaitFailed` for a failed run, instead of returning it.

    Returns:
        The run, its pods and how it ended. A task that has failed for good ends it at once.

    Raises:
        WaitFailed: A pod cannot come to work, a task is stuck, or (`raise_on_failure`) the run failed.
        WaitTimeout: The run has not ended in time.
        EnvironmentFailed: Airflow or the API server does not answer.
    """
    run_id = follower.run_id
    what = f"run {run_id} of DAG {dag_id}"
    dag = api.require_dag(dag_id)
    # First the run, then unpausing: a DAG with a schedule starts a run of its own as soon as it is unpaused, and
    # with max_active_runs=1 ours would queue behind it.
    api.trigger(dag_id, run_id, logical_date=new_logical_date() if with_logical_date else None, conf=conf)
    if dag.is_paused:
        api.unpause(dag_id)
    stuck = StuckTasks(waiter.clock, patience=waiter.patience)

    def probe() -> _Progress:
        follower.check()
        state, tasks = api.run_state(dag_id, run_id), api.task_instances(dag_id, run_id)
        faults = follower.fatal()
        fault = next(iter(faults.values()), None)
        if fault is None and state not in FINISHED:
            fault = stuck.reason(state, tasks, follower.evidence(), api.health)
        return _Progress(state, tasks, fault)

    try:
        progress = waiter.until(
            what,
            probe,
            # What has ended has ended, whatever became of a pod of an earlier try.
            ready=lambda seen: seen.state in FINISHED or bool(seen.lost),
            failed=lambda seen: seen.fault if seen.state not in FINISHED else None,
            describe=str,
            timeout=timeout,
            interval=1.0,
            transient=(AirflowUnavailable,),
            next_step="see the task logs and the pods' logs and events",
        )
    except (WaitFailed, WaitTimeout) as error:
        error.evidence.update(pod_report(follower))
        raise
    state = progress.state if progress.state in FINISHED else _final_state(api, dag_id, run_id, waiter)
    follower.settle(waiter)
    follower.check()
    faults = follower.fatal()
    if state != "success" and faults:
        # Airflow may have given the pod up before the look at it: the same cause, the same error.
        broken = WaitFailed(what=what, reason=next(iter(faults.values())), next_step="see the pods' events")
        broken.evidence.update(pod_report(follower))
        raise broken
    tasks = _outcomes(api.task_instances(dag_id, run_id))
    outcome = DagRunOutcome(dag_id=dag_id, run_id=run_id, state=state, tasks=tasks)
    if raise_on_failure and state != "success":
        failed = WaitFailed(what=what, reason=failure_reason(outcome), next_step="see the task log below")
        failed.evidence.update(failure_report(api, follower, outcome))
        raise failed
    return PipelineRun(seeded=seeded, outcome=outcome, pods=follower.evidence())


def failure_reason(outcome: DagRunOutcome) -> str:
    """In a few words which tasks failed, those first that did so themselves."""
    own = [task for task in outcome.tasks.values() if task.state == "failed"]
    if not own:
        return f"the run ended {outcome.state!r}, and no task of it failed"
    names = ", ".join(f"{task.task_id} (try {task.try_number})" for task in own)
    return f"the run ended {outcome.state!r}: failed {names}"


def failure_report(api: RunApi, follower: Follower, outcome: DagRunOutcome) -> dict[str, str]:
    """Why a run failed, for the reader: the end of each failed task's log, and what its pods said last.

    Airflow's task logs are not redacted here; whoever writes them down does.
    """
    report: dict[str, str] = {}
    for task in outcome.tasks.values():
        if task.state != "failed":
            continue
        try:
            lines = api.task_logs(outcome.dag_id, outcome.run_id, task.task_id, try_number=max(task.try_number, 1))
        except EnvironmentFailed as error:
            lines = (error.message,)
        report[f"log of task {task.task_id}"] = "\n".join(_tail(lines)) or "empty"
    return {**report, **pod_report(follower)}


def pod_report(follower: Follower) -> dict[str, str]:
    """The state and the last lines of each pod that did not succeed, by pod name, and every fatal state."""
    report = {f"pod {name} cannot start": reason for name, reason in follower.fatal().items()}
    for name, pod in follower.evidence().items():
        if pod.phase == "Succeeded":
            continue
        tails = [f"[{container}] {line}" for container, lines in follower.logs(name).items() for line in _tail(lines)]
        report[f"pod {name} ({pod.role} of {pod.task_id}, {pod.phase})"] = "\n".join(tails) or "no log"
    return report


def _tail(lines: Sequence[str]) -> list[str]:
    """The last lines of a log, the long ones cut."""
    return [
        line if len(line) <= _LINE_CHARACTERS else f"{line[: _LINE_CHARACTERS - 3]}..." for line in lines[-_TAIL_LINES:]
    ]


def _final_state(api: RunApi, dag_id: str, run_id: str, waiter: Waiter) -> str:
    """The state of a run one of whose tasks has failed for good; the scheduler needs a moment to say so.

    A run with tasks that go on whatever happens (trigger rules such as `all_done`) is not waited for: a lost task
    makes it failed for our purposes.
    """
    try:
        return waiter.until(
            f"the end of run {run_id}",
            lambda: api.run_state(dag_id, run_id),
            ready=lambda state: state in FINISHED,
            timeout=15.0,
            transient=(AirflowUnavailable,),
        )
    except WaitTimeout:
        return "failed"


def _outcomes(tasks: Sequence[TaskInfo]) -> dict[str, TaskOutcome]:
    """By task id; of a mapped task each instance, and under the plain id the first that did not succeed."""
    outcomes = {_key(task): _outcome(task) for task in tasks}
    for task in sorted(tasks, key=lambda one: one.state == "success"):
        outcomes.setdefault(task.task_id, _outcome(task))
    return outcomes


def _key(task: TaskInfo) -> str:
    """Task id; with the index for an instance of a mapped task."""
    return task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"


def _outcome(task: TaskInfo) -> TaskOutcome:
    return TaskOutcome(task_id=task.task_id, state=task.state, try_number=task.try_number, seconds=task.seconds)
