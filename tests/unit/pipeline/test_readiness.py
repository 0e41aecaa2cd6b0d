"""When a DAG may be triggered, on a clock that only the wait moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagImportError, DagInfo
from harness.errors import DagNotReady, EnvironmentFailed, WaitFailed, WaitTimeout
from harness.pipeline.gitsync import Checkout
from harness.pipeline.readiness import wait_for_dag
from harness.wait import Waiter
from tests import fakes

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
OLD, NEW = "a" * 40, "b" * 40
FLIP = 10.0  # seconds after START at which the pushed commit becomes current


class Clock(fakes.Clock):
    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


@dataclass
class Airflow:
    """Says at each moment what `script` does for that second."""

    clock: Clock
    dag_at: Callable[[float], DagInfo | None] = lambda _at: None
    errors_at: Callable[[float], tuple[DagImportError, ...]] = lambda _at: ()
    others: tuple[DagInfo, ...] = ()
    asked: list[float] = field(default_factory=list)

    def dag(self, dag_id: str) -> DagInfo | None:
        self.asked.append(self.clock.seconds)
        return self.dag_at(self.clock.seconds)

    def dags(self) -> tuple[DagInfo, ...]:
        return self.others

    def import_errors(self) -> tuple[DagImportError, ...]:
        return self.errors_at(self.clock.seconds)

    def probe(self) -> Checkout | None:
        if self.clock.seconds < FLIP:
            return Checkout(OLD, START - timedelta(hours=1))
        return Checkout(NEW, START + timedelta(seconds=FLIP))

    def wait(self, *files: str, timeout: float = 60.0) -> DagInfo:
        waiter = Waiter(self.clock)
        return wait_for_dag(
            self, "mine", NEW, self.probe, waiter=waiter, dag_files=files, timeout=timeout, now=lambda: self.clock.now
        )


def info(
    written: float,
    took: float | None = 1.0,
    *,
    dag_id: str = "mine",
    stale: bool = False,
    errors: bool = False,
    file: str = "m.py",
) -> DagInfo:
    return DagInfo(
        dag_id=dag_id,
        is_paused=True,
        is_stale=stale,
        has_import_errors=errors,
        last_parsed_time=START + timedelta(seconds=written),
        last_parse_duration=None if took is None else timedelta(seconds=took),
        file=file,
        bundle="dags-folder",
    )


def error(at: float, text: str = "SyntaxError: no", file: str = "m.py") -> DagImportError:
    return DagImportError(file, "dags-folder", f"Traceback\n{text}", START + timedelta(seconds=at))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_dag_parsed_after_the_flip_is_ready(clock: Clock) -> None:
    airflow = Airflow(clock, dag_at=lambda at: info(20) if at >= 20 else info(-5))
    assert airflow.wait().dag_id == "mine"
    assert 20 <= clock.seconds < 22


def test_a_dag_parsed_before_the_flip_is_not_ready(clock: Clock) -> None:
    with pytest.raises(WaitTimeout, match="waited 60 s"):
        Airflow(clock, dag_at=lambda _at: info(5)).wait()


def test_a_parse_that_began_before_the_flip_and_ended_after_it_does_not_count(clock: Clock) -> None:
    straddling, later = info(FLIP + 1, took=2.0), info(30, took=2.0)
    airflow = Airflow(clock, dag_at=lambda at: later if at >= 30 else straddling)
    airflow.wait()
    assert clock.seconds >= 30


def test_without_durations_the_second_parse_after_the_flip_counts(clock: Clock) -> None:
    def script(at: float) -> DagInfo:
        return info(31 if at >= 31 else 11, took=None)

    Airflow(clock, dag_at=script).wait()
    assert clock.seconds >= 31


@pytest.mark.parametrize("bad", [info(20, stale=True), info(20, errors=True)])
def test_a_stale_dag_is_not_ready(clock: Clock, bad: DagInfo) -> None:
    with pytest.raises(WaitTimeout) as caught:
        Airflow(clock, dag_at=lambda _at: bad).wait()
    assert "stale" in caught.value.last_state


def test_airflow_is_not_asked_for_the_dag_before_the_commit_is_there(clock: Clock) -> None:
    airflow = Airflow(clock, dag_at=lambda _at: info(20))
    airflow.wait()
    assert min(airflow.asked) >= FLIP


def test_the_last_state_names_the_commit_that_is_there_instead(clock: Clock) -> None:
    with pytest.raises(WaitTimeout) as caught:
        Airflow(clock).wait(timeout=5)
    assert OLD[:12] in caught.value.last_state


def test_an_import_error_of_the_dags_file_ends_the_wait_with_its_traceback(clock: Clock) -> None:
    airflow = Airflow(clock, errors_at=lambda at: (error(12),) if at >= 12 else ())
    with pytest.raises(DagNotReady, match=r"m\.py does not import: SyntaxError: no") as caught:
        airflow.wait("m.py")
    assert caught.value.evidence["import error"] == "Traceback\nSyntaxError: no"
    assert clock.seconds < 14


def test_an_import_error_of_another_file_does_not_end_the_wait(clock: Clock) -> None:
    airflow = Airflow(
        clock, dag_at=lambda at: info(20) if at >= 20 else None, errors_at=lambda _at: (error(12, file="theirs.py"),)
    )
    assert airflow.wait("m.py").dag_id == "mine"


def test_an_import_error_of_the_commit_before_does_not_end_the_wait(clock: Clock) -> None:
    airflow = Airflow(
        clock,
        dag_at=lambda at: info(20) if at >= 20 else info(5, stale=True, errors=True),
        errors_at=lambda at: () if at >= 20 else (error(5),),
    )
    assert airflow.wait("m.py").dag_id == "mine"


def test_the_same_error_just_after_the_flip_may_be_of_the_commit_before_and_is_waited_out(clock: Clock) -> None:
    def errors(at: float) -> tuple[DagImportError, ...]:
        if at >= 20:
            return ()
        return (error(FLIP + 1 if at >= FLIP + 1 else 5),)

    airflow = Airflow(clock, dag_at=lambda at: info(20) if at >= 20 else None, errors_at=errors)
    assert airflow.wait("m.py").dag_id == "mine"


def test_the_same_error_well_after_the_flip_is_of_the_pushed_commit(clock: Clock) -> None:
    airflow = Airflow(clock, errors_at=lambda at: (error(25 if at >= 25 else 5),))
    with pytest.raises(WaitFailed, match="does not import"):
        airflow.wait("m.py")
    assert clock.seconds < 27


def test_without_given_files_the_recorded_file_of_the_dag_tells_whose_error_it_is(clock: Clock) -> None:
    airflow = Airflow(
        clock, dag_at=lambda _at: info(5, stale=True), errors_at=lambda at: (error(12),) if at >= 12 else ()
    )
    with pytest.raises(WaitFailed):
        airflow.wait()


def test_a_missing_provider_is_the_environments_fault(clock: Clock) -> None:
    text = "ModuleNotFoundError: No module named 'airflow.providers.amazon'"
    airflow = Airflow(clock, errors_at=lambda at: (error(12, text),) if at >= 12 else ())
    with pytest.raises(EnvironmentFailed, match="lacks provider apache-airflow-providers-amazon") as caught:
        airflow.wait("m.py")
    assert not isinstance(caught.value, WaitFailed)
    assert text in caught.value.evidence["import error"]


def test_a_dag_that_only_an_earlier_commit_defined_is_no_longer_defined(clock: Clock) -> None:
    airflow = Airflow(clock, dag_at=lambda _at: info(2), others=(info(12, dag_id="yours"),))
    with pytest.raises(WaitFailed, match="define yours instead"):
        airflow.wait("m.py")
    assert clock.seconds < FLIP + 2


def test_files_that_define_other_dags_end_the_wait_with_their_ids(clock: Clock) -> None:
    airflow = Airflow(clock, others=(info(12, dag_id="yours"), info(12, dag_id="unrelated", file="u.py")))
    with pytest.raises(DagNotReady, match="define yours instead"):
        airflow.wait("m.py")
    assert clock.seconds < FLIP + 2


def test_files_that_are_not_all_parsed_do_not_end_the_wait(clock: Clock) -> None:
    airflow = Airflow(clock, others=(info(12, dag_id="yours"), info(5, dag_id="late", file="n.py")))
    with pytest.raises(WaitTimeout) as caught:
        airflow.wait("m.py", "n.py")
    assert "yours" in caught.value.evidence["DAGs that are there"]


def test_a_passing_failure_of_the_api_is_waited_out(clock: Clock) -> None:
    def script(at: float) -> DagInfo:
        if at < 15:
            raise AirflowUnavailable("starting")
        return info(20)

    assert Airflow(clock, dag_at=script).wait().dag_id == "mine"


def test_a_checkout_without_a_time_counts_from_when_it_was_first_seen(clock: Clock) -> None:
    airflow = Airflow(clock, dag_at=lambda at: info(20) if at >= 20 else info(2))
    waiter = Waiter(clock)
    clock.seconds = 5.0
    wait_for_dag(airflow, "mine", NEW, lambda: Checkout(NEW, None), waiter=waiter, now=lambda: clock.now)
    assert clock.seconds >= 20


def test_a_commit_that_cannot_get_there_ends_the_wait_at_once_with_its_reason(clock: Clock) -> None:
    def fault() -> str | None:
        return "git-sync: HTTP 401" if clock.seconds >= 3 else None

    with pytest.raises(WaitFailed, match="git-sync: HTTP 401") as caught:
        wait_for_dag(Airflow(clock), "mine", NEW, lambda: Checkout(OLD, None), waiter=Waiter(clock), fault=fault)
    assert clock.seconds < 5
    assert "harness logs airflow" in caught.value.next_step


def test_a_processor_that_ends_each_time_ends_the_wait_once_the_commit_is_there(clock: Clock) -> None:
    airflow = Airflow(clock, dag_at=lambda _at: None)

    def broken() -> str | None:
        return "pod airflow/dp, container dag-processor: CrashLoopBackOff" if clock.seconds >= 3 else None

    with pytest.raises(WaitFailed, match="dag-processor: CrashLoopBackOff"):
        wait_for_dag(
            airflow,
            "mine",
            NEW,
            lambda: Checkout(NEW, clock.now),
            waiter=Waiter(clock),
            broken=broken,
            now=lambda: clock.now,
        )
    assert 3 <= clock.seconds < 5


def test_once_the_commit_is_there_no_fault_is_asked_for(clock: Clock) -> None:
    airflow = Airflow(clock, dag_at=lambda at: info(20) if at >= 20 else None)
    asked: list[float] = []

    def fault() -> str | None:
        asked.append(clock.seconds)
        return None

    wait_for_dag(airflow, "mine", NEW, airflow.probe, waiter=Waiter(clock), fault=fault, now=lambda: clock.now)
    assert max(asked) < FLIP
