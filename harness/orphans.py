"""Programs that a killed run left running, told from all others by a variable in their environment.

A run that gets SIGKILL cannot end what it has started, and what goes on creates things after the sweep has looked.
Every program of a run therefore has the run's id in its environment, and so has what that program starts. What is to
outlive the run (a container engine, what a package manager starts) is started without it.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness.errors import CleanupFailed

VARIABLE: Final = "AIRFLOW_DVC_HARNESS_RUN"
# For a program that outlives the run.
UNMARKED: Final[Mapping[str, str]] = {VARIABLE: ""}
_PROC = Path("/proc")
_END_SECONDS = 10.0
# A program that is being killed may just have started another.
_ROUNDS = 20


def mark(run_id: str) -> Mapping[str, str]:
    """What goes into the environment of each program of a run."""
    return {VARIABLE: run_id}


def orphans(run_id: str) -> dict[int, str]:
    """The programs of a run that run now: command line by process id. Those of other users are not seen."""
    return {pid: _command(pid) for pid in _processes() if _is_of(pid, run_id)}


def end_orphans(run_id: str) -> list[str]:
    """Kill every program of a run that is over, and wait until they are gone.

    Returns:
        Their command lines.

    Raises:
        CleanupFailed: Some do not end; names them.
    """
    ended: dict[int, str] = {}
    for _ in range(_ROUNDS):
        found = orphans(run_id)
        if not found:
            return list(ended.values())
        ended |= found
        for pid in found:
            _end(pid, run_id)
    raise CleanupFailed(
        f"programs of the run {run_id} do not end",
        evidence={str(pid): command for pid, command in orphans(run_id).items()},
        next_step="end them yourself, then run `harness sweep` again",
    )


def _end(pid: int, run_id: str) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The number may have become somebody else's since it was looked at; from here on the handle is what counts.
        if _is_of(pid, run_id):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], _END_SECONDS)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _is_of(pid: int, run_id: str) -> bool:
    return f"{VARIABLE}={run_id}".encode() in _read(pid, "environ").split(b"\0")


def _processes() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit() and int(name) != os.getpid()]  # noqa: PTH208 - names only


def _command(pid: int) -> str:
    return os.fsdecode(_read(pid, "cmdline").replace(b"\0", b" ")).strip()


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""  # it has ended, or is somebody else's
