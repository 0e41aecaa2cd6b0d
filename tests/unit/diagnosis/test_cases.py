"""The cases of `tox -e diagnosis` without a cluster: what they are made of, and how a first line is judged."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.diagnostics.catalogue import CATALOGUE
from harness.model import Diagnosis
from harness.pipeline.dagfiles import read_dag_files
from tests.diagnosis.book import Book, parsed, wrong
from tests.diagnosis.table import EVERY, PODS, READINESS, RELEASES, RUNS, Case, Variant
from tests.diagnosis.variant import told, write_variant

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "diagnosis"
PROGRAMS = {path.stem.upper(): path.read_text(encoding="utf-8") for path in (FOLDER / "programs").iterdir()}
GIVEN = {"OUTSIDE": "172.18.0.1", **{name: repr(text) for name, text in PROGRAMS.items()}}
CASE = Case(name="x", code="DNS", caused="a wrong name", says=("resolve host",), do="CoreDNS")
FOUND = Diagnosis("DNS", "a name cannot be resolved: Could not resolve host: x", "task pull_data", "see CoreDNS")


def test_every_case_has_a_name_of_its_own_and_a_code_of_the_catalogue() -> None:
    assert len({case.name for case in EVERY}) == len(EVERY)
    assert {case.code for case in EVERY} <= {cause.code for cause in CATALOGUE}
    assert len({case.code for case in EVERY}) >= 20


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_the_next_step_that_a_case_asks_for_is_one_that_its_code_gives(case: Case) -> None:
    assert any(case.do in cause.do for cause in CATALOGUE if cause.code == case.code)


@pytest.mark.parametrize("case", [*RUNS, *READINESS], ids=lambda case: case.name)
def test_a_variant_is_the_dag_under_test_with_its_mistake_and_still_python(case: Variant, tmp_path: Path) -> None:
    folder = write_variant(ROOT / "dags", case, tmp_path / "dags", given=GIVEN)
    text = (folder / case.file).read_text(encoding="utf-8")
    assert [path.name for path in folder.glob("*.py")] == [case.file]
    ast.parse(text)
    assert not [name for name in GIVEN if f"@{name}@" in text]
    assert read_dag_files(folder).ids
    assert (text != (ROOT / "dags" / "dataset_pipeline.py").read_text(encoding="utf-8")) is bool(case.edits)
    assert case.edits or case.files


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_holds_nothing_that_jinja_takes_for_its_own(text: str) -> None:
    assert not [mark for mark in ("{{", "{%", "{#") if mark in text]


def test_a_dag_that_no_longer_holds_what_is_to_be_replaced_is_refused(tmp_path: Path) -> None:
    case = replace(RUNS[0], edits=(("nothing of the kind", "x"),))
    with pytest.raises(ValueError, match="0 times where 1 is expected: nothing of the kind"):
        write_variant(ROOT / "dags", case, tmp_path / "dags", given={})


def test_what_is_given_stands_in_the_text() -> None:
    assert told("https://@OUTSIDE@:9443", GIVEN) == "https://172.18.0.1:9443"


def test_every_values_file_and_every_manifest_belongs_to_a_case() -> None:
    assert {path.stem for path in (FOLDER / "values").iterdir()} == {case.name for case in RELEASES}
    named = {case.name for case in PODS} | {"git-sync", "talks-and-goes"}
    assert {path.stem for path in (FOLDER / "pods").iterdir()} == named
    for path in (*(FOLDER / "values").iterdir(), *(FOLDER / "pods").iterdir()):
        assert path.read_text(encoding="utf-8").startswith("# ")
        assert list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (FOUND, ""),
        (None, "nothing was diagnosed"),
        (replace(FOUND, code="TLS"), "TLS instead of DNS"),
        (replace(FOUND, what="a name"), "does not say 'resolve host'"),
        (replace(FOUND, do="pray"), "the next step does not name 'CoreDNS'"),
    ],
)
def test_a_first_line_is_right_by_code_words_and_next_step(found: Diagnosis | None, problem: str) -> None:
    assert wrong(CASE, found) == problem


def test_the_diagnoses_are_found_in_what_a_run_prints() -> None:
    output = f"gave up: https://x | y\n\n{FOUND}\nUNKNOWN: a | b\n  OUT_OF_MEMORY: a | b | c: d\nRED: no\n"
    assert parsed(output) == (FOUND, Diagnosis("OUT_OF_MEMORY", "a", "b", "c: d"))


def test_a_wrong_first_line_fails_its_test_and_stands_in_the_matrix(tmp_path: Path) -> None:
    book = Book()
    case = RUNS[0]
    book.check(case, [Diagnosis(case.code, " ".join(case.says), "x", case.do)], since=0.0)
    with pytest.raises(AssertionError, match="nothing was diagnosed"):
        book.check(RUNS[1], [], since=0.0)
    assert book.headline.startswith("causes diagnosed right at the first line: 1, wrong: 1, ")
    book.write(tmp_path / "evidence")
    assert "WRONG, nothing was diagnosed: " in (tmp_path / "evidence" / "diagnosis-matrix.txt").read_text()
    document = json.loads((tmp_path / "evidence" / "diagnosis-matrix.json").read_text())
    assert [(row["code"], row["right"]) for row in document] == [(case.code, True), (RUNS[1].code, False)]
