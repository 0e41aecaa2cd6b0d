"""Processes as the kernel shows them in `/proc` (proc(5)), and the killing of one that is still what it was."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_END_SECONDS: Final = 10.0


def others() -> list[int]:
    """The ids of all processes but this one."""
    return [int(name) for name in os.listdir(PROC) if name.isdigit() and int(name) != os.getpid()]  # noqa: PTH208 - names only


def read(pid: int, name: str) -> bytes:
    """A file of a process; empty where it has ended, or is somebody else's."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def kill(pid: int, still: Callable[[], bool]) -> None:
    """Kill a process and wait until it is gone, ten seconds at the most.

    Args:
        pid: Of the process.
        still: Whether the process of that number is the one that is meant. Asked once no other can get the number.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The number may have become somebody else's since it was looked at; from here on the handle is what counts.
        if still():
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], _END_SECONDS)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
