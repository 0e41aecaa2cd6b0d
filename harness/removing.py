"""Taking down goes on past errors: each step is taken whatever became of those before; the first error is raised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.errors import CleanupFailed, HarnessError


@dataclass(slots=True)
class Removing:
    """Steps of taking down, each taken whatever became of those before."""

    problems: list[Exception] = field(default_factory=list)

    def step(self, action: Callable[[], object]) -> None:
        """Take a step."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - what is left behind is told at the end, after every other step
            self.problems.append(error)

    def conclude(self) -> None:
        """Raise what went wrong first, if anything did, with the others as its evidence.

        Raises:
            HarnessError: That; a `CleanupFailed` where it was none.
        """
        if not self.problems:
            return
        first, *others = self.problems
        if not isinstance(first, HarnessError):
            first = CleanupFailed(f"taking the run down failed: {first!r}", next_step="harness sweep")
            first.__cause__ = self.problems[0]
        for number, other in enumerate(others, start=2):
            first.evidence[f"problem {number}"] = str(other)
        raise first
