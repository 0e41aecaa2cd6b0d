"""The result of one check of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was looked at.
        level: Whether a run can do with it.
        found: What is there, with its number.
        needed: What should be there.
        mend: How to mend it; empty where nothing is to be mended.
    """

    name: str
    level: Level
    found: str
    needed: str
    mend: str = ""
