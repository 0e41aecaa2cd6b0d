"""Process groups of programs that run now: ended one by one, or all of a scope at once.

A scope is what must end together: every image build of a run, say. When it is cancelled, what runs in it is stopped
and nothing new starts in it. Cleaning up needs programs too, so it uses a runner outside of the scope.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading

from harness.errors import WaitTimeout
from harness.wait import Waiter

_log = logging.getLogger(__name__)
_CANCEL_GRACE_SECONDS = 3.0


class Scope:
    """Programs that are given up together; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[subprocess.Popen[bytes]] = set()
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether nothing may start here any more."""
        return self._cancelled.is_set()

    def enter(self, process: subprocess.Popen[bytes]) -> bool:
        """Count a program that has just started; False, and not counted, once the scope is cancelled."""
        with self._lock:
            if self.cancelled:
                return False
            self._live.add(process)
            return True

    def leave(self, process: subprocess.Popen[bytes]) -> None:
        """A program of this scope has ended."""
        with self._lock:
            self._live.discard(process)

    def cancel(self, grace: float = _CANCEL_GRACE_SECONDS) -> None:
        """Stop every program of the scope with its children, side by side, and let none start afterwards.

        Whoever runs one of them gets `CommandCancelled`. Safe to call twice.

        Args:
            grace: Seconds that they have to end by themselves before they are killed.
        """
        with self._lock:
            self._cancelled.set()
            live = list(self._live)
        stop_groups(live, grace=grace)


def stop_groups(processes: list[subprocess.Popen[bytes]], *, grace: float) -> None:
    """Terminate process groups, give them a moment in common, then kill what is left of them.

    A group outlives its leader: a shell that ends at once may leave children that do not.

    Args:
        processes: Their leaders.
        grace: Seconds between the two signals at most.
    """
    if not processes:
        return
    for process in processes:
        _signal_group(process.pid, signal.SIGTERM)
    try:
        Waiter().until(
            f"{len(processes)} process groups to end",
            lambda: [process.pid for process in processes if _group_lives(process)],
            ready=lambda lives: not lives,
            timeout=grace,
            interval=0.02,
        )
    except WaitTimeout as error:
        _log.debug("killing: %s", error)
    finally:
        # Also when a second interrupt ends the wait.
        for process in processes:
            if _group_lives(process):
                _signal_group(process.pid, signal.SIGKILL)
    for process in processes:
        process.wait()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        _log.debug("the process group %d is gone", group)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # an unreaped leader would count as alive
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
