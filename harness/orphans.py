"""Programs that a killed run left running, told from all others by a variable in their environment.

A run that gets SIGKILL cannot end what it has started, and what goes on creates things after the sweep has looked.
Every program of a run therefore has the run's id in its environment, and so has what that program starts. What is to
outlive the run (a container engine, what a package manager starts) is started without it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Final

from harness import procfs
from harness.errors import CleanupFailed

VARIABLE: Final = "AIRFLOW_DVC_HARNESS_RUN"
# For a program that outlives the run.
UNMARKED: Final[Mapping[str, str]] = {VARIABLE: ""}
# A program that is being killed may just have started another.
_ROUNDS = 20


def mark(run_id: str) -> Mapping[str, str]:
    """What goes into the environment of each program of a run."""
    return {VARIABLE: run_id}


def orphans(run_id: str) -> dict[int, str]:
    """The programs of a run that run now: command line by process id. Those of other users are not seen."""
    return {pid: _command(pid) for pid in procfs.others() if _is_of(pid, run_id)}


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
            procfs.kill(pid, partial(_is_of, pid, run_id))
    raise CleanupFailed(
        f"programs of the run {run_id} do not end",
        evidence={str(pid): command for pid, command in orphans(run_id).items()},
        next_step="end them yourself, then run `harness sweep` again",
    )


def _is_of(pid: int, run_id: str) -> bool:
    return f"{VARIABLE}={run_id}".encode() in procfs.read(pid, "environ").split(b"\0")


def _command(pid: int) -> str:
    return os.fsdecode(procfs.read(pid, "cmdline").replace(b"\0", b" ")).strip()
