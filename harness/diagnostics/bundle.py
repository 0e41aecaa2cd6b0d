"""The folder that is kept of a failure: every text redacted and cut to size, never in the way of the failure."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, ParamSpec

from harness.redaction import Redactor
from harness.wait import SYSTEM_CLOCK, Clock

_log = logging.getLogger(__name__)
Given = ParamSpec("Given")

PROBLEMS: Final = "collection-problems.txt"
MOST_CHARACTERS: Final = 2_000_000
_UNFIT: Final = re.compile(r"[^\w.+=@-]+")


@dataclass(slots=True)
class Bundle:
    """Writes one bundle. What cannot be had or written becomes a line in `collection-problems.txt`.

    Attributes:
        folder: Where it goes; made if need be.
        redactor: Applied to every text before it is cut and written.
        budget: Seconds for the whole collection; what comes later is left out, and said so.
        clock: Where time comes from.
        problems: One line for each thing that could not be had.
        files: What was written, in order.
    """

    folder: Path
    redactor: Redactor
    budget: float = 120.0
    clock: Clock = SYSTEM_CLOCK
    problems: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._began = self.clock.monotonic()

    def attempt(self, what: str, collector: Callable[Given, object], *args: Given.args, **kwargs: Given.kwargs) -> None:
        """Call one collector; its failure is noted and hides nothing else."""
        if self.clock.monotonic() - self._began > self.budget:
            self.problem(what, f"left out: the collection had taken {self.budget:.0f} s by then")
            return
        try:
            collector(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not mask the failure that is being recorded
            self.problem(what, f"{type(error).__name__}: {error}")

    def problem(self, what: str, why: str) -> None:
        """Note what could not be had, in a line of the list that lies beside the rest."""
        line = self.redactor.text(f"{what}: {' '.join(why.split())}")
        self.problems.append(line)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / PROBLEMS).open("a", encoding="utf-8") as out:
                out.write(line + "\n")
        except OSError as error:
            _log.warning("%s (and this could not be written down: %s)", line, error)

    def write(self, path: str, text: str) -> None:
        """Write a file, redacted, and of a long text the end only.

        Args:
            path: In the bundle; parts that make no good file name are replaced.
            text: What goes in.

        Raises:
            OSError: It cannot be written.
        """
        target = self.folder.joinpath(*(_fit(part) for part in path.split("/") if part))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Redacted before it is cut: half a secret would not be recognised.
        target.write_text(_end_of(self.redactor.text(text)), encoding="utf-8", errors="replace")
        self.files.append(target)


def _end_of(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"[the first {len(text) - MOST_CHARACTERS} characters are left out]\n{text[-MOST_CHARACTERS:]}"


def _fit(part: str) -> str:
    name = _UNFIT.sub("_", part)[:150]
    return name if name.strip(".") else "_"
