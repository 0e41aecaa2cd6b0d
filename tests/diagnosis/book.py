"""What the first line of each diagnosis was: collected while the tests run, shown and written at their end."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.model import Diagnosis

from .table import EVERY, Case

_LINE: Final = re.compile(r"(?P<code>[A-Z][A-Z0-9_]+): (?P<what>.*) \| (?P<where>[^|]*) \| (?P<do>[^|]*)")


@dataclass(frozen=True)
class Row:
    """What came of a case.

    Attributes:
        case: It.
        found: The first line; None where there was none.
        seconds: From the beginning to the diagnosis.
    """

    case: Case
    found: Diagnosis | None
    seconds: float

    @property
    def right(self) -> bool:
        return not wrong(self.case, self.found)


def wrong(case: Case, found: Diagnosis | None) -> str:
    """What of a first line is not as it must be; empty where all of it is."""
    if found is None:
        return "nothing was diagnosed"
    if found.code != case.code:
        return f"{found.code} instead of {case.code}"
    lacking = [words for words in case.says if words not in found.what]
    if lacking:
        return f"does not say {lacking[0]!r}"
    return "" if case.do in found.do else f"the next step does not name {case.do!r}"


def parsed(output: str) -> tuple[Diagnosis, ...]:
    """The diagnoses in what a run has printed, in order."""
    found = (_LINE.fullmatch(line.strip()) for line in output.splitlines())
    return tuple(Diagnosis(one["code"], one["what"], one["where"], one["do"]) for one in found if one)


@dataclass
class Book:
    """The rows so far, by name."""

    rows: dict[str, Row] = field(default_factory=dict)

    def check(self, case: Case, found: Sequence[Diagnosis], *, since: float) -> None:
        """Write a row, and fail where its first line is not the one it must be.

        Args:
            case: What was caused.
            found: What was diagnosed, the first first.
            since: When it began, on the monotonic clock.
        """
        first = found[0] if found else None
        self.rows[case.name] = Row(case, first, time.monotonic() - since)
        problem = wrong(case, first)
        assert not problem, "\n".join([problem, *map(str, found)])

    @property
    def headline(self) -> str:
        right = {row.case.code for row in self.rows.values() if row.right}
        seconds = sum(row.seconds for row in self.rows.values())
        wrong = sum(not row.right for row in self.rows.values())
        return f"causes diagnosed right at the first line: {len(right)}, wrong: {wrong}, {seconds:.0f} s"

    def matrix(self) -> str:
        """Codes, seconds and first lines, as text."""
        order = [case.name for case in EVERY if case.name in self.rows]
        width = max((len(self.rows[name].case.code) for name in order), default=0)
        lines = [self.headline, ""]
        for name in order:
            row = self.rows[name]
            lines.append(f"{row.case.code:{width}}  {row.seconds:5.1f} s  {row.case.caused}")
            lines.append(
                f"{'':{width}}  {'' if row.right else f'WRONG, {wrong(row.case, row.found)}: '}{row.found or ''}"
            )
        return "\n".join([*lines, ""])

    def write(self, folder: Path) -> None:
        """`diagnosis-matrix.txt` and `diagnosis-matrix.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        document = [
            {
                "name": name,
                "code": row.case.code,
                "caused": row.case.caused,
                "right": row.right,
                "seconds": round(row.seconds, 1),
                "line": str(row.found) if row.found else None,
            }
            for name, row in self.rows.items()
        ]
        (folder / "diagnosis-matrix.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (folder / "diagnosis-matrix.txt").write_text(self.matrix(), encoding="utf-8")
