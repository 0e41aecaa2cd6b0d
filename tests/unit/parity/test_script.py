"""What `make e2e-lookalike` compares: the newest run of the same tests on kind, whatever else was run since."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
_SUITE = ("tests/e2e", "-p", "no:cacheprovider")


class Made:
    """Runs in an evidence folder, each newer than the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def __call__(self, name: str, *arguments: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True)
        (folder / "repro.json").write_text(json.dumps({"run": {"arguments": arguments}}, indent=1))
        (folder / "parity.json").write_text("{}")
        self._count += 1
        os.utime(folder / "parity.json", (self._count, self._count))
        return folder


@pytest.fixture
def runs(tmp_path: Path) -> Made:
    return Made(tmp_path / "runs")


def played(tmp_path: Path, runs: Made) -> tuple[str, list[str]]:
    """The script, with programs that only note how they were called; what it said, and the notes."""
    scripts, programs, state, notes = (tmp_path / name for name in ("scripts", "bin", "state", "notes"))
    scripts.mkdir()
    programs.mkdir()
    script = scripts / "e2e-lookalike"
    script.write_bytes((CHECKOUT / "scripts" / "e2e-lookalike").read_bytes())
    on_eks = Made(runs.folder / "eks-lookalike")("on-eks", "tests/e2e", "tests/identity")
    for name, does in {
        "harness": 'case "$1 $2" in *" up") mkdir -p "$HARNESS_STATE_DIR/clusters/$4/lookalike"; '
        'echo : > "$HARNESS_STATE_DIR/clusters/$4/lookalike/env";; esac',
        "pytest": f"touch {on_eks}/parity.json",
    }.items():
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {notes}\n{does}\n')
        (programs / name).chmod(0o755)
    script.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HARNESS_STATE_DIR": str(state),
                   "HARNESS_EVIDENCE_DIR": str(runs.folder), "HOME": str(tmp_path)}  # fmt: skip
    said = subprocess.run([script], env=environment, capture_output=True, text=True, check=True, timeout=30)
    return said.stdout, [line for line in notes.read_text().splitlines() if line.startswith("harness parity")]


def test_it_is_the_newest_run_of_these_tests(tmp_path: Path, runs: Made) -> None:
    runs("older", *_SUITE)
    newest = runs("newer", *_SUITE)
    _, compared = played(tmp_path, runs)
    assert compared == [f"harness parity {newest} {runs.folder}/eks-lookalike/on-eks"]


@pytest.mark.parametrize("other", [("tests/faults",), ("run", "--dags", "elsewhere"), ()], ids=" ".join)
def test_a_newer_run_of_something_else_is_left_alone(tmp_path: Path, runs: Made, other: tuple[str, ...]) -> None:
    suite = runs("suite", *_SUITE)
    runs("other", *other)
    _, compared = played(tmp_path, runs)
    assert compared == [f"harness parity {suite} {runs.folder}/eks-lookalike/on-eks"]


def test_without_one_it_says_what_to_run(tmp_path: Path, runs: Made) -> None:
    runs("other", "tests/faults")
    said, compared = played(tmp_path, runs)
    assert compared == []
    assert "no run of the e2e tests on kind" in said
