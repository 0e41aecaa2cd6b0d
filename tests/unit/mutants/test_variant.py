"""The mutants without a cluster: what they are made of, and that the folder holds the DAG but for what its pods run."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

import pytest
from jinja2 import Template

from harness.dvc.checks import RULES
from harness.pipeline.dagfiles import read_dag_files
from tests.mutants.table import CONTROL, MUTANTS
from tests.mutants.variant import PROGRAMS, program_of, write_variant

DAGS = Path(__file__).parents[3] / "dags"
OUTSIDE = {"OUTSIDE_HOST": "127.0.0.1", "OUTSIDE_PORT": "9"}
ALL = {CONTROL.name: "plain", **{name: row.program for name, row in MUTANTS.items()}}


def test_every_row_has_its_program_and_every_program_its_row() -> None:
    assert sorted(ALL.values()) == sorted(path.stem for path in PROGRAMS.glob("*.py"))


def test_a_row_names_checks_that_there_are() -> None:
    known = {rule.id for rule in RULES}
    for row in MUTANTS.values():
        assert {row.killed_by, *row.also} <= known
        assert row.says


@pytest.mark.parametrize("name", ALL)
def test_the_folder_differs_from_the_one_under_test_only_in_what_the_pods_run(name: str, tmp_path: Path) -> None:
    program = program_of(ALL[name], given=OUTSIDE)
    variant = write_variant(DAGS, program, tmp_path / "dags")
    old, new = ((folder / "dataset_pipeline.py").read_text().splitlines() for folder in (DAGS, variant))
    diff = difflib.unified_diff(old, new, n=0, lineterm="")
    changes = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
    assert changes == [
        f"+PROGRAM = {program!r}",
        '-        cmds=["dvc-pipeline"],',
        "-        arguments=[task],",
        '+        cmds=["python", "-c"],',
        "+        arguments=[PROGRAM, task],",
    ]
    assert read_dag_files(variant).ids == read_dag_files(DAGS).ids


@pytest.mark.parametrize("name", ALL)
def test_the_program_reaches_the_pod_as_it_is_written(name: str) -> None:
    """Airflow renders arguments with Jinja, and takes one that ends in a template file's suffix for a path."""
    program = program_of(ALL[name], given=OUTSIDE)
    ast.parse(program)
    assert Template(program, keep_trailing_newline=True).render() == program
    assert program.endswith("\n")


def test_a_dag_that_says_otherwise_what_its_pods_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "dataset_pipeline.py").write_text('NAMESPACE = "airflow"\n')
    with pytest.raises(ValueError, match="0 times where 1 is expected: cmds="):
        write_variant(folder, "", tmp_path / "variant")


def test_a_program_that_lacks_what_it_must_be_given_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody gave: OUTSIDE_PORT"):
        program_of("call_outside", given={"OUTSIDE_HOST": "127.0.0.1"})
