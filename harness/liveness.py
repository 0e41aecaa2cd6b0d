"""Whether a run still lives: it holds a lock on its folder, which the kernel takes back however it ends.

A folder is made and locked, and is removed, under a lock on the folder of all runs. So whoever looks while holding that
lock never sees one of a run that is just beginning, or just ending, without its lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness import procfs
from harness.folders import make_usable

_LOCK = "alive"


@contextmanager
def alive(folder: Path) -> Iterator[None]:
    """Count as alive while the block runs; makes the folder, readable by its owner only.

    Args:
        folder: Of the run, `<state>/runs/<id>`.

    Raises:
        UsageError: Nothing can be written into the state folder.
    """
    make_usable("state_dir", folder.parent, mode=0o700)
    with ExitStack() as held:
        with _alone(folder.parent):
            folder.mkdir(mode=0o700)
            try:
                lock = held.enter_context((folder / _LOCK).open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            except BaseException:
                shutil.rmtree(folder)
                raise
        yield


@contextmanager
def scratch(state_dir: Path, what: str) -> Iterator[Path]:
    """An empty folder for the length of a block; what a kill leaves of it goes with `harness sweep`.

    Args:
        state_dir: The state folder.
        what: What it is for; part of its name.

    Raises:
        UsageError: Nothing can be written into the state folder.
    """
    folder = state_dir / "runs" / f"{what}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with alive(folder):
        try:
            inner = folder / "scratch"
            inner.mkdir()
            yield inner
        finally:
            bury(folder)


def bury(folder: Path) -> None:
    """Remove the folder of a run that has ended, or is ending; no error if there is none.

    Raises:
        OSError: It cannot be removed. One in which something is mounted is not even tried: what a killed program had
            mounted there may be this machine's own `/sys` or `/dev`.
    """
    if folder.is_dir():
        with _alone(folder.parent):
            if mounted := procfs.mounts_below(procfs.mounts(), folder.resolve()):
                command = shlex.join(["umount", "--lazy", *map(str, reversed(mounted))])
                raise OSError(errno.EBUSY, f"something is mounted there; as root: {command}", str(folder))
            shutil.rmtree(folder)


def is_alive(folder: Path) -> bool:
    """Whether the run of that folder still lives."""
    path = folder / _LOCK
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            # Shared: two who look at the same time are not to take each other for the run.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def over(runs: Path) -> Iterator[list[Path]]:
    """The folders of runs that are over, for the caller alone while the block runs: two sweeps share none.

    Args:
        runs: The folder of all runs; it need not exist.
    """
    with ExitStack() as held:
        yield _take(runs, held) if runs.is_dir() else []


def _take(runs: Path, held: ExitStack) -> list[Path]:
    found: list[Path] = []
    with _alone(runs):
        for folder in sorted(path for path in runs.iterdir() if path.is_dir()):
            path = folder / _LOCK
            if path.exists():
                lock = held.enter_context(path.open())
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
            # Without one: killed between the making of its folder and of its lock.
            found.append(folder)
    return found


@contextmanager
def _alone(runs: Path) -> Iterator[None]:
    """Be the only one who makes, takes or removes folders of runs."""
    folder = os.open(runs, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
