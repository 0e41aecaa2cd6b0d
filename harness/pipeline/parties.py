"""What a run of the DAG needs of Airflow's API and of whoever follows its pods."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from harness.airflow.values import DagInfo, Health, RunInfo, TaskInfo
from harness.model import PodEvidence
from harness.wait import Waiter


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

    def pause(self, dag_id: str) -> None:
        """See `AirflowApi.pause`."""

    def runs(self, dag_id: str | None = None, *, unfinished: bool = False) -> tuple[RunInfo, ...]:
        """See `AirflowApi.runs`."""

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """See `AirflowApi.fail_run`."""

    def run_state(self, dag_id: str, run_id: str) -> str:
        """See `AirflowApi.run_state`."""

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInfo, ...]:
        """See `AirflowApi.task_instances`."""

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

    def doomed(self) -> Mapping[str, str]:
        """See `PodFollower.doomed`."""

    def settle(self, waiter: Waiter, *, timeout: float = 20.0) -> bool:
        """See `PodFollower.settle`."""

    def unsettled(self) -> tuple[str, ...]:
        """See `PodFollower.unsettled`."""

    @property
    def gaps(self) -> int:
        """See `PodFollower.gaps`."""
