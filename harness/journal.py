"""What a run has created, written down *before* it is created, so that a killed run can be cleaned up.

One run, one append-only file of JSON lines under `<state>/runs/<run id>/journal.jsonl`:

    {"op": "create", "id": 3, "kind": "cluster", "name": "h-7f3a", "detail": {...}, "at": "2026-01-31T12:00:00+00:00",
     "expires": "2026-02-01T12:00:00+00:00"}
    {"op": "remove", "id": 3}

An entry without a matching `remove` may exist. Nothing outside a journal is ever deleted.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.errors import EnvironmentFailed

# No run takes that long, whatever its patience. What is kept on purpose is known by its folder, not by its age.
LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a run created or was about to create.

    Attributes:
        id: Unique in its journal, in order of creation.
        kind: What it is, and so who can remove it: `cluster`, `eks` (an environment in an EKS cluster), `container`,
            `gateway` (a look-alike's process and its store), `image-name` (by which an engine knows an image while it
            pushes it), `git-branch` (on a Git server of the reader's own).
        name: Its exact name in that kind; removal goes by this, never by prefix.
        detail: What its remover needs besides.
    """

    id: int
    kind: str
    name: str
    detail: Mapping[str, str] = field(default_factory=dict)


def expires_at(created: datetime | None = None) -> str:
    """When what is created at some time, by default now, counts as left behind: in the journal, and as a label."""
    return ((created or datetime.now(UTC)) + LIFETIME).isoformat(timespec="seconds")


class Journal:
    """The journal of one run; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._next = max((entry.id for entry in _entries(path)), default=0) + 1

    def record(self, kind: str, name: str, **detail: str) -> Entry:
        """Note that a thing is about to be created; returns once the note is on disk."""
        with self._lock:
            entry = Entry(self._next, kind, name, detail)
            self._next += 1
            now = datetime.now(UTC)
            self._append(
                {
                    "op": "create",
                    "id": entry.id,
                    "kind": kind,
                    "name": name,
                    "detail": detail,
                    "at": now.isoformat(timespec="seconds"),
                    "expires": expires_at(now),
                }
            )
        return entry

    def removed(self, entry: Entry) -> None:
        """Note that the thing is gone."""
        with self._lock:
            self._append({"op": "remove", "id": entry.id})

    def open(self) -> list[Entry]:
        """What may still exist, newest first: the order of removal."""
        with self._lock:
            gone = {line["id"] for line in _lines(self.path) if line["op"] == "remove"}
            return [entry for entry in reversed(_entries(self.path)) if entry.id not in gone]

    def _append(self, line: Mapping[str, object]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(self.path)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line, sort_keys=True) + "\n")
            out.flush()
            os.fsync(out.fileno())


def _drop_torn_line(path: Path) -> None:
    """Cut off what a killed writer left unfinished, or the next line would be glued to it and lost."""
    raw = path.read_bytes() if path.exists() else b""
    if raw and not raw.endswith(b"\n"):
        os.truncate(path, raw.rfind(b"\n") + 1)


def _lines(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    lines: list[dict[str, object]] = []
    # Only a line with its end was written whole. What a torn one announced had not been created yet.
    raw = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    for number, text in enumerate(raw, start=1):
        try:
            lines.append(_checked(json.loads(text)))
        except (ValueError, TypeError, KeyError) as error:
            raise EnvironmentFailed(
                f"the journal {path} is damaged in line {number}",
                next_step="remove by hand what its other lines name, then delete the file",
            ) from error
    return lines


def _checked(line: dict[str, object]) -> dict[str, object]:
    """A line with all that its reader goes by; raises as a mapping does where it is none, or lacks something."""
    int(str(line["id"]))
    if line["op"] == "create":
        dict(line.get("detail") or {})  # type: ignore[call-overload]
        str(line["kind"]) + str(line["name"])
    return line


def _entries(path: Path) -> list[Entry]:
    return [
        Entry(
            id=int(str(line["id"])),
            kind=str(line["kind"]),
            name=str(line["name"]),
            detail={str(k): str(v) for k, v in dict(line.get("detail") or {}).items()},  # type: ignore[call-overload]
        )
        for line in _lines(path)
        if line["op"] == "create"
    ]
