"""Processes and mounts as the kernel shows them in `/proc` (proc(5)), and the killing of a process that is still it."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_END_SECONDS: Final = 10.0
# How the kernel writes blanks and backslashes in a mount's path (proc(5), /proc/pid/mountinfo).
_ESCAPED = re.compile(r"\\([0-7]{3})")


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


def mounts() -> str:
    """What this process sees mounted, as the kernel tells it."""
    return (PROC / "self" / "mountinfo").read_text(encoding="utf-8")


def mounts_below(mountinfo: str, *folders: Path) -> list[Path]:
    """The mount points in some folders, from what the kernel tells of a process's mounts, in their order."""
    points = (Path(_plain(line.split()[4])) for line in mountinfo.splitlines())
    return [point for point in points if any(point.is_relative_to(folder) for folder in folders)]


def rooted_below(mountinfo: str, folder: Path) -> bool:
    """Whether a process's own root is an overlay whose upper folder is below a folder, as in a container."""
    for line in mountinfo.splitlines():
        mount, _, options = line.partition(" - ")
        if mount.split()[4] == "/":
            uppers = (word.partition("=") for word in options.split()[-1].split(","))
            if any(name == "upperdir" and Path(_plain(value)).is_relative_to(folder) for name, _, value in uppers):
                return True
    return False


def _plain(path: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), path)
