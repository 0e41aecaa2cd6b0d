"""Killing by a number that may be somebody else's by now."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness import procfs


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as started:
        yield started
        started.kill()


def test_a_process_that_is_what_it_was_is_killed(process: subprocess.Popen[bytes]) -> None:
    procfs.kill(process.pid, lambda: True)
    assert process.wait(5) < 0


def test_a_process_that_has_become_another_is_left_alone(process: subprocess.Popen[bytes]) -> None:
    procfs.kill(process.pid, lambda: False)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)


def test_a_process_that_has_ended_is_no_error(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(5)
    procfs.kill(process.pid, lambda: True)
    assert procfs.read(process.pid, "cmdline") == b""


def test_this_process_is_not_among_the_others(process: subprocess.Popen[bytes]) -> None:
    found = procfs.others()
    assert process.pid in found
    assert os.getpid() not in found
