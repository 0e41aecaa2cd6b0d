"""What the machine lacks: exit code 3, in numbers, within seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import ExitCode

from .front_door import FrontDoor

_NOBODY = 65534
# The one right that it keeps is to read: this checkout and this Python may lie in a folder that is only root's.
_AS_NOBODY = (
    f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
)  # fmt: skip


@pytest.fixture
def private_mounts() -> None:
    """Mounts that nobody else sees."""
    trial = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    if os.geteuid() != 0 or subprocess.run(trial, check=False, capture_output=True).returncode != 0:
        pytest.skip("a mount of its own needs root and CAP_SYS_ADMIN")


@pytest.mark.usefixtures("private_mounts")
def test_too_little_disk_is_told_in_numbers(door: FrontDoor) -> None:
    cache = door.home / "cache"
    cache.mkdir()
    small = 'mount -t tmpfs -o size=64m none "$0" && exec "$@"'
    door.before = ("unshare", "--mount", "sh", "-c", small, str(cache))
    ended = door.run()
    ended.says(
        "too little for a cluster",
        f"0.1 GB free under {cache}",
        "12 GB at least",
        "never below 4 GB",
        "HARNESS_CACHE_DIR",
    )
    ended.ended_as(ExitCode.ENVIRONMENT_FAILED)
    ended.started_nothing()


@pytest.mark.usefixtures("private_mounts")
def test_too_little_memory_is_told_in_numbers(door: FrontDoor) -> None:
    told = re.sub(r"(?m)^MemAvailable:.*", "MemAvailable: 1048576 kB", Path("/proc/meminfo").read_text())
    (door.home / "meminfo").write_text(told)
    another = 'mount --bind "$0" /proc/meminfo && exec "$@"'
    door.before = ("unshare", "--mount", "sh", "-c", another, str(door.home / "meminfo"))
    ended = door.run()
    ended.says("too little for a cluster", "1.0 GiB available", "needed 4 GiB", "harness down")
    ended.ended_as(ExitCode.ENVIRONMENT_FAILED)
    ended.started_nothing()


@pytest.fixture
def nobodys() -> Iterator[FrontDoor]:
    """A run of a user who is not root, whose PATH has no docker."""
    if os.geteuid() != 0 or (setpriv := shutil.which("setpriv")) is None:
        pytest.skip("only root may run a program as somebody else, by setpriv")
    as_nobody = (setpriv, *_AS_NOBODY)
    # Not below pytest's own folder, which only its owner may enter.
    home = Path(tempfile.mkdtemp(prefix="harness-test-"))
    try:
        os.chown(home, _NOBODY, _NOBODY)
        programs = home / "bin"
        programs.mkdir()
        for name in ("git", "sh", "env"):
            if found := shutil.which(name):
                (programs / name).symlink_to(found)
        trial = subprocess.run([*as_nobody, sys.executable, "-c", ""], check=False, capture_output=True, cwd=home)
        if trial.returncode != 0:
            pytest.skip(f"no program may be run as somebody else here: {trial.stderr.decode()[-200:]}")
        yield FrontDoor(home, env={"PATH": str(programs)}, before=as_nobody)
    finally:
        shutil.rmtree(home)


def test_without_an_engine_and_the_right_to_start_one_the_run_says_so(nobodys: FrontDoor) -> None:
    ended = nobodys.run()
    ended.says("no container engine answers", "needs root", "start Docker, or run as root on Debian")
    ended.ended_as(ExitCode.ENVIRONMENT_FAILED)
