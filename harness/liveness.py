"""Whether a run still lives: it holds a lock on its folder, which the kernel takes back however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "alive"


@contextmanager
def alive(folder: Path) -> Iterator[None]:
    """Count as alive while the block runs; makes the folder, readable by its owner only."""
    folder.mkdir(parents=True, mode=0o700)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_alive(folder: Path) -> bool:
    """Whether the run of that folder still lives."""
    path = folder / _LOCK
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
