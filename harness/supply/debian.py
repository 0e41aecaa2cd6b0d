"""Packages of the operating system that a run needs and the machine lacks: Debian, and root, only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence

from harness.errors import CommandFailed, CommandTimeout, EnvironmentFailed
from harness.orphans import UNMARKED
from harness.process import Runner

_APT_SECONDS = 600
# Another apt-get may be at work, one of another run of ours too: apt waits for its lock that many seconds.
# A package may start its service, and an installation that is broken off leaves packages half configured: neither is
# ended with a killed run.
_QUIET: Mapping[str, str] = {"DEBIAN_FRONTEND": "noninteractive", **UNMARKED}
_WAIT_FOR_LOCK = ("-o", "DPkg::Lock::Timeout=300")


def program_path() -> str:
    """PATH with the folders where Debian puts daemons."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def lacking(programs: Mapping[str, str]) -> list[str]:
    """Packages of which a program is not on PATH.

    Args:
        programs: Package by program.
    """
    return [package for program, package in programs.items() if shutil.which(program, path=program_path()) is None]


def install(
    packages: Sequence[str],
    *,
    runner: Runner,
    status: Callable[[str], None],
    refused: Callable[[str, Mapping[str, str]], EnvironmentFailed],
) -> None:
    """Install packages, and nothing that they only recommend.

    Args:
        packages: Their names.
        runner: Runs apt-get.
        status: Told what is going on.
        refused: Makes the error from why it cannot be done, in a clause such as "installing one needs root", and
            evidence.

    Raises:
        EnvironmentFailed: What `refused` makes: this is not root, not Debian, or apt-get failed.
    """
    if os.geteuid() != 0:
        raise refused("installing one needs root", {})
    if shutil.which("apt-get") is None:
        raise refused("this is not Debian (no apt-get)", {})
    status(f"installing {', '.join(packages)}")
    try:
        runner.run(["apt-get", *_WAIT_FOR_LOCK, "update", "-q"], env=_QUIET, timeout=_APT_SECONDS)
        runner.run(
            ["apt-get", *_WAIT_FOR_LOCK, "install", "-y", "-q", "--no-install-recommends", *packages],
            env=_QUIET,
            timeout=_APT_SECONDS,
        )
    except (CommandFailed, CommandTimeout) as error:
        raise refused("installing one failed", {"apt-get": str(error)}) from error
