"""A run of the DAG from trigger to outcome, with an Airflow and pods that follow a script by the second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagInfo, Health, TaskInfo
from harness.errors import EnvironmentFailed, WaitFailed, WaitTimeout
from harness.model import PipelineRun, PodEvidence, Seeded
from harness.pipeline.trigger import failure_report, run_pipeline
from harness.wait import Waiter

SEEDED = Seeded(sha="a" * 40, branch="main", prefix="p", dags_path="dags")


@dataclass
class Clock:
    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float, /) -> None:
        self.seconds += seconds


def tasks(*states: str) -> tuple[TaskInfo, ...]:
    return tuple(TaskInfo(f"t{n}", -1, state, 1, 2.5, None) for n, state in enumerate(states))


@dataclass
class Airflow:
    clock: Clock
    run_at: Callable[[float], str]
    tasks_at: Callable[[float], tuple[TaskInfo, ...]]
    paused: bool = True
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def require_dag(self, dag_id: str) -> DagInfo:
        return DagInfo(
            dag_id=dag_id,
            is_paused=self.paused,
            is_stale=False,
            has_import_errors=False,
            last_parsed_time=None,
            last_parse_duration=None,
            file="",
            bundle="",
        )

    def trigger(
        self, dag_id: str, run_id: str, *, logical_date: datetime | None, conf: Mapping[str, Any] | None = None
    ) -> None:
        self.calls.append(("trigger", (run_id, logical_date, conf)))

    def unpause(self, dag_id: str) -> None:
        self.calls.append(("unpause", dag_id))

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.run_at(self.clock.seconds)

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInfo, ...]:
        return self.tasks_at(self.clock.seconds)

    def task_logs(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> tuple[str, ...]:
        return (f"log of {task_id} try {try_number}",)

    def health(self) -> Health:
        return Health("healthy", "healthy", "healthy")


@dataclass
class Pods:
    run_id: str = "r1"
    pods: dict[str, PodEvidence] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    broken: EnvironmentFailed | None = None
    settled: int = 0

    def check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def evidence(self) -> dict[str, PodEvidence]:
        return self.pods

    def logs(self, pod: str) -> dict[str, tuple[str, ...]]:
        return {"base": ("first", "last words")}

    def fatal(self) -> Mapping[str, str]:
        return self.faults

    def settle(self, waiter: Waiter, *, timeout: float = 20.0) -> bool:
        self.settled += 1
        return True


def run(airflow: Airflow, pods: Pods | None = None, **options: Any) -> PipelineRun:
    return run_pipeline(airflow, pods or Pods(), SEEDED, "d", waiter=Waiter(airflow.clock), **options)


def succeeding(paused: bool = True) -> Airflow:  # noqa: FBT001, FBT002
    return Airflow(
        Clock(),
        lambda at: "success" if at >= 5 else "running",
        lambda at: tasks("success", "success") if at >= 5 else tasks("running", "none"),
        paused,
    )


def failing() -> Airflow:
    return Airflow(
        Clock(),
        lambda at: "failed" if at >= 6 else "running",
        lambda at: tasks("success", "failed", "upstream_failed") if at >= 5 else tasks("running", "none", "none"),
    )


def test_a_run_that_succeeds_is_returned_with_its_tasks_and_pods() -> None:
    pod = PodEvidence("p", "t0", "task", "Succeeded", "i", "sha256:1")
    pods = Pods(pods={"p": pod})
    made = run(succeeding(), pods)
    assert (made.seeded, made.outcome.run_id, made.outcome.state) == (SEEDED, "r1", "success")
    assert {name: task.state for name, task in made.outcome.tasks.items()} == {"t0": "success", "t1": "success"}
    assert made.pods == {"p": pod}
    assert pods.settled == 1


def test_the_run_is_triggered_before_the_dag_is_unpaused() -> None:
    airflow = succeeding()
    run(airflow)
    assert [name for name, _ in airflow.calls] == ["trigger", "unpause"]


def test_a_dag_that_is_not_paused_is_left_alone() -> None:
    airflow = succeeding(paused=False)
    run(airflow)
    assert [name for name, _ in airflow.calls] == ["trigger"]


@pytest.mark.parametrize("dated", [True, False])
def test_the_run_has_a_logical_date_unless_told_otherwise(dated: bool) -> None:  # noqa: FBT001
    airflow = succeeding()
    run(airflow, with_logical_date=dated, conf={"a": 1})
    run_id, logical_date, conf = airflow.calls[0][1]
    assert (run_id, logical_date is not None, conf) == ("r1", dated, {"a": 1})


def test_a_failed_run_is_a_result() -> None:
    made = run(failing())
    assert made.outcome.state == "failed"
    assert made.outcome.tasks["t1"].state == "failed"


def test_a_failed_task_ends_the_wait_before_the_run_is_over() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda at: tasks("failed" if at >= 3 else "running"))
    made = run(airflow)
    assert made.outcome.state == "failed"
    assert airflow.clock.seconds < 20


def test_a_failed_run_is_raised_on_demand_with_reason_and_logs() -> None:
    pods = Pods(pods={"p": PodEvidence("p", "t1", "task", "Failed", "", "")})
    with pytest.raises(WaitFailed, match=r"failed t1 \(try 1\)") as caught:
        run(failing(), pods, raise_on_failure=True)
    assert caught.value.evidence["log of task t1"] == "log of t1 try 1"
    assert "[base] last words" in caught.value.evidence["pod p (task of t1, Failed)"]


def test_a_fatal_pod_state_ends_the_wait_at_once() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("running"))
    with pytest.raises(WaitFailed, match="ErrImagePull"):
        run(airflow, Pods(faults={"p": "pod p: ErrImagePull"}))
    assert airflow.clock.seconds == 0


def test_a_fatal_pod_state_is_the_same_error_when_airflow_gave_up_first() -> None:
    with pytest.raises(WaitFailed, match="ErrImagePull"):
        run(Airflow(Clock(), lambda _at: "failed", lambda _at: tasks("failed")), Pods(faults={"p": "ErrImagePull"}))


def test_a_pod_lost_in_an_earlier_try_does_not_spoil_a_run_that_succeeded() -> None:
    airflow = Airflow(Clock(), lambda _at: "success", lambda _at: tasks("success"))
    assert run(airflow, Pods(faults={"p": "Evicted"})).outcome.state == "success"


def test_a_queue_that_nobody_serves_is_a_failed_wait() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("queued"))
    with pytest.raises(WaitFailed, match="no pod was made for it"):
        run(airflow)


def test_a_run_that_does_not_end_times_out_with_its_pods() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("running"))
    pods = Pods(pods={"p": PodEvidence("p", "t0", "task", "Running", "", "")})
    with pytest.raises(WaitTimeout) as caught:
        run(airflow, pods, timeout=30.0)
    assert caught.value.last_state == "running: t0 running"
    assert "pod p (task of t0, Running)" in caught.value.evidence


def test_pods_that_are_not_followed_any_more_end_the_run_with_that_error() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("running"))
    with pytest.raises(EnvironmentFailed, match="forbidden"):
        run(airflow, Pods(broken=EnvironmentFailed("forbidden")))


def test_a_passing_failure_of_the_api_is_waited_out() -> None:
    def state(at: float) -> str:
        if at < 4:
            raise AirflowUnavailable("restarting")
        return "success"

    assert run(Airflow(Clock(), state, lambda _at: tasks("success"))).outcome.state == "success"


def test_instances_of_a_mapped_task_are_told_apart() -> None:
    mapped = tuple(TaskInfo("m", index, "success", 1, 1.0, None) for index in (0, 1))
    made = run(Airflow(Clock(), lambda _at: "success", lambda _at: mapped))
    assert set(made.outcome.tasks) == {"m[0]", "m[1]", "m"}


@pytest.mark.parametrize(("second", "whole"), [("success", "success"), ("failed", "failed"), ("skipped", "skipped")])
def test_a_mapped_task_is_as_good_as_its_worst_instance(second: str, whole: str) -> None:
    mapped = tuple(TaskInfo("m", index, state, 1, 1.0, None) for index, state in enumerate(("success", second)))
    made = run(Airflow(Clock(), lambda _at: "success", lambda _at: mapped))
    assert made.outcome.tasks["m"].state == whole


def test_the_report_says_so_where_a_log_cannot_be_had() -> None:
    airflow = failing()
    outcome = run(airflow).outcome

    def refuse(*_args: object, **_options: object) -> tuple[str, ...]:
        raise AirflowUnavailable("gone")

    airflow.task_logs = refuse  # type: ignore[method-assign]
    assert failure_report(airflow, Pods(), outcome)["log of task t1"] == "gone"
