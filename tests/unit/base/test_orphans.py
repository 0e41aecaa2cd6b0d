"""Programs of a killed run are found by what stands in their environment, down to those that they started."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.orphans import UNMARKED, end_orphans, mark, orphans
from harness.process import SubprocessRunner

_SLEEP = "import time; print(1, flush=True); time.sleep(600)"
_FAMILY = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_SLEEP!r}])"


@pytest.fixture
def run() -> str:
    """A run of the test's own: the whole machine is searched, where another test, or another suite, may have a run."""
    return f"test-{secrets.token_hex(8)}"


def test_what_a_program_has_started_is_ended_with_it(run: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _FAMILY],
        env={**os.environ, **mark(run)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        assert parent.stdout.readline() == b"1\n"
        assert len(orphans(run)) == 2
        assert len(end_orphans(run)) == 2
        assert parent.wait(5) < 0
        assert parent.stdout.read() == b""  # its child, too, has let go of it


def test_every_program_of_a_runner_carries_the_mark_unless_it_is_to_outlive_the_run(run: str) -> None:
    runner = SubprocessRunner(marks=mark(run))
    show = [sys.executable, "-c", "import os; print(os.environ['AIRFLOW_DVC_HARNESS_RUN'])"]
    assert runner.run(show).stdout == f"{run}\n"
    assert runner.run(show, env=UNMARKED).stdout == "\n"


@pytest.mark.parametrize("name", [lambda run: run[:-1], lambda run: f"{run}2", lambda _: ""])
def test_a_program_of_another_run_is_not_touched(name: Callable[[str], str], run: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env={"PATH": os.environ["PATH"], **mark(name(run))}
    )
    try:
        assert Path(f"/proc/{program.pid}/environ").exists()
        assert end_orphans(run) == []
        assert program.poll() is None
    finally:
        program.kill()
        program.wait()
