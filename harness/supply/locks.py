"""One lock per thing that several runs on one machine might make at the same time.

The second run waits, says for what and for whom, and then finds the thing made. The kernel takes a lock back however
its holder ends. Lock files lie below the caches and go with the lock: whoever waits on a file that has gone takes the
new one (filelock asks for the file's link count after it has the lock).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from harness.wait import Waiter

LOCKS_FOLDER = "locks"
# The longest that an image build, or filling a node image, may take, twice over.
_LONGEST_SECONDS = 7200.0
_SAY_AGAIN_SECONDS = 5.0
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class KeyLocks:
    """Locks by content key, between the processes of one machine and between the threads of this one.

    Attributes:
        folder: Where the lock files are.
        run_id: Of this run, told to those who wait for it.
        waiter: How long to wait; gives up when the run does.
        status: Told what is waited for.
    """

    folder: Path
    run_id: str = ""
    waiter: Waiter = field(default_factory=Waiter)
    status: Callable[[str], None] = lambda _text: None

    @contextmanager
    def holding(self, key: str, what: str) -> Iterator[None]:
        """Be the only one with that key while the block runs. Not reentrant.

        Args:
            key: What is made, such as an image's name with its content key.
            what: What this run does with it, as it reads after "another run is".

        Raises:
            WaitTimeout: Its holder did not come to an end.
            WaitAbandoned: This run gave up meanwhile.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{_NOT_IN_A_NAME.sub('_', key)}.lock"
        lock = FileLock(path)
        said: float | None = None

        def taken() -> str:
            """Empty once the lock is ours, else what its holder is doing."""
            nonlocal said
            try:
                lock.acquire(blocking=False)
            except Timeout:
                holder = _holder(path)
            else:
                return ""
            now = self.waiter.clock.monotonic()
            if holder is not None and (said is None or now - said >= _SAY_AGAIN_SECONDS):
                # Again and again: other steps say things in between.
                said = now
                self.status(f"another run is {holder}: waiting for it")
            return holder or "this run"

        try:
            self.waiter.until(
                f"another run that is {what}",
                taken,
                ready=lambda holder: not holder,
                describe=lambda holder: holder or "free",
                timeout=_LONGEST_SECONDS,
                interval=0.1,
                next_step="see what that process is doing; if it is stuck, end it and run the same command again",
            )
            path.write_text(json.dumps({"pid": os.getpid(), "run": self.run_id, "what": what}), encoding="utf-8")
            yield
        finally:
            if lock.is_locked:
                path.unlink(missing_ok=True)
                lock.release()


def remove_idle(folder: Path) -> None:
    """Remove the lock files of runs that were killed; those that are held stay."""
    for path in sorted(folder.glob("*.lock")):
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        path.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str | None:
    """What the holder of a lock says of itself in its file; None if it is this process, or has said nothing yet."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if said["pid"] == os.getpid():
        return None
    run = f"run {said['run']}, " if said["run"] else ""
    return f"{said['what']} ({run}process {said['pid']})"
