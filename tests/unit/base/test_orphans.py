"""Programs of a killed run are found by what stands in their environment, down to those that they started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.orphans import UNMARKED, end_orphans, mark, orphans
from harness.process import SubprocessRunner

_SLEEP = "import time; print(1, flush=True); time.sleep(600)"
_FAMILY = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_SLEEP!r}])"


def test_what_a_program_has_started_is_ended_with_it() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _FAMILY],
        env={**os.environ, **mark("test-run")},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        assert parent.stdout.readline() == b"1\n"
        assert len(orphans("test-run")) == 2
        assert len(end_orphans("test-run")) == 2
        assert parent.wait(5) < 0
        assert parent.stdout.read() == b""  # its child, too, has let go of it


def test_every_program_of_a_runner_carries_the_mark_unless_it_is_to_outlive_the_run() -> None:
    runner = SubprocessRunner(marks=mark("test-run"))
    show = [sys.executable, "-c", "import os; print(os.environ['AIRFLOW_DVC_HARNESS_RUN'])"]
    assert runner.run(show).stdout == "test-run\n"
    assert runner.run(show, env=UNMARKED).stdout == "\n"


@pytest.mark.parametrize("other", ["test-ru", "test-run2", ""])
def test_a_program_of_another_run_is_not_touched(other: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env={"PATH": os.environ["PATH"], **mark(other)}
    )
    try:
        assert Path(f"/proc/{program.pid}/environ").exists()
        assert end_orphans("test-run") == []
        assert program.poll() is None
    finally:
        program.kill()
        program.wait()
