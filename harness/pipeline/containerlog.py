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

    def add(self, position: int, line: str, *, secrets: int = 0) -> bool:
        """Keep a redacted line at a position (from 1) of a log that may be read again from its start; False if known.

        Args:
            position: Of the line.
            line: It, without the secrets that stood in it.
            secrets: How many those were.
        """
        if position <= self.count:
            return False
        self.count = position
        self.lines.append(line)
        if secrets:
            self.leaking += 1
            self.first_leak = self.first_leak or position
        return True

    def begins(self, line: str) -> None:
        """Note the first line of a reading, unredacted: another one than before means that the log was begun anew."""
        head = hash(line)
        if self.head not in (None, head):
            self.missing = "it was begun anew while it was read"
        self.head = head
