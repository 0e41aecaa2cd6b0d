"""Tells a run that is slow from one that nobody works on any more, and whose doing that is.

A scheduler that is well queues each task that may be queued at its next look. Which may not, the DAG says: by a pool
that is not there or is too small ("Tasks using non-existent pool ... will not be scheduled"), by `depends_on_past` or
`wait_for_downstream` (apache-airflow-core 3.3.2, jobs/scheduler_job_runner.py, `_executable_task_instances_to_queued`;
models/dagrun.py, `update_state` takes no run with `depends_on_past` for deadlocked). So a run in which nothing goes on
is the DAG's own doing once all that Airflow needs for it has been seen well for a while. A task that is queued has left
the scheduler: that no pod comes of it is never the DAG's doing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.airflow.values import DagInfo, Health, TaskInfo
from harness.errors import EnvironmentFailed
from harness.model import PodEvidence
from harness.podstate import OVER
from harness.wait import Clock

# Seconds, before patience. An idle scheduler starts a run within one heartbeat and a queued task within two
# (a few seconds on an idle machine; measured up to 12 s with two cores fully busy).
_RUN_QUEUED: Final = 60.0
_TASK_QUEUED: Final = 90.0
# An executor notices the end of its pod within seconds; a stalled log stream can hide it for ever
# (apache/airflow #58382, open as of cncf-kubernetes 10.25.0).
_POD_OVER: Final = 90.0
# For that long after `_TASK_QUEUED` Airflow must have been well at every look: a scheduler that crashes at each of its
# loops is called healthy for 30 s after each heartbeat.
_WELL: Final = 60.0
_WAITING: Final = frozenset({"queued", "scheduled"})
# Of a run in which nothing goes on: what is over; what the scheduler has not made ready, or has and cannot queue.
_ENDED: Final = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
_UNMOVED: Final = frozenset({"none", "scheduled"})
# Waits by its own will, without a pod, and may hold what another task needs.
_PATIENT: Final = frozenset({"deferred", "up_for_reschedule", "up_for_retry"})
_IDLE: Final = "idle: "


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why a run does not get on.

    Attributes:
        why: In words.
        own: Whether it is the DAG's own doing; else the environment's, or nobody's yet.
    """

    why: str
    own: bool = False


class StuckTasks:
    """Remembers since when each thing is as it is; asked at every look at the run.

    Args:
        clock: Where time comes from.
        patience: Multiplies every limit.
        dag: The DAG as Airflow has it: a scheduler looks at no run of one that is paused or stale. Asked only where
            something is stuck.
    """

    def __init__(self, clock: Clock, *, dag: Callable[[], DagInfo], patience: float = 1.0) -> None:
        self._clock = clock
        self._dag = dag
        self._patience = patience
        self._since: dict[str, float] = {}

    def reason(
        self,
        run_state: str,
        tasks: Sequence[TaskInfo],
        pods: Mapping[str, PodEvidence],
        health: Callable[[], Health],
    ) -> Stuck | None:
        """Why the run is stuck; None while it is not.

        Args:
            run_state: Of the run.
            tasks: Of the run.
            pods: Seen so far.
            health: Asked only where something is stuck.
        """
        idle = _idle(run_state, tasks, pods)
        seen = _waiting(run_state, tasks, pods) | ({_IDLE + idle: (_TASK_QUEUED, idle)} if idle else {})
        now = self._clock.monotonic()
        self._since = {key: self._since.get(key, now) for key in seen}
        late = {key: why for key, (limit, why) in seen.items() if now - self._since[key] >= limit * self._patience}
        if not late:
            return None
        well, parts = self._parts(health)
        for key, why in late.items():
            waited = now - self._since[key]
            if not key.startswith(_IDLE):
                if not (idle and well):
                    return Stuck(f"{why} {parts} (for {waited:.0f} s)")
            elif not well:
                self._since[key] = now - _TASK_QUEUED * self._patience  # what Airflow did meanwhile says nothing
            elif waited >= (_TASK_QUEUED + _WELL) * self._patience:
                return Stuck(f"{why}; {parts} (for {waited:.0f} s)", own=True)
        return None

    def _parts(self, health: Callable[[], Health]) -> tuple[bool, str]:
        """Whether all is well that Airflow needs to get on with the run, and how it is, in words."""
        try:
            found, dag = health(), self._dag()
        except EnvironmentFailed as error:
            return False, f"the API does not answer ({error.message})"
        parts = f"the scheduler is {found.scheduler}, the database {found.metadatabase}"
        if not found.healthy:
            return False, f"{parts}, the DAG processor {found.dag_processor}"
        if dag.is_paused or dag.is_stale:
            how = "paused" if dag.is_paused else "stale: no DAG processor finds it any more"
            return False, f"{parts}, the DAG {how}"
        return True, parts


def _waiting(
    run_state: str, tasks: Sequence[TaskInfo], pods: Mapping[str, PodEvidence]
) -> dict[str, tuple[float, str]]:
    """What waits for somebody, with how long it may, before patience, and why that is too long."""
    seen: dict[str, tuple[float, str]] = {}
    if run_state == "queued":
        seen["run"] = (_RUN_QUEUED, "the run is still queued: other runs of the DAG hold its max_active_runs, or")
    # Limits such as a pool or max_active_tasks let one task wait for as long as another works.
    works = _works(pods)
    patient = any(task.state in _PATIENT for task in tasks)
    for task in tasks:
        executors = [pod for pod in pods.values() if pod.task_id == task.task_id and pod.role == "executor"]
        own = [pod for pod in pods.values() if pod.task_id == task.task_id and pod.role == "task"]
        if task.state in _WAITING and not executors and not works and not (task.state == "scheduled" and patient):
            key = f"{task.task_id} try {task.try_number} waits"
            why = f"task {task.task_id} is {task.state} and no pod was made for it:"
            seen[key] = (_TASK_QUEUED, why)
        if task.state == "running" and own and all(pod.phase in OVER for pod in own):
            key = f"{task.task_id} try {task.try_number} over"
            why = f"task {task.task_id} is called running, but its pod {own[-1].name} has ended ({own[-1].phase}):"
            seen[key] = (_POD_OVER, why)
    return seen


def _works(pods: Mapping[str, PodEvidence]) -> bool:
    return any(pod.phase not in OVER for pod in pods.values())


def _idle(run_state: str, tasks: Sequence[TaskInfo], pods: Mapping[str, PodEvidence]) -> str:
    """Which tasks do not get on, where none does, and what may hold them; empty where one does, or all are over."""
    if run_state != "running" or _works(pods):
        return ""
    open_ones = [task for task in tasks if task.state not in _ENDED]
    if not open_ones or not all(task.state in _UNMOVED for task in open_ones):
        return ""
    held = [_named(task) for task in open_ones if task.state == "scheduled"]
    if held:
        why = "held by a pool that is not there or has no room, or by a limit that the DAG sets"
        return f"{', '.join(held)} ready to run, and never queued ({why})"
    why = "held by depends_on_past, or by a date to come"
    return f"{', '.join(map(_named, open_ones))} not begun, with nothing in this run to wait for ({why})"


def _named(task: TaskInfo) -> str:
    return task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"
