"""Asking again after a passing failure: which failures pass, how often and how long to wait in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity

from harness.errors import EnvironmentFailed
from harness.wait import Clock

Result = TypeVar("Result")

_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_NOT_IMPLEMENTED: Final = 501


class Transient(Exception):
    """A failure that may pass by itself: no connection, no answer in time, HTTP 429 or 5xx.

    Attributes:
        retry_after: Seconds the server asked to wait; None if it did not say.
    """

    def __init__(self, message: str, *, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = float(retry_after) if retry_after and retry_after.strip().isdigit() else None


class AirflowUnavailable(EnvironmentFailed):
    """Airflow's API did not answer, however often it was asked; a wait may take this as "not yet"."""


def transient_status(status: int) -> bool:
    """Whether an HTTP status may pass by itself."""
    return status == _TOO_MANY or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How patient one call is.

    Attributes:
        clock: Passes the time between attempts.
        attempts: How often to ask at most.
        first: Seconds after the first failure; doubled after each further one.
        longest: Seconds between two attempts at most, also where the server asks for more.
    """

    clock: Clock
    attempts: int = 5
    first: float = 0.5
    longest: float = 8.0

    def call(self, what: str, ask: Callable[[], Result]) -> Result:
        """Ask until there is an answer. Only for calls that may safely be made twice.

        Raises:
            AirflowUnavailable: Every attempt raised `Transient`.
        """
        retrying = tenacity.Retrying(
            sleep=self.clock.sleep,
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._pause,
            retry=tenacity.retry_if_exception_type(Transient),
            reraise=True,
        )
        try:
            return retrying(ask)
        except Transient as error:
            raise AirflowUnavailable(
                f"Airflow's API does not answer: {error}",
                next_step="see the pods and the log of the API server; `harness status` shows them",
                evidence={"call": what, "attempts": str(self.attempts)},
            ) from error

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, Transient) else None
        doubled = self.first * 2.0 ** (state.attempt_number - 1)
        return min(max(doubled, asked or 0.0), self.longest)
