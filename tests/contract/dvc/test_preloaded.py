"""A call of the preloaded DVC is a call of `dvc`: the same words, the same exit code, the same files."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.process import Completed, SubprocessRunner
from harness.wait import Waiter

INSTALLED = Path(sysconfig.get_path("scripts")) / "dvc"
Both = Callable[..., tuple[Completed, Completed]]


@pytest.fixture
def both(played: Any) -> Both:
    """What the installed and the preloaded program say in the run's clone."""

    def say(*arguments: str, **environment: str) -> tuple[Completed, Completed]:
        env = {**played.pipeline.dvc_env, **environment}
        runner = SubprocessRunner()
        installed, loaded = (
            runner.run([program, *arguments], cwd=played.pipeline.clone, env=env, check=False)
            for program in (INSTALLED, played.pipeline.program)
        )
        return installed, loaded

    return say


def told(completed: Completed) -> tuple[int, str, str]:
    return completed.code, completed.stdout, completed.stderr


@pytest.mark.parametrize(
    "arguments",
    [("list", ".", "datasets", "--json"), ("pull", "datasets/none.csv.dvc"), ("no-such-verb",)],
    ids=" ".join,
)
def test_it_says_what_the_installed_program_says(both: Both, arguments: tuple[str, ...]) -> None:
    installed, loaded = both(*arguments)
    assert told(loaded) == told(installed)
    assert loaded.stdout or loaded.stderr


def test_it_has_the_callers_environment_and_none_of_a_caller_before(both: Both) -> None:
    wrong = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    for installed, loaded in (both("status", "--cloud", **wrong), both("status", "--cloud")):
        assert told(loaded) == told(installed)
    assert "in sync" in loaded.stdout


def test_it_stands_in_for_a_python_that_runs_dvc(preloaded: Path) -> None:
    first, second = (SubprocessRunner().run([preloaded, *words, "--version"]) for words in ((), ("-m", "dvc")))
    assert told(first) == told(second)


def test_a_verdict_by_the_installed_program_is_the_same(played: Any) -> None:
    by_installed = replace(played, pipeline=replace(played.pipeline, program=INSTALLED))
    assert by_installed.verdict() == played.verdict()


def test_a_call_ends_with_its_caller(preloaded: Path, tmp_path: Path) -> None:
    SubprocessRunner().run(["git", "init", "--quiet", tmp_path])
    env = {**os.environ, "HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1"}
    for arguments in (["init"], ["stage", "add", "--name", "slow", f"touch {tmp_path}/begun; sleep 60; touch ended"]):
        subprocess.run([preloaded, *arguments], cwd=tmp_path, env=env, check=True, capture_output=True)
    caller = subprocess.Popen([preloaded, "repro"], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
    Waiter().until("the stage to run", (tmp_path / "begun").exists, ready=bool, timeout=20, interval=0.05)
    before = sleeping(tmp_path)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    Waiter().until("the stage to end", lambda: sleeping(tmp_path), ready=lambda left: not left, timeout=20)
    assert before
    assert not (tmp_path / "ended").exists()


def sleeping(folder: Path) -> list[int]:
    """Processes that work in that folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found
