"""`harness parity`: two recorded runs in, what differs out, red where that is not allowed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.errors import ExitCode, UsageError
from harness.parity.document import FILE, document
from harness.parity_verb import parity
from harness.report.console import ReportConsole
from harness.settings import Settings, resolve

from .runs import changed, eks_parts, on_eks, on_kind


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return resolve(state_dir=tmp_path / "state")


def bundle(folder: Path, found: Any) -> Path:
    folder.mkdir()
    (folder / "repro.json").write_text("{}")
    (folder / FILE).write_text(found if isinstance(found, str) else json.dumps(found))
    return folder


def told(settings: Settings, left: Path, right: Path, **options: Any) -> tuple[ExitCode, str]:
    out = io.StringIO()
    console: Console = ReportConsole(file=out, width=100)
    return parity(settings, (left, right), console, **options), out.getvalue()


def test_two_runs_that_differ_as_they_may_are_green_and_each_difference_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    kind, eks = bundle(tmp_path / "k", on_kind()), bundle(tmp_path / "e", on_eks())
    code, said = told(settings, kind, eks)
    assert code is ExitCode.GREEN
    lines = said.splitlines()
    assert lines[0] == (
        "20261121-a1b2c3d4 (kind) -> 20261121-b5b6b7b8 (eks), "
        "airflow 3.3.2, chart airflow 0.1.0 (embedded), kubernetes 1.34"
    )
    assert lines[1].endswith("kind: 3 manifests, 4 pods, 42 variables of 6 containers, 1 files of the DAG folder")
    assert "  unintended differences: 0" in lines
    assert "  Git CA: no difference, though one is allowed" in lines
    assert (
        "    environment / task pull_data / base / AWS_CONTAINER_CREDENTIALS_FULL_URI: "
        'nothing -> "http://169.254.170.23/v1/credentials"; and 1 place more'
    ) in lines
    assert '    claim / storageClassName: "standard" -> "gp3"' in lines


def test_the_order_in_which_they_are_named_does_not_count(settings: Settings, tmp_path: Path) -> None:
    kind, eks = bundle(tmp_path / "k", on_kind()), bundle(tmp_path / "e", on_eks())
    assert told(settings, kind, eks) == told(settings, eks, kind)


def test_what_is_not_allowed_is_named_and_red(settings: Settings, tmp_path: Path) -> None:
    wrong = changed(on_eks(), "environment", "task push_data", "base", "AWS_ACCESS_KEY_ID", to="[redacted]")
    code, said = told(settings, bundle(tmp_path / "k", on_kind()), bundle(tmp_path / "e", wrong))
    assert code is ExitCode.VERDICT_RED
    assert said.splitlines()[-2:] == [
        "  unintended differences: 1",
        '    environment / task push_data / base / AWS_ACCESS_KEY_ID: "dummy" -> "[redacted]"',
    ]


def test_between_runs_on_one_target_nothing_may_differ(settings: Settings, tmp_path: Path) -> None:
    one, other = bundle(tmp_path / "1", on_eks()), bundle(tmp_path / "2", document(eks_parts("c1c2c3c4")))
    code, said = told(settings, one, other)
    assert code is ExitCode.GREEN
    assert "allowed" not in said
    moved = bundle(tmp_path / "3", changed(on_eks(), "claim", "storageClassName", to="gp2"))
    assert told(settings, one, moved)[0] is ExitCode.VERDICT_RED


def test_for_programs_it_is_one_document(settings: Settings, tmp_path: Path) -> None:
    wrong = changed(on_eks(), "dags", to={})
    code, said = told(settings, bundle(tmp_path / "k", on_kind()), bundle(tmp_path / "e", wrong), as_json=True)
    found = json.loads(said)
    assert code is ExitCode.VERDICT_RED
    assert found["unintended"] == [
        {"path": ["dags", "dags/dataset_pipeline.py"], "left": '"3b18e512, 5123 bytes, mode 100644"', "right": None}
    ]
    assert found["left"] == {"run": "20261121-a1b2c3d4", "target": "kind"}
    assert {one["what"] for one in found["allowed"]} | set(found["unseen"]) >= {"bucket", "prefix", "Pod Identity"}
    assert all(one["because"] and one["differences"] for one in found["allowed"])


def test_archives_are_taken_too(settings: Settings, tmp_path: Path) -> None:
    eks = bundle(tmp_path / "e", on_eks())
    with tarfile.open(tmp_path / "e.tar.gz", "w:gz") as archive:
        archive.add(eks, "e")
    assert told(settings, bundle(tmp_path / "k", on_kind()), tmp_path / "e.tar.gz")[0] is ExitCode.GREEN


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ("{", f"{FILE} of .* is damaged"),
        ("[]", f"{FILE} of .* is damaged"),
        ({"schema": 1}, f"{FILE} of .* is damaged"),
        ({**on_kind(), "schema": 2}, "has schema 2, not 1"),
        (
            {"schema": 1, "run": "r", "target": "kind", "problem": "CommandFailed: helm"},
            "the run r on kind could not be recorded: CommandFailed: helm",
        ),
    ],
)
def test_a_record_that_cannot_be_compared_is_refused(settings: Settings, tmp_path: Path, found: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        told(settings, bundle(tmp_path / "k", found), bundle(tmp_path / "e", on_eks()))


def test_a_bundle_without_a_record_is_refused(settings: Settings, tmp_path: Path) -> None:
    empty = bundle(tmp_path / "k", on_kind())
    (empty / FILE).unlink()
    with pytest.raises(UsageError, match=f"{FILE} is missing"):
        told(settings, empty, bundle(tmp_path / "e", on_eks()))


def test_one_of_them_must_be_on_kind(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of eks and existing neither is kind"):
        told(settings, bundle(tmp_path / "1", on_eks()), bundle(tmp_path / "2", {**on_eks(), "target": "existing"}))
