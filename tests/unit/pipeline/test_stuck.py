"""When a run counts as stuck, and when not yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagInfo, Health, TaskInfo
from harness.model import PodEvidence
from harness.pipeline.stuck import Stuck, StuckTasks
from tests.fakes import Clock


def unwell() -> Health:
    return Health("healthy", "unhealthy", "healthy")


def well() -> Health:
    return Health("healthy", "healthy", "healthy")


def dag(*, paused: bool = False, stale: bool = False) -> DagInfo:
    return DagInfo(
        dag_id="d",
        is_paused=paused,
        is_stale=stale,
        has_import_errors=False,
        last_parsed_time=None,
        last_parse_duration=None,
        file="",
        bundle="",
    )


def task(state: str, try_number: int = 1) -> TaskInfo:
    return TaskInfo("pull", -1, state, try_number, None, None)


def pod(role: str, phase: str = "Running") -> dict[str, PodEvidence]:
    return {f"{role}-pod": PodEvidence(f"{role}-pod", "pull", role, phase, "", "")}


def test_a_run_that_stays_queued_is_stuck_and_the_schedulers_health_is_told() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    assert stuck.reason("queued", (), {}, unwell) is None
    clock.sleep(59)
    assert stuck.reason("queued", (), {}, unwell) is None
    clock.sleep(1)
    told = stuck.reason("queued", (), {}, unwell)
    assert told is not None
    assert "the scheduler is unhealthy" in told.why
    assert not told.own


def test_a_run_that_got_going_again_starts_anew() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    stuck.reason("queued", (), {}, unwell)
    clock.sleep(59)
    stuck.reason("running", (), {}, unwell)
    stuck.reason("queued", (), {}, unwell)
    clock.sleep(2)
    assert stuck.reason("queued", (), {}, unwell) is None


def test_a_queued_task_without_a_pod_is_stuck_and_with_one_is_not() -> None:
    for pods, expected in (({}, True), (pod("executor", "Pending"), False)):
        clock = Clock()
        stuck = StuckTasks(clock, dag=dag)
        stuck.reason("running", (task("queued"),), pods, unwell)
        clock.sleep(90)
        assert (stuck.reason("running", (task("queued"),), pods, unwell) is not None) is expected


def test_a_task_that_waits_while_another_works_is_not_stuck() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    tasks = (task("scheduled"), TaskInfo("other", -1, "running", 1, None, None))
    works = {"other-pod": PodEvidence("other-pod", "other", "executor", "Running", "", "")}
    over = {"other-pod": PodEvidence("other-pod", "other", "executor", "Succeeded", "", "")}
    stuck.reason("running", tasks, works, unwell)
    clock.sleep(300)
    assert stuck.reason("running", tasks, works, unwell) is None
    assert stuck.reason("running", tasks, over, unwell) is None
    clock.sleep(90)
    assert stuck.reason("running", tasks, over, unwell) is not None


def test_a_task_called_running_after_its_pod_has_ended_is_stuck() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    over = {**pod("executor"), **pod("task", "Succeeded")}
    stuck.reason("running", (task("running"),), over, unwell)
    clock.sleep(90)
    told = stuck.reason("running", (task("running"),), over, unwell)
    assert told is not None
    assert "task-pod has ended (Succeeded)" in told.why


def test_a_task_that_runs_as_long_as_its_pod_does_is_never_stuck() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    alive = {**pod("executor"), **pod("task")}
    stuck.reason("running", (task("running"),), alive, unwell)
    clock.sleep(10_000)
    assert stuck.reason("running", (task("running"),), alive, unwell) is None


def test_patience_multiplies_every_limit() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag, patience=3.0)
    stuck.reason("queued", (), {}, unwell)
    clock.sleep(179)
    assert stuck.reason("queued", (), {}, unwell) is None
    clock.sleep(1)
    assert stuck.reason("queued", (), {}, unwell) is not None


def test_an_api_that_does_not_answer_is_told_instead_of_the_health() -> None:
    def unavailable() -> Health:
        raise AirflowUnavailable("no answer")

    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    stuck.reason("queued", (), {}, unavailable)
    clock.sleep(60)
    assert "no answer" in str(stuck.reason("queued", (), {}, unavailable))


def looked_at(
    stuck: StuckTasks, clock: Clock, seconds: int, tasks: Sequence[TaskInfo], health: Callable[[], Health] = well
) -> Stuck | None:
    """What is said at the first of some looks, a second apart, at which anything is said."""
    for _ in range(seconds):
        if found := stuck.reason("running", tasks, pod("executor", "Succeeded"), health):
            return found
        clock.sleep(1)
    return None


def other(state: str) -> TaskInfo:
    return TaskInfo("other", -1, state, 1, None, None)


POOL = (
    "ready to run, and never queued (held by a pool that is not there or has no room, or by a limit that the DAG sets)"
)
PAST = "not begun, with nothing in this run to wait for (held by depends_on_past, or by a date to come)"


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ((task("scheduled"), other("none")), f"pull {POOL}"),
        ((other("success"), TaskInfo("pull", 2, "scheduled", 1, None, None)), f"pull[2] {POOL}"),
        ((task("none", 0), other("none")), f"pull, other {PAST}"),
    ],
    ids=["a pool that is not there", "behind a task that succeeded", "depends_on_past"],
)
def test_a_run_in_which_nothing_goes_on_though_airflow_is_well_is_the_dags_own_doing(
    tasks: tuple[TaskInfo, ...], why: str
) -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    assert looked_at(stuck, clock, 150, tasks) is None
    told = "; the scheduler is healthy, the database healthy (for 150 s)"
    assert stuck.reason("running", tasks, {}, well) == Stuck(why + told, own=True)


@pytest.mark.parametrize("state", ["running", "deferred", "up_for_retry", "up_for_reschedule", "restarting"])
def test_a_task_may_wait_for_as_long_as_another_waits_by_its_own_will(state: str) -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    assert looked_at(stuck, clock, 300, (task("none", 0), other(state))) is None
    waits = looked_at(stuck, clock, 300, (TaskInfo("third", -1, "scheduled", 1, None, None), other(state)))
    # What is called running, or by a word of another version's, while no pod is, may be Airflow's mistake.
    assert waits is None or (state in {"running", "restarting"} and not waits.own)


def test_a_run_all_of_whose_tasks_are_over_is_not_idle() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    assert looked_at(stuck, clock, 300, (task("success"), other("skipped"))) is None


def test_a_run_gets_the_whole_time_again_whenever_one_of_its_tasks_got_on() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    assert looked_at(stuck, clock, 149, (task("none", 0), other("none"))) is None
    assert looked_at(stuck, clock, 150, (task("success"), other("none"))) is None
    assert looked_at(stuck, clock, 1, (task("success"), other("none"))) is not None


def test_what_waits_for_a_queue_that_nobody_serves_is_not_the_dags_doing() -> None:
    clock = Clock()
    found = looked_at(StuckTasks(clock, dag=dag), clock, 300, (TaskInfo("third", -1, "queued", 1, None, None),))
    assert found is not None
    assert not found.own
    assert clock.seconds == 90


def broken() -> Health:
    raise AirflowUnavailable("no answer")


UNWELL: dict[str, tuple[Callable[[], Health], Callable[[], DagInfo], str]] = {
    "the scheduler": (unwell, dag, "the scheduler is unhealthy"),
    "the DAG processor": (lambda: Health("healthy", "healthy", "unhealthy"), dag, "the DAG processor unhealthy"),
    "the API": (broken, dag, "no answer"),
    "somebody paused the DAG": (well, lambda: dag(paused=True), "the DAG paused"),
    "the DAG is lost to Airflow": (well, lambda: dag(stale=True), "the DAG stale"),
}


@pytest.mark.parametrize("name", UNWELL)
def test_nothing_is_the_dags_doing_while_airflow_is_not_well(name: str) -> None:
    health, seen, why = UNWELL[name]
    clock = Clock()
    found = looked_at(
        StuckTasks(clock, dag=seen),
        clock,
        300,
        (task("none", 0), TaskInfo("x", -1, "scheduled", 1, None, None)),
        health,
    )
    assert found is not None
    assert not found.own
    assert why in found.why
    # Where no task is ready to run either, it may yet get well, for as long as the run may last.
    assert looked_at(StuckTasks(clock, dag=seen), clock, 900, (task("none", 0),), health) is None


def test_airflow_must_be_well_at_every_look_of_the_last_minute() -> None:
    clock = Clock()
    stuck = StuckTasks(clock, dag=dag)
    none = (task("none", 0),)
    assert looked_at(stuck, clock, 140, none) is None
    assert looked_at(stuck, clock, 1, none, unwell) is None
    assert looked_at(stuck, clock, 59, none) is None
    found = looked_at(stuck, clock, 5, none)
    assert found is not None
    assert found.own
    assert clock.seconds == 200
