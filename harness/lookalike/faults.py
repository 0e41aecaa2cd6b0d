"""Failures to come: calls of an operation fail in a way that AWS fails, so that it can be seen what its callers say.

By a call within the process, or by a file that somebody else writes: a JSON list of objects with `service` (as boto3
names it), `operation` ("*" for all of the service), `problem` (a name of `Problem`, in lower case) and perhaps `times`,
without which it goes on for ever. A file that changes is read again, and counted anew.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.lookalike.errors import LookAlikeBroken, Problem, Refused

_SAID: Final = {
    Problem.THROTTLED: "Rate exceeded",
    Problem.EXPIRED: "The security token included in the request is expired",
    Problem.UNKNOWN_KEY: "The security token included in the request is invalid",
    Problem.DENIED: "User is not authorized to perform this operation: a failure that was asked for",
}


@dataclass(slots=True)
class _Fault:
    service: str
    operation: str
    problem: Problem
    times: int | None

    def hits(self, service: str, operation: str) -> bool:
        return self.service == service and self.operation in {operation, "*"} and self.times != 0


class Faults:
    """Failures to come.

    Args:
        file: That somebody else may write; None for nobody.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._read: tuple[int, int] | None = None
        self._told: list[_Fault] = []
        self._listed: list[_Fault] = []
        self._lock = threading.Lock()

    def fail(self, service: str, operation: str, problem: Problem, times: int | None = None) -> None:
        """Let the next calls of an operation fail; all from now on where no number is given."""
        with self._lock:
            self._told.append(_Fault(service, operation, problem, times))

    def throttle(self, service: str, operation: str, times: int) -> None:
        """Throttle the next calls of an operation."""
        self.fail(service, operation, Problem.THROTTLED, times)

    def clear(self) -> None:
        """Let nothing fail any more."""
        with self._lock:
            self._told.clear()

    def check(self, service: str, operation: str) -> None:
        """Use one up.

        Raises:
            Refused: This call fails.
            LookAlikeBroken: The file cannot be read.
        """
        with self._lock:
            self._look()
            fault = next((one for one in (*self._told, *self._listed) if one.hits(service, operation)), None)
            if fault is None:
                return
            if fault.times is not None:
                fault.times -= 1
        raise Refused(fault.problem, _SAID.get(fault.problem, fault.problem.value))

    def _look(self) -> None:
        if self._file is None:
            return
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._read, self._listed = None, []
            return
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._read:
            self._listed = _listed(self._file)
            self._read = stamp


def _listed(file: Path) -> list[_Fault]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, list):
            raise LookAlikeBroken(f"{file.name} is no list of failures")
        return [
            _Fault(str(one["service"]), str(one["operation"]), Problem[str(one["problem"]).upper()], one.get("times"))
            for one in found
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LookAlikeBroken(f"{file.name} is no list of failures: {type(error).__name__}: {error}") from None
