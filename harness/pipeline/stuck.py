"""Tells a run that is slow from one that nobody works on any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from harness.airflow.values import Health, TaskInfo
from harness.errors import EnvironmentFailed
from harness.model import PodEvidence
from harness.wait import Clock

# Seconds, before patience. An idle scheduler starts a run within one heartbeat and a queued task within two
# (a few seconds on an idle machine; measured up to 12 s with two cores fully busy).
_RUN_QUEUED: Final = 60.0
_TASK_QUEUED: Final = 90.0
# An executor notices the end of its pod within seconds; a stalled log stream can hide it for ever
# (apache/airflow #58382, open as of cncf-kubernetes 10.25.0).
_POD_OVER: Final = 90.0
_OVER: Final = frozenset({"Succeeded", "Failed"})
_WAITING: Final = frozenset({"queued", "scheduled"})


class StuckTasks:
    """Remembers since when each thing is as it is; asked at every look at the run.

    Args:
        clock: Where time comes from.
        patience: Multiplies every limit.
    """

    def __init__(self, clock: Clock, *, patience: float = 1.0) -> None:
        self._clock = clock
        self._patience = patience
        self._since: dict[str, float] = {}

    def reason(
        self,
        run_state: str,
        tasks: Sequence[TaskInfo],
        pods: Mapping[str, PodEvidence],
        health: Callable[[], Health],
    ) -> str | None:
        """Why the run is stuck; None while it is not.

        Args:
            run_state: Of the run.
            tasks: Of the run.
            pods: Seen so far.
            health: Asked only where something is stuck.
        """
        seen: dict[str, tuple[float, str]] = {}
        if run_state == "queued":
            seen["run"] = (_RUN_QUEUED, "the run is still queued: other runs of the DAG hold its max_active_runs, or")
        # Limits such as a pool or max_active_tasks let one task wait for as long as another works.
        works = any(pod.phase not in _OVER for pod in pods.values())
        for task in tasks:
            executors = [pod for pod in pods.values() if pod.task_id == task.task_id and pod.role == "executor"]
            own = [pod for pod in pods.values() if pod.task_id == task.task_id and pod.role == "task"]
            if task.state in _WAITING and not executors and not works:
                key = f"{task.task_id} try {task.try_number} waits"
                why = f"task {task.task_id} is {task.state} and no pod was made for it:"
                seen[key] = (_TASK_QUEUED, why)
            if task.state == "running" and own and all(pod.phase in _OVER for pod in own):
                key = f"{task.task_id} try {task.try_number} over"
                why = f"task {task.task_id} is called running, but its pod {own[-1].name} has ended ({own[-1].phase}):"
                seen[key] = (_POD_OVER, why)
        now = self._clock.monotonic()
        self._since = {key: self._since.get(key, now) for key in seen}
        for key, (limit, why) in seen.items():
            waited = now - self._since[key]
            if waited >= limit * self._patience:
                return f"{why} {_parts(health)} (for {waited:.0f} s)"
        return None


def _parts(health: Callable[[], Health]) -> str:
    try:
        found = health()
    except EnvironmentFailed as error:
        return f"the API does not answer ({error.message})"
    return f"the scheduler is {found.scheduler}, the database {found.metadatabase}"
