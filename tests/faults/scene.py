"""One run of the pipeline while something breaks: what is waited for, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from harness.airflow.api import AirflowUnavailable, TaskInfo
from harness.airflow.runids import new_logical_date, new_run_id
from harness.environment import Environment, Ready
from harness.errors import EnvironmentFailed
from harness.kubeapi import JsonObject, KubeUnavailable
from harness.names import AIRFLOW_NAMESPACE
from harness.pipeline.earlier import end_runs, working_pods
from harness.pipeline.pods import PodFollower
from harness.pipeline.trigger import FINISHED
from harness.proof import Prover
from harness.wait import Waiter

from .invariants import Reader
from .node import Gates, Node

State = TypeVar("State")

_REACH_SECONDS: Final = 120.0
_FAIL_SECONDS: Final = 180.0
_END_SECONDS: Final = 420.0
_QUIET_SECONDS: Final = 90.0
_BACK_SECONDS: Final = 180.0
# What the task program says when it fails (worker-image/dvc_pipeline/cli.py).
_COMPLAINT: Final = re.compile(r"dvc-pipeline (pull|modify|push): ")
# While something is broken, nobody needs to answer.
_PASSING: Final = (AirflowUnavailable, KubeUnavailable)


@dataclass(frozen=True)
class Stage:
    """Where runs are played.

    Attributes:
        environment: Up.
        prover: Has proven a run in it: what it seeded is what all runs here go on from.
        node: The kind node.
        gates: Points at which pods wait.
        reader: Reads what must hold.
    """

    environment: Environment
    prover: Prover
    node: Node
    gates: Gates
    reader: Reader

    @property
    def ready(self) -> Ready:
        ready = self.environment.ready
        if ready is None:
            raise EnvironmentFailed("the environment is not up")
        return ready

    @property
    def waiter(self) -> Waiter:
        return self.environment.waiter

    @property
    def dag_id(self) -> str:
        return self.environment.settings.dag_id

    def wait(
        self,
        what: str,
        probe: Callable[[], State],
        *,
        ready: Callable[[State], bool],
        failed: Callable[[State], str | None] = lambda _state: None,
        describe: Callable[[State], str] = str,
        timeout: float = _BACK_SECONDS,
        transient: tuple[type[Exception], ...] = _PASSING,
    ) -> State:
        """Wait over what does not answer meanwhile."""
        return self.waiter.until(
            what,
            probe,
            ready=ready,
            failed=failed,
            describe=describe,
            timeout=timeout,
            interval=0.3,
            transient=transient,
        )

    def hold(self, seconds: float) -> None:
        """Leave things as they are for a while."""
        clock = self.waiter.clock
        end = clock.monotonic() + seconds
        self.wait(
            f"{seconds:.0f} s to pass",
            clock.monotonic,
            ready=lambda now: now >= end,
            describe=lambda _now: "not yet",
            # How long it is has nothing to do with how patient the run is.
            timeout=(seconds + 5) / self.waiter.patience,
        )

    def quiet(self) -> None:
        """Wait until no pod of any run works any more."""
        self.wait(
            "the pods of the run to end",
            lambda: [str(pod["metadata"]["name"]) for pod in working_pods(self.ready.kube, AIRFLOW_NAMESPACE)],
            ready=lambda names: not names,
            timeout=_QUIET_SECONDS,
        )

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run of a DAG."""
        api = self.ready.api
        # The run first, as the harness does it.
        api.trigger(dag_id, run_id, logical_date=new_logical_date())
        api.unpause(dag_id)

    def ended(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run; its state."""
        api = self.ready.api

        def progress() -> tuple[str, str]:
            state = api.run_state(dag_id, run_id)
            tasks = api.task_instances(dag_id, run_id)
            return state, ", ".join(f"{one.task_id} {one.state} ({one.try_number})" for one in tasks)

        return self.wait(
            f"run {run_id} of {dag_id} to end",
            progress,
            ready=lambda seen: seen[0] in FINISHED,
            describe=lambda seen: f"{seen[0]}: {seen[1]}",
            timeout=_END_SECONDS,
        )[0]


@dataclass
class Scene:
    """A run that is under way.

    Attributes:
        stage: Where.
        gate: Where its pod waits, such as `push.before-git-push`.
        follower: Of its pods.
        company: States of further runs that were started beside it.
        rival_rows: Rows that somebody else's commits have added meanwhile.
        held: How long things stay broken, in seconds, where that is what ends them.
    """

    stage: Stage
    gate: str
    follower: PodFollower
    company: list[str] = field(default_factory=list)
    rival_rows: int = 0
    held: float = 8.0

    @property
    def run_id(self) -> str:
        return self.follower.run_id

    @property
    def task(self) -> str:
        """The task whose pod waits."""
        return f"{self.gate.partition('.')[0]}_data"

    @property
    def ready(self) -> Ready:
        return self.stage.ready

    def pod(self, role: str) -> JsonObject:
        """The newest pod of the task: "task" or "executor"."""
        seen = self.follower.evidence()
        pods = [
            pod
            for name, pod in self.follower.manifests().items()
            if seen[name].task_id == self.task and seen[name].role == role
        ]
        if not pods:
            raise EnvironmentFailed(f"no {role} pod of {self.task} was seen")
        return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def reach(self) -> None:
        """Wait until the pod waits at the gate."""
        line = f"gate {self.gate}"

        def there() -> tuple[bool, str]:
            self.follower.check()
            seen = self.follower.evidence()
            reached = any(line in self.follower.logs(name).get("base", ()) for name in seen)
            return reached, self.ready.api.run_state(self.stage.dag_id, self.run_id)

        self.stage.wait(
            f"a pod at gate {self.gate}",
            there,
            ready=lambda state: state[0],
            failed=lambda state: f"the run ended as {state[1]} before" if state[1] in FINISHED else None,
            describe=lambda state: f"the run is {state[1]}",
            timeout=_REACH_SECONDS,
        )

    def failed_once(self) -> None:
        """Wait until the task's first try has failed."""

        def look() -> TaskInfo | None:
            tasks = self.ready.api.task_instances(self.stage.dag_id, self.run_id)
            return next((one for one in tasks if one.task_id == self.task), None)

        self.stage.wait(
            f"the first try of {self.task} to fail",
            look,
            ready=lambda one: one is not None and (one.state in {"up_for_retry", "failed"} or one.try_number > 1),
            failed=lambda one: "it succeeded" if one is not None and one.state == "success" else None,
            describe=lambda one: "unknown" if one is None else f"{one.state} (try {one.try_number})",
            timeout=_FAIL_SECONDS,
        )

    def refusals(self) -> int | None:
        """How many connections of the pod were refused so far; None if it is gone."""
        return self.stage.node.refusals(self.pod("task"), "base")

    def refused(self, before: int | None) -> None:
        """Wait until more connections of the pod were refused than before."""
        if before is None:
            raise EnvironmentFailed(f"the pod of {self.task} is gone, and was to wait at {self.gate}")
        self.stage.wait(
            f"a connection of {self.task} to be refused",
            self.refusals,
            ready=lambda seen: seen is not None and seen > before,
            failed=lambda seen: "its pod has ended, and none was" if seen is None else None,
            timeout=_FAIL_SECONDS,
        )

    def open(self) -> None:
        """Let the pod go on."""
        self.stage.gates.open(self.run_id, self.gate)

    def tries(self) -> dict[str, int]:
        """How often each task was tried."""
        tasks = self.ready.api.task_instances(self.stage.dag_id, self.run_id)
        return {one.task_id: one.try_number for one in tasks}

    def complaints(self) -> tuple[str, ...]:
        """What the task program said of why it failed, in each try."""
        return tuple(
            line
            for name in self.follower.evidence()
            for line in self.follower.logs(name).get("base", ())
            if _COMPLAINT.match(line)
        )

    @contextmanager
    def beside(self, dag_id: str) -> Iterator[Callable[[], str]]:
        """Another run, started now; waits for its end when called, and at the latest at the end."""
        run_id = new_run_id("beside")
        self.stage.trigger(dag_id, run_id)
        ended: Callable[[], str] = _once(partial(self.stage.ended, dag_id, run_id))
        yield ended
        self.company.append(ended())


def _once(ask: Callable[[], str]) -> Callable[[], str]:
    answers: list[str] = []

    def asked() -> str:
        if not answers:
            answers.append(ask())
        return answers[0]

    return asked


@contextmanager
def run(stage: Stage, gate: str) -> Iterator[Scene]:
    """A run that will wait at a gate; whatever happens, no gate stays closed and no run unfinished."""
    run_id = new_run_id("fault")
    api = stage.ready.api
    stage.gates.close(run_id, gate)
    follower = PodFollower(stage.ready.kube, AIRFLOW_NAMESPACE, run_id, redactor=stage.environment.redactor)
    with follower:
        try:
            stage.trigger(stage.dag_id, run_id)
            yield Scene(stage, gate, follower)
        except Exception:
            # What is left of it must not become the next row's.
            unfinished = api.runs(unfinished=True)
            end_runs(api, stage.ready.kube, AIRFLOW_NAMESPACE, unfinished, waiter=stage.waiter)
            raise
        finally:
            stage.gates.open(run_id, gate)


def metadata(item: Mapping[str, Any]) -> tuple[str, str]:
    """Name and UID."""
    return str(item["metadata"]["name"]), str(item["metadata"]["uid"])
