"""How the tasks of a run ended, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.airflow.values import TaskInfo
from harness.model import TaskOutcome

# Of a mapped task's instances one that was skipped tells more than one that succeeded, and any other more than both.
_FINE: Final = ("skipped", "success")


def outcomes(tasks: Sequence[TaskInfo]) -> dict[str, TaskOutcome]:
    """By task id; of a mapped task each instance, and under the plain id the worst of them."""
    found = {_key(task): _outcome(task) for task in tasks}
    for task in sorted(tasks, key=_rank):
        found.setdefault(task.task_id, _outcome(task))
    return found


def _rank(task: TaskInfo) -> int:
    return _FINE.index(task.state) if task.state in _FINE else -1


def _key(task: TaskInfo) -> str:
    """Task id; with the index for an instance of a mapped task."""
    return task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"


def _outcome(task: TaskInfo) -> TaskOutcome:
    return TaskOutcome(
        task_id=task.task_id,
        state=task.state,
        try_number=task.try_number,
        seconds=task.seconds,
        queued=task.queued,
    )
