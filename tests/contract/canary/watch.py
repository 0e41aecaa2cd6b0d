"""Sees the command line of every process that comes and goes while a block lasts, also of those in containers."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from .scan import leaks

_EVERY = 0.05
# How often each process is read: at first it is still a copy of its parent, which runs another program.
_READ = 4


class CommandLines:
    """Looks all the time; one process that lives for less than a twentieth of a second may be missed.

    Use it as a context manager. `seen` grows while it lasts.
    """

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._read: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="command lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def leaks(self, canaries: Mapping[str, str]) -> dict[str, set[str]]:
        """Names of secrets by the program in whose command line they stood."""
        lines = set(self.seen)
        if not leaks(b"\n".join(lines), canaries):
            return {}
        return {
            line.split(b" ")[0].decode(errors="replace"): found for line in lines if (found := leaks(line, canaries))
        }

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            there = {name for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - names only
            for gone in self._read.keys() - there:
                del self._read[gone]  # the number may come again
            for name in there:
                if self._read[name] < _READ:
                    self._read[name] += 1
                    self._note(Path("/proc") / name / "cmdline")

    def _note(self, path: Path) -> None:
        try:
            words = path.read_bytes()
        except OSError:
            return  # it has ended
        if words:
            self.seen.add(words.replace(b"\0", b" ").strip())
