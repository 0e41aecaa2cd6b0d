"""A run of the DAG from trigger to outcome, with an Airflow and pods that follow a script by the second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagInfo, Health, RunInfo, TaskInfo
from harness.errors import EnvironmentFailed, WaitFailed, WaitTimeout
from harness.model import PipelineRun, PodEvidence, Seeded
from harness.pipeline.trigger import run_pipeline
from harness.wait import Waiter
from tests.fakes import Clock

SEEDED = Seeded(sha="a" * 40, branch="main", prefix="p", dags_path="dags")


def tasks(*states: str) -> tuple[TaskInfo, ...]:
    return tuple(TaskInfo(f"t{n}", -1, state, 1, 2.5, None) for n, state in enumerate(states))


@dataclass
class Airflow:
    clock: Clock
    run_at: Callable[[float], str]
    tasks_at: Callable[[float], tuple[TaskInfo, ...]]
    paused: bool = True
    calls: list[tuple[str, Any]] = field(default_factory=list)
    company: tuple[RunInfo, ...] = ()
    scheduler: str = "healthy"
    unpausable: EnvironmentFailed | None = None

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

    def pause(self, dag_id: str) -> None:
        if self.unpausable is not None:
            raise self.unpausable
        self.calls.append(("pause", dag_id))

    def runs(self, dag_id: str | None = None, *, unfinished: bool = False) -> tuple[RunInfo, ...]:
        assert (dag_id, unfinished) == ("d", False)
        return (RunInfo("d", "r1", "manual", "success", started=True), *self.company)

    def fail_run(self, dag_id: str, run_id: str) -> None:
        self.calls.append(("fail", run_id))

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.run_at(self.clock.seconds)

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInfo, ...]:
        return self.tasks_at(self.clock.seconds)

    def health(self) -> Health:
        return Health("healthy", self.scheduler, "healthy")


@dataclass
class Pods:
    run_id: str = "r1"
    pods: dict[str, PodEvidence] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    dooms: dict[str, str] = field(default_factory=dict)
    broken: EnvironmentFailed | None = None
    settled: int = 0
    working: tuple[str, ...] = ()
    gaps: int = 0

    def check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def evidence(self) -> dict[str, PodEvidence]:
        return self.pods

    def logs(self, pod: str) -> dict[str, tuple[str, ...]]:
        return {"base": ("first", "last words")}

    def fatal(self) -> Mapping[str, str]:
        return self.faults

    def doomed(self) -> Mapping[str, str]:
        return self.dooms

    def settle(self, waiter: Waiter, *, timeout: float = 20.0) -> bool:
        self.settled += 1
        return not self.working

    def unsettled(self) -> tuple[str, ...]:
        return self.working


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


def test_the_dag_is_unpaused_after_the_trigger_and_paused_again_after_the_run() -> None:
    airflow = succeeding()
    run(airflow)
    assert [name for name, _ in airflow.calls] == ["trigger", "unpause", "pause"]


def test_a_dag_that_is_created_unpaused_is_paused_after_the_run_too() -> None:
    airflow = succeeding(paused=False)
    run(airflow)
    assert [name for name, _ in airflow.calls] == ["trigger", "pause"]


def test_the_dag_is_paused_again_also_after_a_run_that_could_not_be_carried_out() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("running"))
    with pytest.raises(WaitFailed, match="Evicted"):
        run(airflow, Pods(faults={"p": "pod p: Evicted"}))
    assert airflow.calls[-1] == ("pause", "d")


def test_a_dag_that_cannot_be_paused_again_hides_no_other_error() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("running"))
    airflow.unpausable = AirflowUnavailable("gone")
    with pytest.raises(WaitFailed, match="Evicted") as caught:
        run(airflow, Pods(faults={"p": "pod p: Evicted"}))
    assert caught.value.evidence["the DAG could not be paused again"] == "gone"


def scheduled(state: str, *, started: bool) -> RunInfo:
    return RunInfo("d", "scheduled__2026", "scheduled", state, started=started)


@pytest.mark.parametrize("state", ["success", "running", "failed"])
def test_another_run_that_went_beside_ours_is_named_instead_of_judged(state: str) -> None:
    airflow = succeeding()
    airflow.company = (scheduled(state, started=True),)
    with pytest.raises(EnvironmentFailed, match=r"d/scheduled__2026 \(scheduled, ") as caught:
        run(airflow)
    assert "schedule=None" in caught.value.next_step
    assert (("fail", "scheduled__2026") in airflow.calls) is (state == "running")


def test_another_run_that_only_waited_is_ended_and_spoils_nothing() -> None:
    airflow = succeeding()
    airflow.company = (scheduled("queued", started=False),)
    assert run(airflow).outcome.state == "success"
    assert airflow.calls[-2:] == [("pause", "d"), ("fail", "scheduled__2026")]


def test_a_run_that_was_over_before_is_no_company() -> None:
    airflow = succeeding()
    airflow.company = (scheduled("success", started=True),)
    assert run(airflow, earlier={"scheduled__2026"}).outcome.state == "success"


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


def test_a_run_that_goes_on_after_a_lost_task_is_ended() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("failed", "running"))
    assert run(airflow).outcome.state == "failed"
    assert airflow.calls[-2:] == [("fail", "r1"), ("pause", "d")]


def test_the_end_of_a_lost_run_is_not_waited_for_without_a_scheduler() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("failed"), scheduler="unhealthy")
    assert run(airflow).outcome.state == "failed"
    assert airflow.clock.seconds == 0
    assert ("fail", "r1") in airflow.calls


def test_a_pod_that_never_starts_for_what_the_dag_names_ends_the_run_at_once_as_failed() -> None:
    pod = PodEvidence("p", "t0", "task", "Pending", "i", "", reason="CreateContainerConfigError")
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("running"))
    made = run(airflow, Pods(pods={"p": pod}, dooms={"p": "pod p: CreateContainerConfigError"}))
    assert made.outcome.state == "failed"
    assert made.pods == {"p": pod}
    assert airflow.clock.seconds == 0
    assert airflow.calls[-2:] == [("fail", "r1"), ("pause", "d")]


def test_a_run_that_succeeded_all_the_same_is_not_ended_for_a_doomed_pod() -> None:
    airflow = Airflow(Clock(), lambda _at: "success", lambda _at: tasks("success"))
    assert run(airflow, Pods(dooms={"p": "InvalidImageName"})).outcome.state == "success"
    assert ("fail", "r1") not in airflow.calls


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


@pytest.mark.parametrize(("state", "what"), [("scheduled", "t1 ready to run"), ("none", "t1 not begun")])
def test_a_run_of_which_no_task_gets_on_though_airflow_is_well_is_ended_and_judged(state: str, what: str) -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("success", state), paused=False)
    made = run(airflow)
    assert (made.outcome.state, made.outcome.overdue) == ("failed", None)
    assert made.outcome.stuck.startswith(what)
    assert airflow.calls[-2:] == [("fail", "r1"), ("pause", "d")]
    assert airflow.clock.seconds < 160


def test_a_run_whose_dag_somebody_paused_is_not_judged() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("success", "scheduled"), paused=True)
    with pytest.raises(WaitFailed, match="the DAG paused"):
        run(airflow)


def test_a_run_that_does_not_end_and_has_no_scheduler_times_out_with_its_pods() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("running"), scheduler="unhealthy")
    pods = Pods(pods={"p": PodEvidence("p", "t0", "task", "Running", "", "")})
    with pytest.raises(WaitTimeout) as caught:
        run(airflow, pods, timeout=30.0)
    assert caught.value.last_state == "running: t0 running"
    assert "pod p (task of t0, Running)" in caught.value.evidence


@pytest.mark.parametrize("state", ["running", "up_for_retry", "up_for_reschedule", "deferred"])
def test_a_run_whose_task_takes_too_long_is_ended_and_judged(state: str) -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("success", state))
    made = run_pipeline(airflow, Pods(), SEEDED, "d", waiter=Waiter(airflow.clock, patience=2.0), timeout=30.0)
    assert (made.outcome.state, made.outcome.overdue) == ("failed", 60.0)
    assert airflow.calls[-2:] == [("fail", "r1"), ("pause", "d")]


def test_a_run_that_waits_for_airflow_to_its_last_second_is_not_judged() -> None:
    airflow = Airflow(Clock(), lambda _at: "running", lambda _at: tasks("scheduled"))
    busy = {"p": PodEvidence("p", "elsewhere", "task", "Running", "", "")}
    with pytest.raises(WaitTimeout):
        run(airflow, Pods(pods=busy), timeout=30.0)


def test_a_run_that_ended_by_itself_is_not_overdue() -> None:
    assert [run(airflow).outcome.overdue for airflow in (succeeding(), failing())] == [None, None]
    assert [run(airflow).outcome.stuck for airflow in (succeeding(), failing())] == ["", ""]


def test_a_run_that_succeeded_is_not_judged_while_one_of_its_pods_still_works() -> None:
    with pytest.raises(EnvironmentFailed, match=r"not all of its pods have ended: p \(Running\)"):
        run(succeeding(), Pods(working=("p (Running)",)))


def test_a_run_that_failed_is_red_whatever_its_pods_still_do() -> None:
    assert run(failing(), Pods(working=("p (Running)",))).outcome.state == "failed"


def test_how_often_the_pods_were_out_of_sight_is_part_of_the_run() -> None:
    assert run(succeeding(), Pods(gaps=2)).watch.gaps == 2


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


def test_a_task_that_airflow_called_done_without_queuing_it_is_known_as_such() -> None:
    marks = (TaskInfo("pull", -1, "success", 1, 1.0, None), TaskInfo("mark", -1, "success", 1, 0.0, None, queued=False))
    made = run(Airflow(Clock(), lambda _at: "success", lambda _at: marks))
    assert {name: task.queued for name, task in made.outcome.tasks.items()} == {"pull": True, "mark": False}


def test_instances_of_a_mapped_task_are_told_apart() -> None:
    mapped = tuple(TaskInfo("m", index, "success", 1, 1.0, None) for index in (0, 1))
    made = run(Airflow(Clock(), lambda _at: "success", lambda _at: mapped))
    assert set(made.outcome.tasks) == {"m[0]", "m[1]", "m"}


@pytest.mark.parametrize(("second", "whole"), [("success", "success"), ("failed", "failed"), ("skipped", "skipped")])
def test_a_mapped_task_is_as_good_as_its_worst_instance(second: str, whole: str) -> None:
    mapped = tuple(TaskInfo("m", index, state, 1, 1.0, None) for index, state in enumerate(("success", second)))
    made = run(Airflow(Clock(), lambda _at: "success", lambda _at: mapped))
    assert made.outcome.tasks["m"].state == whole


@pytest.mark.parametrize("order", [("skipped", "failed", "success"), ("failed", "success", "skipped")])
def test_an_instance_that_was_skipped_does_not_hide_one_that_failed(order: tuple[str, ...]) -> None:
    mapped = tuple(TaskInfo("m", index, state, 1, 1.0, None) for index, state in enumerate(order))
    made = run(Airflow(Clock(), lambda _at: "success", lambda _at: mapped))
    assert made.outcome.tasks["m"].state == "failed"
