"""A DAG run that nobody follows any more is ended before the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.airflow.values import RunInfo
from harness.errors import WaitFailed, WaitTimeout
from harness.pipeline.earlier import Ended, end_runs, working_pods
from harness.wait import Waiter
from tests.fakes import Clock


@dataclass
class Cluster:
    """Pods end `lasting` seconds after they are deleted; one more appears at `late`."""

    clock: Clock
    pods: dict[str, str]
    lasting: float = 3.0
    late: float | None = None
    node_ready: str = "True"
    failed: list[str] = field(default_factory=list)
    deleted: dict[str, float] = field(default_factory=dict)

    def fail_run(self, dag_id: str, run_id: str) -> None:
        assert not self.deleted, "Airflow is told first, or it would start the task again"
        self.failed.append(f"{dag_id}/{run_id}")

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        if kind == "Node":
            ready = {"type": "Ready", "status": self.node_ready, "message": "Kubelet stopped posting node status."}
            return [{"metadata": {"name": "n1"}, "status": {"conditions": [ready]}}]
        # Of any run, whatever its DAG.
        assert (kind, namespace, labels) == ("Pod", "airflow", "run_id")
        if self.late is not None and self.clock.seconds >= self.late:
            self.pods["late"], self.late = "Running", None
        for name, at in self.deleted.items():
            if self.clock.seconds >= at + self.lasting:
                self.pods.pop(name, None)
        return [
            {"metadata": {"name": name, "labels": {"run_id": f"run-of-{name}"},
                          **({"deletionTimestamp": "x"} if name in self.deleted else {})},
             "spec": {"nodeName": "n1"},
             "status": {"phase": phase}}
            for name, phase in self.pods.items()
        ]  # fmt: skip

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        assert name not in self.deleted
        self.deleted[name] = self.clock.seconds
        return True


RUNS = tuple(RunInfo(dag_id, f"{dag_id}-1", "manual", "running", started=True) for dag_id in ("mine", "other"))


def end(cluster: Cluster, own: str = "") -> Ended:
    return end_runs(cluster, cluster, "airflow", RUNS, waiter=Waiter(cluster.clock), own=own)


def test_runs_of_every_dag_are_failed_and_their_pods_are_gone_afterwards() -> None:
    cluster = Cluster(Clock(), {"executor": "Running", "task": "Pending", "over": "Succeeded"})
    ended = end(cluster)
    assert cluster.failed == ["mine/mine-1", "other/other-1"]
    assert set(cluster.deleted) == {"executor", "task"}
    assert cluster.pods == {"over": "Succeeded"}
    assert str(ended) == "unfinished, now marked failed: mine/mine-1, other/other-1; pods ended: executor, task"


def test_only_pods_that_have_not_ended_work() -> None:
    pods = working_pods(Cluster(Clock(), {"a": "Running", "b": "Failed", "c": "Succeeded", "d": "Pending"}), "airflow")
    assert [pod["metadata"]["name"] for pod in pods] == ["a", "d"]


def test_a_pod_of_the_last_run_that_is_about_to_end_does_not_count_as_something_left() -> None:
    cluster = Cluster(Clock(), {"executor": "Running"})
    ended = end_runs(cluster, cluster, "airflow", (), waiter=Waiter(cluster.clock), own="run-of-executor")
    assert not ended
    assert not cluster.pods
    assert end(Cluster(Clock(), {"executor": "Running"}), own="run-of-another").pods == ("executor",)


def test_a_pod_that_airflow_makes_meanwhile_is_ended_too() -> None:
    cluster = Cluster(Clock(), {"executor": "Running"}, late=2.0)
    end(cluster)
    assert set(cluster.deleted) == {"executor", "late"}


def test_that_no_pod_is_there_at_the_first_look_is_not_enough() -> None:
    cluster = Cluster(Clock(), {}, late=0.3)
    end(cluster)
    assert set(cluster.deleted) == {"late"}


def test_a_pod_that_does_not_end_is_named() -> None:
    with pytest.raises(WaitTimeout, match="the pods of earlier DAG runs to end") as caught:
        end(Cluster(Clock(), {"hanging": "Running"}, lasting=1000.0))
    assert caught.value.last_state == "hanging"


def test_a_pod_whose_node_is_lost_is_not_waited_for() -> None:
    cluster = Cluster(Clock(), {"hanging": "Running"}, lasting=1000.0, node_ready="Unknown")
    with pytest.raises(WaitFailed, match="node n1 is not ready: Kubelet stopped posting"):
        end(cluster)
    assert cluster.clock.seconds < 5
