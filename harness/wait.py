"""The one way to wait.

No other module sleeps. A wait has a deadline on the monotonic clock, asks a probe for the current state, and ends
when the state is the wanted one, when it can no longer become so (a *failure* predicate, asked first), or when
time is up; the error then carries the last state seen. Only changes of state are reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from harness.errors import WaitAbandoned, WaitFailed, WaitTimeout

State = TypeVar("State")


class Clock(Protocol):
    """Where time comes from; tests pass their own."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    def sleep(self, seconds: float, /) -> None:
        """Let the given seconds pass."""


@dataclass(frozen=True, slots=True)
class _SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK: Clock = _SystemClock()


@dataclass(frozen=True, slots=True)
class Waiter:
    """How patient a run is.

    Attributes:
        clock: Where time comes from.
        patience: Every deadline is multiplied by this; above 1 on slow machines (`--patience`).
        on_change: Called with (what, description) each time the described state changes.
        given_up: True once nobody needs what is waited for any more: something beside it has failed.
    """

    clock: Clock = SYSTEM_CLOCK
    patience: float = 1.0
    on_change: Callable[[str, str], None] = lambda _what, _state: None
    given_up: Callable[[], bool] = lambda: False

    def until(
        self,
        what: str,
        probe: Callable[[], State],
        *,
        ready: Callable[[State], bool],
        timeout: float,
        failed: Callable[[State], str | None] = lambda _state: None,
        describe: Callable[[State], str] = str,
        interval: float = 0.5,
        stable: int = 1,
        transient: tuple[type[Exception], ...] = (),
        next_step: str = "",
    ) -> State:
        """Ask `probe` until the state is the wanted one.

        Args:
            what: What is waited for, as it reads after "waited 30 s for".
            probe: Returns the current state; must bound its own run time.
            ready: True once the state is the wanted one.
            timeout: Seconds, before `patience` is applied. The probe is asked at least once, and once more at
                the deadline, so a slow probe never turns a reached state into a timeout; a state that is ready
                then may still prove stable.
            failed: The reason why the wanted state can no longer be reached, or None. Asked before `ready`.
            describe: One line for messages. Must not hold secrets.
            interval: Seconds between two probes.
            stable: How many probes in a row must find the state ready.
            transient: Exceptions of the probe that count as "not yet"; any other one ends the wait.
            next_step: Advice for the reader if the wait fails.

        Returns:
            The state that was found ready.

        Raises:
            WaitFailed: `failed` gave a reason.
            WaitAbandoned: `given_up` says that nobody needs it any more.
            WaitTimeout: The deadline passed first.
        """
        limit = timeout * self.patience
        deadline = self.clock.monotonic() + limit
        cause: Exception | None
        reported: str | None = None
        streak = 0
        while True:
            last_round = self.clock.monotonic() >= deadline
            try:
                state = probe()
            except transient as error:
                streak = 0
                cause = error
                described = f"{type(error).__name__}: {error}"
            else:
                cause = None
                described = describe(state)
                reason = failed(state)
                if reason is not None:
                    raise WaitFailed(what=what, reason=reason, next_step=next_step)
                streak = streak + 1 if ready(state) else 0
                if streak >= stable:
                    return state
            if described != reported:
                self.on_change(what, described)
                reported = described
            if self.given_up():
                raise WaitAbandoned(what=what, reason="something else has failed")
            if last_round and streak == 0:
                error_out = WaitTimeout(what=what, seconds=limit, last_state=described)
                error_out.next_step = next_step
                raise error_out from cause
            remaining = max(deadline - self.clock.monotonic(), 0.0)
            self.clock.sleep(interval if last_round else min(interval, remaining))
