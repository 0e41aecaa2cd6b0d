"""When a run counts as stuck, and when not yet."""

from __future__ import annotations

from dataclasses import dataclass

from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import Health, TaskInfo
from harness.model import PodEvidence
from harness.pipeline.stuck import StuckTasks


@dataclass
class Clock:
    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float, /) -> None:
        self.seconds += seconds


def healthy() -> Health:
    return Health("healthy", "unhealthy", "healthy")


def task(state: str, try_number: int = 1) -> TaskInfo:
    return TaskInfo("pull", -1, state, try_number, None, None)


def pod(role: str, phase: str = "Running") -> dict[str, PodEvidence]:
    return {f"{role}-pod": PodEvidence(f"{role}-pod", "pull", role, phase, "", "")}


def test_a_run_that_stays_queued_is_stuck_and_the_schedulers_health_is_told() -> None:
    clock = Clock()
    stuck = StuckTasks(clock)
    assert stuck.reason("queued", (), {}, healthy) is None
    clock.sleep(59)
    assert stuck.reason("queued", (), {}, healthy) is None
    clock.sleep(1)
    told = stuck.reason("queued", (), {}, healthy)
    assert told is not None
    assert "the scheduler is unhealthy" in told


def test_a_run_that_got_going_again_starts_anew() -> None:
    clock = Clock()
    stuck = StuckTasks(clock)
    stuck.reason("queued", (), {}, healthy)
    clock.sleep(59)
    stuck.reason("running", (), {}, healthy)
    stuck.reason("queued", (), {}, healthy)
    clock.sleep(2)
    assert stuck.reason("queued", (), {}, healthy) is None


def test_a_queued_task_without_a_pod_is_stuck_and_with_one_is_not() -> None:
    for pods, expected in (({}, True), (pod("executor", "Pending"), False)):
        clock = Clock()
        stuck = StuckTasks(clock)
        stuck.reason("running", (task("queued"),), pods, healthy)
        clock.sleep(90)
        assert (stuck.reason("running", (task("queued"),), pods, healthy) is not None) is expected


def test_a_task_that_waits_while_another_works_is_not_stuck() -> None:
    clock = Clock()
    stuck = StuckTasks(clock)
    tasks = (task("scheduled"), TaskInfo("other", -1, "running", 1, None, None))
    works = {"other-pod": PodEvidence("other-pod", "other", "executor", "Running", "", "")}
    over = {"other-pod": PodEvidence("other-pod", "other", "executor", "Succeeded", "", "")}
    stuck.reason("running", tasks, works, healthy)
    clock.sleep(300)
    assert stuck.reason("running", tasks, works, healthy) is None
    assert stuck.reason("running", tasks, over, healthy) is None
    clock.sleep(90)
    assert stuck.reason("running", tasks, over, healthy) is not None


def test_a_task_called_running_after_its_pod_has_ended_is_stuck() -> None:
    clock = Clock()
    stuck = StuckTasks(clock)
    over = {**pod("executor"), **pod("task", "Succeeded")}
    stuck.reason("running", (task("running"),), over, healthy)
    clock.sleep(90)
    told = stuck.reason("running", (task("running"),), over, healthy)
    assert told is not None
    assert "task-pod has ended (Succeeded)" in told


def test_a_task_that_runs_as_long_as_its_pod_does_is_never_stuck() -> None:
    clock = Clock()
    stuck = StuckTasks(clock)
    alive = {**pod("executor"), **pod("task")}
    stuck.reason("running", (task("running"),), alive, healthy)
    clock.sleep(10_000)
    assert stuck.reason("running", (task("running"),), alive, healthy) is None


def test_patience_multiplies_every_limit() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, patience=3.0)
    stuck.reason("queued", (), {}, healthy)
    clock.sleep(179)
    assert stuck.reason("queued", (), {}, healthy) is None
    clock.sleep(1)
    assert stuck.reason("queued", (), {}, healthy) is not None


def test_an_api_that_does_not_answer_is_told_instead_of_the_health() -> None:
    def unavailable() -> Health:
        raise AirflowUnavailable("no answer")

    clock = Clock()
    stuck = StuckTasks(clock)
    stuck.reason("queued", (), {}, unavailable)
    clock.sleep(60)
    assert "no answer" in (stuck.reason("queued", (), {}, unavailable) or "")
