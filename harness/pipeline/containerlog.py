"""What is kept of the log of one container."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

_KEPT_LINES: Final = 5000


@dataclass(slots=True)
class ContainerLog:
    """The log of one container instance.

    Attributes:
        container: Its name.
        lines: The last lines, redacted.
        count: How many lines there were.
        complete: Whether the reading has ended.
        certain: Whether the container is known to have started, so that there must be a log.
        missing: Why not all of it could be read; empty where it could.
        head: Of its first line, to tell whether another reading is of the same log.
        leaking: How many lines held a secret.
        first_leak: Position of the first of them; 0 if there is none.
    """

    container: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    count: int = 0
    complete: bool = False
    certain: bool = True
    missing: str = ""
    head: int | None = None
    leaking: int = 0
    first_leak: int = 0

    # Of the last line: how long it is unredacted, and whether it held a secret.
    _last: tuple[int, bool] = (0, False)

    def add(self, position: int, raw: str, line: str, *, secrets: int = 0) -> bool:
        """Keep a line at a position (from 1) of a log that may be read again from its start; False if it is known.

        A stream that ends well may end within a line. So the last line is known only until another reading has more
        of it, which then takes its place.

        Args:
            position: Of the line.
            raw: It as it was written; not kept.
            line: It, without the secrets that stood in it.
            secrets: How many those were.
        """
        if position == 1:
            self._begin(raw)
        length, leaks = self._last
        if position < self.count or (position == self.count and len(raw) <= length):
            return False
        if position == self.count:
            self.lines[-1] = line
        else:
            self.count, leaks = position, False
            self.lines.append(line)
        if secrets and not leaks:
            self.leaking += 1
            self.first_leak = self.first_leak or position
        self._last = (len(raw), leaks or secrets > 0)
        return True

    def _begin(self, raw: str) -> None:
        """Note the first line of a reading: another one than before means that the log was begun anew."""
        head = hash(raw)
        grew = self.count == 1 and hash(raw[: self._last[0]]) == self.head
        if self.head not in (None, head) and not grew:
            self.missing = "it was begun anew while it was read"
        self.head = head
