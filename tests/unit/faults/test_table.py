"""The faults without a cluster: the table, the gates of the program in the pods, and what counts as a problem."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jinja2 import Template

from harness.environment import Environment
from harness.pipeline.dagfiles import read_dag_files
from harness.wait import Waiter
from tests.faults.invariants import INVARIANTS
from tests.faults.played import Played, Results
from tests.faults.scene import Stage
from tests.faults.table import FAULTS, GROUPS, Whole
from tests.faults.test_faults import CLEAN, STEPS
from tests.faults.variant import PROGRAMS, write_gated

ROOT = Path(__file__).parents[3]
GATED = (PROGRAMS / "gated.py").read_text()
FAULT = FAULTS["s3-503"]
FINE = Played(FAULT, "success", 2, ("dvc-pipeline push: dvc push failed (exit code 255): ERROR: 503",), {}, 30.0)


def test_there_are_faults_of_every_kind_that_was_asked_for() -> None:
    assert len(FAULTS) >= 18
    assert GROUPS == ("pods", "airflow", "s3", "git", "volume", "node")


def test_every_group_ends_in_a_clean_run() -> None:
    steps = [step.values for step in STEPS]
    assert [group for group, name in steps if name == CLEAN] == list(GROUPS)
    for group in GROUPS:
        assert [name for one, name in steps if one == group][-1] == CLEAN


def test_a_run_that_may_fail_says_why() -> None:
    for fault in FAULTS.values():
        assert fault.says or fault.ends == "success"
        assert fault.ends in {"success", "failed"}


WAITED_FOR = {Whole.FAILED, Whole.ENDED, Whole.REFUSED}


def test_what_refuses_connections_for_a_while_does_so_until_it_has_refused_one() -> None:
    """Not by the clock: a pod that begins when all is whole again has met no fault."""
    assert FAULTS["s3-down-and-back"].whole is Whole.REFUSED


def test_what_lasts_until_the_try_fails_or_ends_lets_the_pod_go_on_first() -> None:
    """Else the two would wait for each other."""
    assert all(fault.opens_first for fault in FAULTS.values() if fault.whole in WAITED_FOR)


def test_every_gate_is_one_of_the_program(tmp_path: Path) -> None:
    commands = {"pull": {"git-clone", "dvc-pull"}, "modify": set(), "push": {"dvc-add", "dvc-push", "git-push"}}
    for fault in FAULTS.values():
        task, _, point = fault.gate.partition(".")
        side, _, command = point.partition("-")
        assert side in {"before", "after"}
        assert command in {"", *commands[task]}


def test_the_program_reaches_the_pod_as_it_is_written() -> None:
    """Airflow renders arguments with Jinja, and takes one that ends in a template file's suffix for a path."""
    ast.parse(GATED)
    assert Template(GATED, keep_trailing_newline=True).render() == GATED
    assert GATED.endswith("\n")


def test_the_variant_has_the_pipeline_twice_and_is_otherwise_the_one_under_test(tmp_path: Path) -> None:
    variant = write_gated(ROOT / "dags", tmp_path / "dags")
    assert read_dag_files(variant).ids == {
        "dataset_pipeline.py": ("dataset_pipeline",),
        "dataset_pipeline_beside.py": ("dataset_pipeline_beside",),
    }
    assert all("timedelta(seconds=1)," in file.read_text() for file in variant.glob("dataset_pipeline*.py"))


def test_a_pod_waits_at_a_closed_gate_and_goes_on_when_it_opens(tmp_path: Path) -> None:
    gate = tmp_path / "gates" / "run-1" / "pull.before"
    gate.parent.mkdir(parents=True)
    gate.touch()
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "worker-image"),
        "SHARED_DIR": str(tmp_path),
        "PIPELINE_RUN_ID": "run-1",
    }
    log = tmp_path / "log"
    with log.open("w") as out:
        pod = subprocess.Popen([sys.executable, "-c", GATED, "pull"], env=env, stdout=out, stderr=out)
    try:
        Waiter().until("the gate", log.read_text, ready=lambda text: "gate pull.before\n" in text, timeout=20)
        assert pod.poll() is None
        gate.unlink()
        assert pod.wait(20) == 1
    finally:
        pod.kill()
        pod.wait()
    # What it did behind the gate is the real program's: no repository is given here.
    assert "dvc-pipeline pull: GIT_REPO is not set" in log.read_text()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


@pytest.mark.parametrize("patience", [0.3, 1.0, 4.0])
def test_a_fault_lasts_as_long_as_its_row_says_however_patient_the_run_is(patience: float) -> None:
    clock = Clock()
    environment = cast("Environment", SimpleNamespace(waiter=Waiter(clock=clock, patience=patience)))
    unused: Any = None
    Stage(environment, unused, unused, unused, unused).hold(10.0)
    assert 10.0 <= clock.now < 11.0


@pytest.mark.parametrize(
    ("played", "problem"),
    [
        (FINE, None),
        (replace(FINE, state="failed"), "the run ended as failed, not as success"),
        (replace(FINE, tries=1), "the task was tried 1 times, not 2"),
        (replace(FINE, complaints=()), "no try gave the reason 'dvc push failed', but: none"),
        (replace(FINE, broken={"rows.once": "2 new rows"}), "rows.once: 2 new rows"),
    ],
)
def test_what_is_not_as_the_row_says_is_a_problem(played: Played, problem: str | None) -> None:
    assert played.problems[:1] == ([] if problem is None else [problem])


def test_the_matrix_has_a_line_for_each_fault_and_a_column_for_each_invariant(tmp_path: Path) -> None:
    broken = replace(FINE, fault=FAULTS["s3-slow"], tries=1, broken={"history.grew": "main held x"})
    results = Results({"s3-503": FINE, "s3-slow": broken}, {"s3": (True, 31.0)}, {"git-down-at-push": "WaitTimeout: x"})
    text = results.matrix()
    assert text.startswith("faults survived: 1 of 3, clean runs green: 1 of 1, 91 s\n")
    assert f"s3-503            {' '.join('.' * len(INVARIANTS))}  success, try 2  30.0 s  s3" in text
    assert "NOT AS WANTED: history.grew: main held x" in text
    assert "git-down-at-push  NOT PLAYED: WaitTimeout: x" in text
    results.write(tmp_path)
    assert (tmp_path / "fault-matrix.txt").read_text() == text
    assert '"as_wanted": false' in (tmp_path / "fault-matrix.json").read_text()
