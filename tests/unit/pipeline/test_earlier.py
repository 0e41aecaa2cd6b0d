"""A DAG run that nobody follows any more is ended before the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.errors import WaitTimeout
from harness.pipeline.earlier import end_runs
from harness.wait import Waiter


@dataclass
class Clock:
    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float, /) -> None:
        self.seconds += seconds


@dataclass
class Cluster:
    """Pods end `lasting` seconds after they are deleted; one more appears at `late`."""

    clock: Clock
    pods: dict[str, str]
    lasting: float = 3.0
    late: float | None = None
    failed: list[str] = field(default_factory=list)
    deleted: dict[str, float] = field(default_factory=dict)
    selectors: set[str] = field(default_factory=set)

    def unfinished_runs(self, dag_id: str) -> tuple[str, ...]:
        raise NotImplementedError

    def fail_run(self, dag_id: str, run_id: str) -> None:
        assert not self.deleted, "Airflow is told first, or it would start the task again"
        self.failed.append(f"{dag_id}/{run_id}")

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        assert (kind, namespace) == ("Pod", "airflow")
        self.selectors.add(labels)
        if self.late is not None and self.clock.seconds >= self.late:
            self.pods["late"], self.late = "Running", None
        for name, at in self.deleted.items():
            if self.clock.seconds >= at + self.lasting:
                self.pods.pop(name, None)
        return [
            {"metadata": {"name": name, **({"deletionTimestamp": "x"} if name in self.deleted else {})},
             "status": {"phase": phase}}
            for name, phase in self.pods.items()
        ]  # fmt: skip

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        assert name not in self.deleted
        self.deleted[name] = self.clock.seconds
        return True


def end(cluster: Cluster, dag_id: str = "mine") -> None:
    end_runs(cluster, cluster, "airflow", dag_id, ("r1", "r2"), waiter=Waiter(cluster.clock))


def test_every_run_is_failed_and_its_pods_are_gone_afterwards() -> None:
    cluster = Cluster(Clock(), {"executor": "Running", "task": "Pending", "over": "Succeeded"})
    end(cluster)
    assert cluster.failed == ["mine/r1", "mine/r2"]
    assert set(cluster.deleted) == {"executor", "task"}
    assert cluster.pods == {"over": "Succeeded"}
    assert cluster.selectors == {"dag_id=mine"}


def test_a_pod_that_airflow_makes_meanwhile_is_ended_too() -> None:
    cluster = Cluster(Clock(), {"executor": "Running"}, late=2.0)
    end(cluster)
    assert set(cluster.deleted) == {"executor", "late"}


def test_that_no_pod_is_there_at_the_first_look_is_not_enough() -> None:
    cluster = Cluster(Clock(), {}, late=0.3)
    end(cluster)
    assert set(cluster.deleted) == {"late"}


def test_a_pod_that_does_not_end_is_named() -> None:
    with pytest.raises(WaitTimeout, match="the pods of earlier runs of DAG mine to end") as caught:
        end(Cluster(Clock(), {"hanging": "Running"}, lasting=1000.0))
    assert caught.value.last_state == "hanging"


def test_a_dag_id_that_no_label_takes_is_looked_for_as_the_executor_writes_it() -> None:
    cluster = Cluster(Clock(), {})
    end(cluster, "team data")
    (selector,) = cluster.selectors
    assert selector == "dag_id=teamdata-e3aa687a3"
