"""Which cached images live runs stand on, so that no other run evicts them and nobody clears the caches meanwhile.

Each run has a file `<caches>/in-use/<run id>.json` with the names, and a lock beside it that it holds while it lives.
Names are added, and the register is read by whoever removes images, under one lock: an image is either registered
before it is looked for, or gone before that.

What a run makes in the caches without the engine is a draft first, `<caches>/in-use/<run id>.drafts/`, and is moved to
its place once it is whole. So what a killed run had half made goes with its file here.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness.supply.locks import LOCKS_FOLDER, KeyLocks

IN_USE_FOLDER = "in-use"
# The lock of whoever notes an image here, or removes images.
IN_USE_KEY = "images-in-use"


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that lives and uses the caches.

    Attributes:
        run_id: Its id.
        pid: Its process.
        names: Images that it stands on, with tags.
    """

    run_id: str
    pid: int
    names: frozenset[str]


class InUse:
    """What one run stands on; safe to use from several threads.

    Args:
        cache_dir: The cache folder.
        run_id: Of the run.
        locks: Of the run; None for some that say nothing.
    """

    def __init__(self, cache_dir: Path, run_id: str, *, locks: KeyLocks | None = None) -> None:
        self._path = cache_dir / IN_USE_FOLDER / f"{run_id}.json"
        self._locks = locks or KeyLocks(cache_dir / LOCKS_FOLDER, run_id)
        self._names: set[str] = set()
        self._thread = threading.Lock()

    @property
    def names(self) -> frozenset[str]:
        """Images, by name with tag."""
        return frozenset(self._names)

    @property
    def drafts(self) -> Path:
        """The folder for what is half made, on the caches' file system; made by whoever needs it."""
        return _drafts_of(self._path)

    @contextmanager
    def registered(self) -> Iterator[InUse]:
        """Count as live while the block runs."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(_lock_of(self._path), thread_local=False)
        with lock:
            self._write()
            try:
                yield self
            finally:
                _forget(self._path)

    def add(self, *names: str) -> None:
        """Register images before they are looked for; waits while somebody removes images."""
        with self._thread:
            if set(names) <= self._names:
                return
            with self._locks.holding(IN_USE_KEY, "noting which images it uses"):
                self._names.update(names)
                self._write()

    def _write(self) -> None:
        fresh = _new_of(self._path)
        fresh.write_text(json.dumps({"pid": os.getpid(), "names": sorted(self._names)}), encoding="utf-8")
        fresh.replace(self._path)


def live_runs(cache_dir: Path) -> tuple[LiveRun, ...]:
    """The runs that live and use these caches; files of runs that are over are removed."""
    found: list[LiveRun] = []
    # By their locks: one that was killed at the start has nothing else yet.
    for held in sorted((cache_dir / IN_USE_FOLDER).glob("*.lock")):
        path = held.with_suffix(".json")
        lock = FileLock(held, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            try:
                said = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue  # it has just begun or ended
            found.append(LiveRun(path.stem, int(said["pid"]), frozenset(said["names"])))
        else:
            _forget(path)
            lock.release()
    return tuple(found)


def _forget(path: Path) -> None:
    """Remove what there is of a run; its lock last, by which the rest is found."""
    shutil.rmtree(_drafts_of(path), ignore_errors=True)
    for left in (path, _new_of(path), _lock_of(path)):
        left.unlink(missing_ok=True)


def _drafts_of(path: Path) -> Path:
    return path.with_suffix(".drafts")


def _new_of(path: Path) -> Path:
    return path.with_suffix(".new")


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")
