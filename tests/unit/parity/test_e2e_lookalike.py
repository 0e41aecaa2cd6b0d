"""`make e2e-lookalike`: what it compares, and that the look-alike goes however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness.wait import Waiter

CHECKOUT = Path(__file__).parents[3]
_SUITE = ("tests/e2e", "-p", "no:cacheprovider")


class Stage:
    """Runs in an evidence folder, each newer than the one before, and programs that only note how they were called."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.state, self.notes, self._programs = folder / "state", folder / "notes", folder / "bin"
        self._programs.mkdir()
        self._count = 0
        self.on_eks = self.made("eks-lookalike/on-eks", "tests/e2e", "tests/identity")
        self.program(
            "harness",
            'case "$1 $2" in *" up") mkdir -p "$HARNESS_STATE_DIR/clusters/$4/lookalike"; '
            'echo "export WITHIN=$4" > "$HARNESS_STATE_DIR/clusters/$4/lookalike/env";; esac',
        )
        self.program("pytest", "true")

    def made(self, name: str, *arguments: str, chart: str | None = None) -> Path:
        folder = self.runs / name
        folder.mkdir(parents=True)
        (folder / "repro.json").write_text(
            json.dumps({"run": {"arguments": arguments}, "settings": {"airflow_chart": chart}})
        )
        (folder / "parity.json").write_text("{}")
        self._count += 1
        os.utime(folder / "parity.json", (self._count, self._count))
        return folder

    def program(self, name: str, does: str) -> None:
        file = self._programs / name
        file.write_text(f'#!/bin/bash\necho "{name} $*" >> {self.notes}\n{does}\n')
        file.chmod(0o755)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT), "HOME": str(self.state),
            "HARNESS_STATE_DIR": str(self.state), "HARNESS_EVIDENCE_DIR": str(self.runs), "PYTHONUNBUFFERED": "1",
        }  # fmt: skip

    def noted(self, word: str) -> list[str]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line for line in lines if line.startswith(word)]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.e2e_lookalike", "-k", "some"], cwd=CHECKOUT, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def played(self, *, code: int = 0) -> str:
        """What it said when it had ended."""
        with self.start() as process:
            said, _ = process.communicate(timeout=60)
        assert process.returncode == code, said
        return said


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    up, down = (made.noted(f"harness eks-lookalike {verb}") for verb in ("up", "down"))
    assert [line.split()[-1] for line in up] == [line.split()[-1] for line in down], "what came up goes"
    assert len(up) == 1


def test_the_tests_run_within_the_look_alikes_environment(stage: Stage) -> None:
    stage.program("pytest", f'echo "within $WITHIN to $HARNESS_EVIDENCE_DIR" >> {stage.notes}')
    stage.played()
    name = stage.noted("harness eks-lookalike up")[0].split()[-1]
    assert stage.noted("within") == [f"within {name} to {stage.runs}/eks-lookalike"]
    assert stage.noted("pytest") == ["pytest tests/e2e tests/identity --target eks -p no:cacheprovider -k some"]


def test_it_is_the_newest_run_of_these_tests_that_it_is_compared_with(stage: Stage) -> None:
    stage.made("older", *_SUITE)
    newest = stage.made("newer", *_SUITE)
    stage.played()
    assert stage.noted("harness parity") == [f"harness parity {newest} {stage.on_eks}"]


@pytest.mark.parametrize("other", [("tests/faults",), ("run", "--dags", "elsewhere"), ()], ids=" ".join)
def test_a_newer_run_of_something_else_is_left_alone(stage: Stage, other: tuple[str, ...]) -> None:
    suite = stage.made("suite", *_SUITE)
    stage.made("other", *other)
    (stage.made("broken", *_SUITE) / "repro.json").write_text("{")
    stage.played()
    assert stage.noted("harness parity") == [f"harness parity {suite} {stage.on_eks}"]


def test_a_newer_run_with_another_chart_is_left_alone(stage: Stage) -> None:
    suite = stage.made("suite", *_SUITE)
    stage.made("official", *_SUITE, chart="/charts/airflow")
    stage.played()
    assert stage.noted("harness parity") == [f"harness parity {suite} {stage.on_eks}"]


def test_without_one_it_says_what_to_run(stage: Stage) -> None:
    stage.made("other", "tests/faults")
    assert "no run of tests/e2e on kind" in stage.played()
    assert stage.noted("harness parity") == []


@pytest.mark.parametrize(("program", "code"), [("pytest", 1), ("harness", 3)])
def test_what_fails_is_its_exit_code_and_nothing_is_compared(stage: Stage, program: str, code: int) -> None:
    stage.made("suite", *_SUITE)
    stage.program(program, f"exit {code}")
    stage.played(code=code)
    assert stage.noted("harness parity") == []
    assert len(stage.noted("pytest")) == (program == "pytest")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("group", [True, False], ids=["terminal", "alone"])
def test_a_signal_reaches_the_tests_once_and_the_look_alike_goes(stage: Stage, number: int, *, group: bool) -> None:
    traps = "; ".join(f"trap 'echo got-{name} >> {stage.notes}; exit 7' {name}" for name in ("INT", "TERM", "HUP"))
    stage.program("pytest", f"{traps}; echo waiting >> {stage.notes}; for _ in {{1..600}}; do sleep 0.05; done")
    with stage.start() as process:
        Waiter().until("the tests", lambda: stage.noted("waiting"), ready=bool, timeout=60, interval=0.02)
        (os.killpg if group else os.kill)(process.pid, number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 7, said
    assert stage.noted("got-") == [f"got-{signal.Signals(number).name.removeprefix('SIG')}"]
    assert stage.noted("harness parity") == []


def test_a_signal_while_the_look_alike_goes_changes_nothing(stage: Stage) -> None:
    stage.made("suite", *_SUITE)
    stage.program(
        "harness",
        f'case "$2" in up) mkdir -p "$HARNESS_STATE_DIR/clusters/$4/lookalike"; : > "$HARNESS_STATE_DIR/clusters/$4'
        f'/lookalike/env";; down) echo going >> {stage.notes}; sleep 1; echo gone >> {stage.notes};; esac',
    )
    with stage.start() as process:
        Waiter().until("the end", lambda: stage.noted("going"), ready=bool, timeout=60, interval=0.02)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert stage.noted("gone") == ["gone"]
    assert process.returncode == 0
