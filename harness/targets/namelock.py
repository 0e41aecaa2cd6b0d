"""A cluster's name belongs to one run, or one verb, at a time.

The lock file `<state>/clusters/.<name>.lock` is removed by its holder before it lets go. Whoever had opened the removed
file by then takes the new one instead: filelock asks for the file's link count after it has the lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import GuardError


class NameLock:
    """Holds the name of the cluster of one folder, from its making to `release`.

    Args:
        folder: Of the cluster, `<state>/clusters/<name>`; it need not exist.
        attached: Whether it is a cluster that was there before, and has one environment: no other name helps.

    Raises:
        GuardError: Another run has it.
    """

    def __init__(self, folder: Path, *, attached: bool = False) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder.parent / f".{folder.name}.lock"
        self._lock = FileLock(self._path, thread_local=False)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise GuardError(
                f"another run is using the cluster {folder.name}",
                next_step="wait for it to end" + ("" if attached else ", or name another cluster with --cluster"),
            ) from None

    def release(self) -> None:
        """Let others use the name; safe to call twice."""
        if self._lock.is_locked:
            self._path.unlink(missing_ok=True)
            self._lock.release()


@contextmanager
def name_held(folder: Path) -> Iterator[None]:
    """Hold the name of a cluster while the block runs; the same errors as `NameLock`."""
    lock = NameLock(folder)
    try:
        yield
    finally:
        lock.release()


def remove_idle_locks(clusters: Path) -> None:
    """Remove the lock files of runs that were killed; those that are held stay."""
    for path in sorted(clusters.glob(".*.lock")):
        folder = clusters / path.name.removeprefix(".").removesuffix(".lock")
        try:
            NameLock(folder).release()
        except GuardError:
            continue  # somebody uses that cluster
