"""Workflows may do little, and run nothing that somebody else can change under them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").iterdir())
# An action by the commit that it is at, and which version that was.
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_there_is_one() -> None:
    assert [path.name for path in WORKFLOWS] == ["audit.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_rights_but_those_that_a_job_asks_for(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert set(job["permissions"].values()) <= {"read"}
        assert job["timeout-minutes"] <= 60


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_keeps_no_credentials(path: Path) -> None:
    text = path.read_text()
    for step in steps(yaml.safe_load(text)):
        if "uses" not in step:
            continue
        assert _PINNED.fullmatch(step["uses"]), step
        assert re.search(rf"{re.escape(step['uses'])} # v\d+\.\d+\.\d+\n", text), "the version stands beside it"
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_scripts_of_this_repository_only_and_names_no_host(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "${{" not in text, "nothing from outside is put into a command"
    for step in steps(yaml.safe_load(text)):
        if "run" in step:
            assert (CHECKOUT / step["run"]).is_file()


def test_every_lock_file_is_audited() -> None:
    found = subprocess.run(
        ["/usr/bin/env", "git", "grep", "-lF", "-e", "--hash=sha256:", "--", "*.txt"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    compiled = re.findall(r"--output-file (\S+)", (CHECKOUT / "scripts" / "compile-locks").read_text())
    names = [name.replace("$images", "harness/supply/images").strip('"') for name in compiled if "$name" not in name]
    assert names
    assert set(names) <= set(found)
    assert {"requirements/engine.txt", "requirements/audit.txt"} <= set(found)


def test_every_go_program_that_is_built_is_audited() -> None:
    built = (CHECKOUT / "harness/supply/images/go-tools/Dockerfile").read_text()
    audited = (CHECKOUT / "scripts" / "audit").read_text()
    programs = {words.split()[-1] for words in re.findall(r"go build -o [^&\n]*", built.replace("\\\n", " "))}
    assert len(programs) == 7
    assert programs <= set(audited.split())


def test_every_go_module_is_audited() -> None:
    listed = ["/usr/bin/env", "git", "ls-files", "*go.mod"]
    found = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    audited = (CHECKOUT / "scripts" / "audit").read_text()
    assert set(re.findall(r"^in_module (\S+)", audited, re.MULTILINE)) == {str(Path(name).parent) for name in found}
    # That of the fault tests names the programs which its Dockerfile builds.
    tools = re.search(
        r"^tool \((.*?)\)", (CHECKOUT / "tests/faults/toxiproxy/go.mod").read_text(), re.DOTALL | re.MULTILINE
    )
    assert tools is not None
    assert set(tools[1].split()) <= set(audited.split())
