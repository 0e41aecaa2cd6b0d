"""The faults: where each strikes, what it breaks, when that is whole again, and how the run may end.

All rows share one repository, and each goes on where the one before left off; behind the last of a group a clean run
must be green. The pipeline is as it is, but for gates at which its pods can be held (programs/gated.py).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from . import breakages as broken
from . import routes, services
from .breakages import API_SERVER, DAG_PROCESSOR, POSTGRES, SCHEDULER, Breakage
from .scene import Stage


class Whole(Enum):
    """When what was broken is made whole."""

    AT_ONCE = "at once"
    HELD = "after some seconds"
    REFUSED = "when a connection of the pod was refused"
    FAILED = "when the first try has failed"
    ENDED = "when the run has ended"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        name: Of the row.
        group: Of the rows that one clean run stands behind.
        gate: Where it strikes: the task, and the point of its work at which its pod is held.
        breaks: What it breaks.
        whole: When that is whole again.
        opens_first: Whether the pod goes on while things are broken; else when they are whole again.
        ends: The run's state in the end.
        tries: Of the task that is struck; None where either may be.
        says: Words of the reason that the task program gives in its log; empty where it had no time to give one.
        around: What is prepared before the run and taken back behind it.
        held: Seconds, with `Whole.HELD`.
    """

    name: str
    group: str
    gate: str
    breaks: Breakage
    whole: Whole = Whole.AT_ONCE
    opens_first: bool = True
    ends: str = "success"
    tries: int | None = 1
    says: tuple[str, ...] = ()
    around: Callable[[Stage], AbstractContextManager[None]] | None = None
    held: float = 8.0


_ROWS: Final = (
    # Pods of the run.
    Fault(
        name="pull-pod-deleted",
        group="pods",
        gate="pull.after-git-clone",
        breaks=broken.pod_deleted("task"),
        tries=2,
    ),
    Fault(
        name="modify-pod-deleted",
        group="pods",
        gate="modify.after",  # the rows are written by now
        breaks=broken.pod_deleted("task"),
        tries=2,
    ),
    Fault(
        name="push-pod-deleted",
        group="pods",
        gate="push.before-dvc-push",
        breaks=broken.pod_deleted("task"),
        tries=2,
    ),
    Fault(
        name="crash-between-dvc-push-and-git-push",
        group="pods",
        gate="push.after-dvc-push",
        breaks=broken.task_killed,
        tries=2,
    ),
    Fault(
        name="crash-behind-git-push",
        group="pods",
        gate="push.after-git-push",
        breaks=broken.task_killed,
        tries=2,
    ),
    Fault(
        name="executor-deleted",
        group="pods",
        gate="push.before-git-push",
        breaks=broken.pod_deleted("executor"),
        tries=2,
    ),
    # Airflow and its database.
    Fault(
        name="scheduler-deleted",
        group="airflow",
        gate="modify.before",
        breaks=broken.deleted(SCHEDULER),
        tries=None,
    ),
    Fault(
        name="api-server-deleted",
        group="airflow",
        gate="modify.before",
        breaks=broken.deleted(API_SERVER),
        tries=None,
    ),
    Fault(
        name="dag-processor-deleted",
        group="airflow",
        gate="modify.before",
        breaks=broken.deleted(DAG_PROCESSOR),
    ),
    Fault(
        name="postgres-killed",
        group="airflow",
        gate="modify.before",
        breaks=broken.killed(POSTGRES),
        tries=None,
    ),
    Fault(
        name="postgres-paused",
        group="airflow",
        gate="push.before-git-push",
        breaks=broken.paused(POSTGRES),
        whole=Whole.HELD,
        tries=None,
    ),
    Fault(
        name="api-server-paused",
        group="airflow",
        gate="push.before-git-push",
        breaks=broken.paused(API_SERVER),
        whole=Whole.HELD,
        tries=None,
    ),
    # The object store.
    Fault(
        name="s3-503",
        group="s3",
        gate="push.before-dvc-push",
        breaks=routes.unavailable,
        whole=Whole.FAILED,
        tries=2,
        says=("dvc push failed", "503"),
    ),
    Fault(
        name="s3-slow",
        group="s3",
        gate="push.before-dvc-push",
        breaks=routes.toxic("s3", "latency", until=routes.slow(1.5), latency=2000, jitter=500),
        whole=Whole.ENDED,
    ),
    Fault(
        name="s3-cut-off-within-the-upload",
        group="s3",
        gate="push.before-dvc-push",
        breaks=routes.toxic("s3", "limit_data", until=routes.cut_off(6000), bytes=6000),
        whole=Whole.FAILED,
        tries=2,
        says=("dvc push failed",),
    ),
    Fault(
        name="s3-down-at-pull",
        group="s3",
        gate="pull.before-dvc-pull",
        breaks=routes.down("s3"),
        whole=Whole.FAILED,
        tries=2,
        says=("dvc pull failed", "Could not connect to the endpoint URL"),
    ),
    Fault(
        name="s3-down-and-back",
        group="s3",
        gate="push.before-dvc-push",
        breaks=routes.down("s3"),
        whole=Whole.REFUSED,  # by the clock it may be back before DVC has begun
        tries=None,
    ),
    # The Git server.
    Fault(
        name="git-down-at-clone",
        group="git",
        gate="pull.before-git-clone",
        breaks=routes.down("git"),
        whole=Whole.FAILED,
        tries=2,
        says=("git clone failed",),
    ),
    Fault(
        name="git-down-at-push",
        group="git",
        gate="push.before-git-push",
        breaks=routes.down("git"),
        whole=Whole.FAILED,
        tries=2,
        says=("git ", " failed"),
    ),
    Fault(
        name="git-auth-refused",
        group="git",
        gate="push.before-git-push",
        breaks=services.other_password,
        whole=Whole.FAILED,
        tries=2,
        says=("Authentication failed",),
    ),
    Fault(
        name="git-refused-by-a-hook",
        group="git",
        gate="push.before-git-push",
        breaks=services.refused_by_a_hook,
        whole=Whole.ENDED,
        ends="failed",
        tries=2,
        says=("git push failed", "not on a Saturday"),
    ),
    Fault(
        name="git-rival-commit",
        group="git",
        gate="push.before-git-push",
        breaks=services.rival_commit,
    ),
    Fault(
        name="git-rival-version",
        group="git",
        gate="push.before-git-push",
        breaks=services.rival_version,
        ends="failed",
        tries=2,
        says=("another run versioned",),
    ),
    # The volume, and several at once.
    Fault(
        name="volume-full-at-pull",
        group="volume",
        gate="pull.before-git-clone",
        breaks=services.full,
        whole=Whole.FAILED,
        tries=2,
        says=("No space left on device",),
        around=services.small_volume,
    ),
    Fault(
        name="volume-full-at-modify",
        group="volume",
        gate="modify.before",
        breaks=services.full,
        whole=Whole.FAILED,
        tries=2,
        says=("No space left on device",),
        around=services.small_volume,
    ),
    Fault(
        name="two-runs-at-once",
        group="volume",
        gate="modify.before",
        breaks=services.second_run,
    ),
    Fault(
        name="two-dags-at-once",
        group="volume",
        gate="push.before-git-push",
        breaks=services.racing_run,
        opens_first=False,
        ends="failed",
        tries=2,
        says=("another run versioned",),
    ),
    # The machine; last, because all the others stand on it.
    Fault(
        name="node-paused",
        group="node",
        gate="push.after-dvc-push",
        breaks=broken.node_paused,
        whole=Whole.HELD,
        opens_first=False,
        tries=None,
    ),
    Fault(
        name="node-restarted",
        group="node",
        gate="push.after-dvc-push",
        breaks=services.node_restarted,
        opens_first=False,
        tries=2,
    ),
)
FAULTS: Final[dict[str, Fault]] = {row.name: row for row in _ROWS}
GROUPS: Final = tuple(dict.fromkeys(row.group for row in _ROWS))
