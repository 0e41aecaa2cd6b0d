"""How long each phase of a run took, and how long it usually takes.

Phases may overlap: they come from several threads. Times are seconds since the timeline was made.
"""

from __future__ import annotations

import json
import statistics
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from harness.wait import SYSTEM_CLOCK, Clock

_REMEMBERED = 20
# Behind the name of a phase that was only reused the last time.
_REUSED = " (reused)"
# The middle half of the times may differ by this factor, or all be within so many seconds, for one to be called usual.
_STEADY, _SHORT = 6.0, 3.0


@dataclass(frozen=True, slots=True)
class Phase:
    """One timed part of a run.

    Attributes:
        name: What was done, such as "kind cluster".
        start: Seconds since the timeline began.
        end: Likewise; None while it runs.
        outcome: How it ended.
        note: One short fact worth showing beside the time ("reused", "built 3 of 8").
    """

    name: str
    start: float
    end: float | None = None
    outcome: Literal["running", "done", "failed"] = "running"
    note: str = ""

    @property
    def seconds(self) -> float | None:
        """Duration, once it has ended."""
        return None if self.end is None else self.end - self.start


Listener = Callable[[Phase], None]


class Note:
    """What a phase tells of itself while it runs: its note, and whether what it did has failed without an error."""

    def __init__(self) -> None:
        self.text = ""
        self.failed = False

    def __call__(self, text: str, *, failed: bool = False) -> None:
        """Set both; the last word counts."""
        self.text, self.failed = text, failed


class Timeline:
    """Collects the phases of one run and tells listeners as they begin and end."""

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._lock = threading.Lock()
        self._phases: list[Phase] = []
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` with each phase when it begins and when it ends, from the thread that ran it."""
        self._listeners.append(listener)

    @contextmanager
    def phase(self, name: str) -> Iterator[Note]:
        """Time a block; yields what takes the phase's note."""
        note = Note()
        index = self._begin(name)
        try:
            yield note
        except BaseException:
            self._end(index, "failed", note.text)
            raise
        self._end(index, "failed" if note.failed else "done", note.text)

    @property
    def elapsed(self) -> float:
        """Seconds since the timeline began."""
        return self._clock.monotonic() - self._began

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All phases in the order in which they began."""
        with self._lock:
            return tuple(self._phases)

    def to_json(self) -> list[dict[str, object]]:
        """The phases as plain values, for `timeline.json`."""
        return [asdict(phase) for phase in self.phases]

    def _begin(self, name: str) -> int:
        with self._lock:
            self._phases.append(Phase(name, self.elapsed))
            index = len(self._phases) - 1
            phase = self._phases[index]
        for listener in self._listeners:
            listener(phase)
        return index

    def _end(self, index: int, outcome: Literal["done", "failed"], note: str) -> None:
        with self._lock:
            begun = self._phases[index]
            phase = Phase(begun.name, begun.start, self.elapsed, outcome, note)
            self._phases[index] = phase
        for listener in self._listeners:
            listener(phase)


class UsualTimes:
    """Remembers, on this machine, how long phases that succeeded took."""

    def __init__(self, path: Path, *, aside: Path | None = None) -> None:
        """Read them.

        Args:
            path: The file.
            aside: A folder on the same file system for the file while it is written: what a killed run leaves there
                goes with that folder. Default: beside the file.
        """
        self._path = path
        self._aside = aside or path.parent
        self._seconds: dict[str, list[float]] = {}
        if path.exists():
            try:
                self._seconds = {str(k): [float(s) for s in v] for k, v in json.loads(path.read_text()).items()}
            except (ValueError, AttributeError, TypeError):
                # A cache of hints: a damaged one is worth nothing and costs nothing.
                path.unlink(missing_ok=True)

    def of(self, name: str) -> float | None:
        """The median of the last runs in seconds.

        None if this phase never ended well here, or if there is no usual time: it was reused the last time, or takes
        now long, now next to nothing, as on a cluster that is now fresh, now kept.
        """
        seconds = self._seconds.get(name)
        if not seconds or f"{name}{_REUSED}" in self._seconds:
            return None
        if len(seconds) > 1:
            low, _middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
            if high > max(_STEADY * low, _SHORT):
                return None
        return statistics.median(seconds)

    def remember(self, timeline: Timeline) -> None:
        """Add the phases that ended well and were not merely reused; writes the file whole or not at all."""
        for phase in timeline.phases:
            if phase.outcome != "done" or phase.seconds is None:
                continue
            if phase.note.startswith("reused"):
                self._seconds[f"{phase.name}{_REUSED}"] = []
                continue
            self._seconds.pop(f"{phase.name}{_REUSED}", None)
            self._seconds.setdefault(phase.name, []).append(round(phase.seconds, 2))
            del self._seconds[phase.name][:-_REMEMBERED]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: two runs may end at the same time.
        fresh = self._aside / f"{self._path.name}.{uuid.uuid4().hex}.new"
        fresh.write_text(json.dumps(self._seconds, indent=1, sort_keys=True))
        fresh.replace(self._path)
