"""The folder that is kept of a failure: every text redacted and cut to size, never in the way of the failure."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from harness.redaction import Redactor
from harness.wait import SYSTEM_CLOCK, Clock

_log = logging.getLogger(__name__)
Given = ParamSpec("Given")
Found = TypeVar("Found")

PROBLEMS: Final = "collection-problems.txt"
MOST_CHARACTERS: Final = 2_000_000
_UNFIT: Final = re.compile(r"[^\w.+=@-]+")
# A source that did not answer in time this often is not asked again: it would eat the time of all others.
_MOST_SILENCES: Final = 2


@dataclass(slots=True)
class Bundle:
    """Writes one bundle. What cannot be had or written becomes a line in `collection-problems.txt`.

    Attributes:
        folder: Where it goes; made if need be.
        redactor: Applied to every text before it is cut and written.
        budget: Seconds for the whole collection; what comes later is left out, and said so.
        limit: Seconds for one part; a part that takes longer is left out, and said so.
        clock: Where time comes from.
        problems: One line for each thing that could not be had.
        files: What was written, in order.
    """

    folder: Path
    redactor: Redactor
    budget: float = 120.0
    limit: float = 30.0
    clock: Clock = SYSTEM_CLOCK
    problems: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    _began: float = field(default=0.0, init=False)
    _silences: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._began = self.clock.monotonic()

    def ask(
        self, source: str, what: str, collector: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs
    ) -> Found | None:
        """What one collector gives; None if it fails or does not end in time, which is noted and hides nothing else.

        Args:
            source: Whom it asks, such as "the cluster": one that was silent twice is not asked again.
            what: What it gets, for the reader.
            collector: Gets it and writes nothing: it may still run when nobody waits for it any more.
            args: For the collector.
            kwargs: Likewise.
        """
        if self._silences[source] >= _MOST_SILENCES:
            self.problem(what, f"left out: {source} did not answer in time before")
            return None
        left = self.budget - (self.clock.monotonic() - self._began)
        if left <= 0:
            self.problem(what, f"left out: the collection had taken {self.budget:.0f} s by then")
            return None
        got: list[Found] = []
        raised: list[BaseException] = []

        def call() -> None:
            try:
                got.append(collector(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - looked at below, in the thread that waits
                raised.append(error)

        limit = min(self.limit, left)
        thread = threading.Thread(target=call, name=f"collect {what}", daemon=True)
        thread.start()
        thread.join(limit)
        if raised:
            if not isinstance(raised[0], Exception):
                raise raised[0]
            self.problem(what, f"{type(raised[0]).__name__}: {raised[0]}")
            return None
        if not got:
            self._silences[source] += 1
            self.problem(what, f"left out: {source} did not give it within {limit:.0f} s")
            return None
        return got[0]

    def put(self, what: str, path: str, text: str | None) -> None:
        """Write a file as `write` does; that it cannot be written is noted. Nothing was found: nothing is written."""
        if text is None:
            return
        try:
            self.write(path, text)
        except (OSError, ValueError) as error:
            self.problem(what, f"{type(error).__name__}: {error}")

    def problem(self, what: str, why: str) -> None:
        """Note what could not be had, in a line of the list that lies beside the rest."""
        # Before it becomes one line, too: base64 that was broken into lines is no more to be recognised after that.
        line = self.redactor.text(f"{what}: {' '.join(self.redactor.text(why).split())}")
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
