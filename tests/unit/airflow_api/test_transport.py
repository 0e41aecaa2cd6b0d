"""Asking again: how often, with what pauses, and for which failures."""

from __future__ import annotations

import pytest

from harness.airflow.transport import AirflowUnavailable, Backoff, Transient, transient_status
from tests.fakes import Clock


class Failing:
    """Raises each error in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_passing_failure_is_asked_again_with_doubling_pauses() -> None:
    clock, ask = Clock(), Failing(*(Transient("busy") for _ in range(4)))
    assert Backoff(clock).call("x", ask) == "answer"
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]


def test_a_failure_that_does_not_pass_is_an_error_that_names_the_call_and_its_cause() -> None:
    clock, ask = Clock(), Failing(*(Transient("HTTP 503") for _ in range(9)))
    with pytest.raises(AirflowUnavailable, match="HTTP 503") as caught:
        Backoff(clock, attempts=3).call("GET dags", ask)
    assert ask.asked == 3
    assert caught.value.evidence["call"] == "GET dags"


def test_any_other_error_is_raised_at_once() -> None:
    clock, ask = Clock(), Failing(KeyError("x"))
    with pytest.raises(KeyError):
        Backoff(clock).call("x", ask)
    assert not clock.slept


@pytest.mark.parametrize(("asked", "paused"), [("3", 3.0), ("0", 0.5), ("3600", 8.0), ("Wed, 21 Oct 2026", 0.5)])
def test_the_pause_that_the_server_asks_for_is_kept_within_bounds(asked: str, paused: float) -> None:
    clock = Clock()
    Backoff(clock).call("x", Failing(Transient("slow down", retry_after=asked)))
    assert clock.slept == [paused]


@pytest.mark.parametrize(
    ("status", "passing"),
    [(429, True), (500, True), (502, True), (503, True), (504, True), (501, False), (400, False), (404, False)],
)
def test_which_statuses_pass_by_themselves(status: int, passing: bool) -> None:  # noqa: FBT001
    assert transient_status(status) is passing
