"""The timeline as rows of text: where in the run a phase lay and how long it was, so that overlap can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.timeline import Phase

_BAR = "━"
_BAR_ASCII = "="


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase on a common scale.

    Attributes:
        phase: The phase.
        left: Where it begins, 0 to 1 of the whole.
        width: How much of the whole it takes, 0 to 1.
    """

    phase: Phase
    left: float
    width: float

    def text(self, cells: int, *, ascii_only: bool = False) -> str:
        """The bar as a string of that many characters; at least one of them is filled."""
        first = min(int(self.left * cells), cells - 1)
        filled = max(1, min(round(self.width * cells), cells - first))
        return (" " * first + (_BAR_ASCII if ascii_only else _BAR) * filled).ljust(cells)


def bars(phases: Sequence[Phase], *, total: float) -> list[Bar]:
    """The phases in order of their beginning, on a scale of `total` seconds.

    A phase that still runs reaches to the end of the scale.
    """
    scale = max([total, *(phase.end or phase.start for phase in phases)], default=0.0) or 1.0
    return [
        Bar(phase, phase.start / scale, ((scale if phase.end is None else phase.end) - phase.start) / scale)
        for phase in sorted(phases, key=lambda phase: phase.start)
    ]
