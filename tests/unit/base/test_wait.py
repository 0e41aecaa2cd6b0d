"""The one way to wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from harness.errors import WaitFailed, WaitTimeout
from harness.wait import SYSTEM_CLOCK, Waiter


@dataclass
class FakeClock:
    """Time passes only by sleeping, or when a probe says that it took long."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        self.now += seconds


def states(values: Iterable[object]) -> Callable[[], object]:
    """A probe that goes through the values and stays at the last."""
    remaining = list(values)

    def probe() -> object:
        value = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(value, Exception):
            raise value
        return value

    return probe


def test_a_state_that_is_ready_at_once_costs_no_sleep() -> None:
    clock = FakeClock()
    assert Waiter(clock=clock).until("x", lambda: 7, ready=lambda s: s == 7, timeout=10) == 7
    assert clock.slept == []


def test_the_state_found_ready_is_returned() -> None:
    assert Waiter(clock=FakeClock()).until("x", states([1, 2, 3]), ready=lambda s: s == 3, timeout=10) == 3


def test_the_timeout_error_names_what_how_long_and_the_last_state() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeout) as caught:
        Waiter(clock=clock).until(
            "the moon", states(["new", "half"]), ready=lambda _s: False, timeout=3, next_step="look up"
        )
    assert caught.value.last_state == "half"
    assert "waited 3 s for the moon" in str(caught.value)
    assert "next: look up" in str(caught.value)
    assert clock.now == pytest.approx(103.0)


def test_no_sleep_goes_past_the_deadline() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeout):
        Waiter(clock=clock).until("x", lambda: 0, ready=bool, timeout=1.2, interval=0.5)
    assert clock.slept == pytest.approx([0.5, 0.5, 0.2])


def test_a_slow_probe_is_asked_once_more_after_the_deadline() -> None:
    clock = FakeClock()
    answers = iter([False, True])

    def slow() -> bool:
        clock.now += 60
        return next(answers)

    assert Waiter(clock=clock).until("x", slow, ready=bool, timeout=5)


def test_the_probe_is_asked_even_with_no_time_at_all() -> None:
    assert Waiter(clock=FakeClock()).until("x", lambda: True, ready=bool, timeout=0)


def test_patience_multiplies_the_deadline() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeout, match="waited 30 s"):
        Waiter(clock=clock, patience=3).until("x", lambda: 0, ready=bool, timeout=10)
    assert clock.now == pytest.approx(130.0)


def test_failure_is_asked_before_success() -> None:
    with pytest.raises(WaitFailed, match="gave up waiting for the pod: image cannot be pulled"):
        Waiter(clock=FakeClock()).until(
            "the pod", lambda: "both", ready=lambda _s: True, failed=lambda _s: "image cannot be pulled", timeout=9
        )


def test_a_failure_ends_the_wait_at_once() -> None:
    clock = FakeClock()
    with pytest.raises(WaitFailed) as caught:
        Waiter(clock=clock).until(
            "x",
            states(["wait", "dead", "ready"]),
            ready=lambda s: s == "ready",
            failed=lambda s: "it died" if s == "dead" else None,
            timeout=600,
            next_step="bury it",
        )
    assert clock.slept == [0.5]
    assert caught.value.next_step == "bury it"


def test_stable_wants_that_many_ready_states_in_a_row() -> None:
    clock = FakeClock()
    Waiter(clock=clock).until("x", states([1, 1, 0, 1, 1, 1]), ready=bool, timeout=60, stable=3)
    assert len(clock.slept) == 5


def test_a_streak_that_begins_at_the_deadline_may_still_prove_stable() -> None:
    clock = FakeClock()

    def slow() -> bool:
        clock.now += 60
        return True

    assert Waiter(clock=clock).until("x", slow, ready=bool, timeout=5, stable=4, interval=0.5)
    # Reads back to back would say nothing about stability.
    assert clock.slept[1:] == [0.5, 0.5]


def test_a_streak_that_breaks_after_the_deadline_is_a_timeout() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeout):
        Waiter(clock=clock).until("x", states([0, 1, 1, 0]), ready=bool, timeout=1, stable=3, interval=1)
    assert clock.now == pytest.approx(103.0)


def test_a_transient_exception_is_not_yet_and_breaks_the_streak() -> None:
    clock = FakeClock()
    state = Waiter(clock=clock).until(
        "x", states([1, ConnectionError("refused"), 1, 1]), ready=bool, timeout=60, stable=2, transient=(OSError,)
    )
    assert state == 1
    assert len(clock.slept) == 3


def test_the_last_transient_exception_is_the_last_state_and_the_cause() -> None:
    problem = ConnectionError("refused")
    with pytest.raises(WaitTimeout) as caught:
        Waiter(clock=FakeClock()).until("x", states([problem]), ready=bool, timeout=1, transient=(OSError,))
    assert caught.value.last_state == "ConnectionError: refused"
    assert caught.value.__cause__ is problem


def test_a_transient_exception_that_was_overcome_is_not_the_cause() -> None:
    with pytest.raises(WaitTimeout) as caught:
        Waiter(clock=FakeClock()).until("x", states([OSError("gone"), 0]), ready=bool, timeout=1, transient=(OSError,))
    assert caught.value.__cause__ is None


def test_any_other_exception_ends_the_wait() -> None:
    with pytest.raises(KeyError):
        Waiter(clock=FakeClock()).until("x", states([KeyError("a")]), ready=bool, timeout=60, transient=(OSError,))


def test_only_changes_of_state_are_reported() -> None:
    seen: list[tuple[str, str]] = []
    waiter = Waiter(clock=FakeClock(), on_change=lambda what, state: seen.append((what, state)))
    waiter.until("x", states(["a", "a", "b", "b", "a", "z"]), ready=lambda s: s == "z", timeout=60)
    assert seen == [("x", "a"), ("x", "b"), ("x", "a")]


def test_the_description_is_what_is_reported() -> None:
    with pytest.raises(WaitTimeout) as caught:
        Waiter(clock=FakeClock()).until(
            "x", lambda: {"n": 1}, ready=lambda _s: False, timeout=1, describe=lambda _s: "one"
        )
    assert caught.value.last_state == "one"


def test_the_system_clock_passes_time() -> None:
    before = SYSTEM_CLOCK.monotonic()
    SYSTEM_CLOCK.sleep(0.01)
    assert SYSTEM_CLOCK.monotonic() - before >= 0.01


def test_a_wait_without_advice_gives_none() -> None:
    with pytest.raises(WaitTimeout) as caught:
        Waiter(clock=FakeClock()).until("x", lambda: 0, ready=bool, timeout=1)
    assert caught.value.next_step == ""


def test_the_first_state_is_reported_even_if_its_description_is_empty() -> None:
    seen: list[str] = []
    waiter = Waiter(clock=FakeClock(), on_change=lambda _what, state: seen.append(state))
    waiter.until("x", states(["", "z"]), ready=lambda s: s == "z", timeout=60)
    assert seen == [""]
