"""What became of every run, in a file that can be merged: one line of JSON per run, in any order.

Ids are unique, and nothing depends on the order of lines, so files of several machines are joined by putting their
lines together (`harness history --merge`, or Git's union merge). A line that cannot be read costs that line only.

A line, schema 1::

    {"schema": 1, "id": "4f0c...", "run": "20261121-084356-a9b9", "at": "2026-11-21T08:43:56+00:00", "verb": "run",
     "outcome": "red", "exit_code": 1, "code": "object.present", "seconds": 86.6, "phases": {"DAG run": 35.1},
     "dag_id": "dataset_pipeline", "dag_sha": "9efb...", "target": "kind", "supply": "packages", "harness": "0.1.0"}

`at` is when the run began. `code` is the diagnosis' where there is one, else the first check that failed, else empty.
`dag_sha` is the commit that the DAG folder was at, with "+" where it was changed since; empty where it is in no Git
repository. `seconds` and `phases` leave out what a run waited for its reader.
"""

from __future__ import annotations

import fcntl
import json
import re
import statistics
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

from harness.errors import ExitCode, UsageError

FILE: Final = "history.jsonl"
SCHEMA: Final = 1
OUTCOMES: Final[Mapping[ExitCode, str]] = {
    ExitCode.GREEN: "green",
    ExitCode.VERDICT_RED: "red",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.ENVIRONMENT_FAILED: "environment failed",
    ExitCode.USAGE: "usage",
    ExitCode.NOTHING_PROVEN: "nothing proven",
}
# What came up and stays is neither green nor red.
UP: Final = "up"
# How many of all runs are green is asked of those that were to say so, and were not broken off.
_TOLD: Final = frozenset({"green", "red", "environment failed", "nothing proven"})
_SPAN: Final = re.compile(r"(\d+)([hdw])")
_HOURS: Final = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True, slots=True)
class Line:
    """One run, as in the head of this module."""

    run: str
    at: str
    verb: str
    outcome: str
    exit_code: int
    code: str
    seconds: float
    phases: Mapping[str, float] = field(default_factory=dict)
    dag_id: str = ""
    dag_sha: str = ""
    target: str = ""
    supply: str = ""
    harness: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    schema: int = SCHEMA

    @property
    def began(self) -> datetime:
        """When the run began."""
        return datetime.fromisoformat(self.at)

    def to_json(self) -> str:
        """The line, without its end."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Line:
        """Read a line; names that this version does not know are passed over.

        Raises:
            ValueError: It is none; says why.
        """
        document = json.loads(text, parse_constant=_no_number)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - a caller looks for one kind of error
        if document.get("schema") != SCHEMA:
            raise ValueError(f"schema {document.get('schema')!r}, and this version reads {SCHEMA}")
        kinds = {"exit_code": int, "seconds": int | float, "phases": dict}
        given: dict[str, Any] = {}
        for one in fields(cls):
            value = document.get(one.name)
            kind = kinds.get(one.name, int if one.name == "schema" else str)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{one.name} is {value!r}")  # noqa: TRY004 - likewise
            given[one.name] = value
        if not given["id"]:
            raise ValueError("no id")
        if not all(isinstance(seconds, int | float) for seconds in given["phases"].values()):
            raise ValueError("a phase's time is no number")
        line = cls(**given)
        if line.began.tzinfo is None:
            raise ValueError("at has no time zone")
        return line


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that could not be read, or that another one contradicts.

    Attributes:
        file: Where it stands.
        number: Of the line, from 1.
        why: What is wrong with it.
    """

    file: Path
    number: int
    why: str

    def __str__(self) -> str:
        """Such as "history.jsonl:3: not valid JSON"."""
        return f"{self.file}:{self.number}: {self.why}"


@dataclass(frozen=True, slots=True)
class History:
    """The runs of one or more files, the oldest first, and what could not be read of them."""

    lines: tuple[Line, ...] = ()
    damaged: tuple[Damage, ...] = ()

    def since(self, begin: datetime | None) -> History:
        """Only the runs that began then or later."""
        return self if begin is None else History(tuple(one for one in self.lines if one.began >= begin), self.damaged)


@dataclass(frozen=True, slots=True)
class Group:
    """The runs that ended for one reason.

    Attributes:
        outcome: How they ended.
        code: Why; empty where nothing is the matter.
        count: How many.
        first: When the first of them began.
        last: When the last of them did.
        median: Of their seconds.
    """

    outcome: str
    code: str
    count: int
    first: datetime
    last: datetime
    median: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What a history says.

    Attributes:
        groups: Runs by outcome and code: those that failed first, the most frequent first.
        runs: How many runs.
        told: How many of them were to give a verdict and were not broken off.
        green: How many of those are green.
    """

    groups: tuple[Group, ...]
    runs: int
    told: int
    green: int

    @property
    def share(self) -> float | None:
        """Green ones among those that were to say so; None where there are none."""
        return self.green / self.told if self.told else None


def append(path: Path, line: Line) -> None:
    """Add a run; safe beside other runs of this machine.

    Raises:
        OSError: The file cannot be written.
    """
    _append(path, lambda _present: [line])


def read(*paths: Path) -> History:
    """The union of files; a file that is not there holds nothing.

    Where two lines have one id and say different things, the same one is taken whatever the order of the files, and
    the other is named as damaged.
    """
    found: dict[str, tuple[Line, Damage]] = {}
    damaged: list[Damage] = []
    for path in paths:
        raw = path.read_bytes() if path.exists() else b""
        for number, text in enumerate(raw.splitlines(), start=1):
            if not text.strip():
                continue
            try:
                line = Line.read(text.decode())
            except (ValueError, OverflowError, RecursionError) as error:
                why = "not valid JSON" if isinstance(error, json.JSONDecodeError) else str(error)
                damaged.append(Damage(path, number, why))
                continue
            here = Damage(path, number, f"another line has the id {line.id} and says something else")
            known = found.get(line.id)
            if known is None:
                found[line.id] = line, here
            elif known[0] != line:
                kept, other = sorted([known, (line, here)], key=lambda pair: pair[0].to_json())
                found[line.id] = kept
                damaged.append(other[1])
    lines = sorted((line for line, _where in found.values()), key=lambda line: (line.began, line.id))
    return History(tuple(lines), tuple(damaged))


def merge(into: Path, others: Sequence[Path]) -> int:
    """Add the runs of other files that are not in a file yet; returns how many.

    Nothing that is there is changed, damaged lines included. What has an id that is there already stays out, unless it
    is the one that `read` takes: files merged in any order say the same.

    Raises:
        UsageError: There is no such file.
        OSError: A file cannot be read or written.
    """
    missing = [path for path in others if not path.is_file()]
    if missing:
        raise UsageError(
            f"there is no history file {', '.join(map(str, missing))}",
            next_step=f"name a {FILE}, as it is in the folder of the evidence (.harness)",
        )
    new = read(*others).lines

    def lacking(present: History) -> list[Line]:
        known = {line.id: line.to_json() for line in present.lines}
        return [line for line in new if line.id not in known or line.to_json() < known[line.id]]

    return _append(into, lacking)


def tally(lines: Iterable[Line]) -> Tally:
    """Count runs by how and why they ended."""
    told = list(lines)
    grouped: dict[tuple[str, str], list[Line]] = {}
    for line in told:
        grouped.setdefault((line.outcome, line.code), []).append(line)
    groups = [
        Group(
            outcome=outcome,
            code=code,
            count=len(members),
            first=min(line.began for line in members),
            last=max(line.began for line in members),
            median=statistics.median(line.seconds for line in members),
        )
        for (outcome, code), members in grouped.items()
    ]
    groups.sort(key=lambda group: (group.outcome in {"green", UP}, -group.count, group.outcome, group.code))
    asked = [line for line in told if line.outcome in _TOLD and line.verb != UP]
    return Tally(tuple(groups), len(told), len(asked), sum(line.outcome == "green" for line in asked))


def document(history: History) -> dict[str, Any]:
    """A history and its tally as plain values, for programs; times in seconds."""
    counted = tally(history.lines)
    return {
        "schema": SCHEMA,
        "runs": counted.runs,
        "told": counted.told,
        "green": counted.green,
        "share_green": counted.share,
        "by_code": [
            {**asdict(group), "first": group.first.isoformat(), "last": group.last.isoformat()}
            for group in counted.groups
        ],
        "lines": [asdict(line) for line in history.lines],
        "damaged": [{"file": str(one.file), "line": one.number, "why": one.why} for one in history.damaged],
    }


def beginning(text: str, now: datetime) -> datetime:
    """What `--since` means: a day, a time (local where it names no zone), or a span such as "12h", "7d", "4w".

    Raises:
        UsageError: It is none of these.
    """
    if (span := _SPAN.fullmatch(text.strip())) is not None:
        try:
            return now - timedelta(hours=int(span[1]) * _HOURS[span[2]])
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text!r} is no time", next_step="use a day such as 2026-11-21, or a span such as 12h, 7d or 4w"
        ) from None


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _append(path: Path, lines: Callable[[History], Sequence[Line]]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as out:
        # Released when the file is closed, whatever becomes of this process.
        fcntl.flock(out, fcntl.LOCK_EX)
        new = lines(read(path))
        text = "".join(f"{line.to_json()}\n" for line in new)
        # In one write, so that a process that is killed leaves at most one torn line.
        out.write((_end_of_line(out) + text).encode())
        out.flush()
    return len(new)


def _end_of_line(file: BinaryIO) -> str:
    """What ends a line that a killed writer has left unfinished: the next one must not be lost with it."""
    size = file.seek(0, 2)
    if not size:
        return ""
    file.seek(size - 1)
    return "" if file.read(1) == b"\n" else "\n"
