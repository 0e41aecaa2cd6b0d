"""The branch of the policy reaches the chart, and nothing of the user's can lead Airflow elsewhere in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.airflow.chart import contract, embedded_chart
from harness.airflow.chart_values import check_values
from harness.airflow.overlay import check_agreement, values_files, write_overlay
from harness.assets import asset
from harness.errors import ValuesError
from harness.names import GIT_URL

HELM = asset("helm")


def effective(tmp_path: Path, branch: str, *more: str) -> dict[str, Any]:
    files = [HELM / "values.yaml", HELM / "kind.yaml", write_overlay(HELM, tmp_path / "branch.yaml", branch=branch)]
    for number, text in enumerate(more):
        files.append(tmp_path / f"team-{number}.yaml")
        files[-1].write_text(text, encoding="utf-8")
    return check_values(files, contract(embedded_chart()))


def agree(values: dict[str, Any], branch: str) -> None:
    check_agreement(values, branch=branch, repository=GIT_URL, dags_path="dags")


@pytest.mark.parametrize("branch", ["main", "team/data", "1.0", "on"])
def test_the_branch_is_carried_whole(tmp_path: Path, branch: str) -> None:
    values = effective(tmp_path, branch)
    synced = values["dags"]["gitSync"]
    assert (synced["branch"], synced["ref"], synced["rev"]) == (branch, branch, "HEAD")
    agree(values, branch)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("dags: {gitSync: {branch: other}}\n", "dags.gitSync.branch"),
        ("dags: {gitSync: {ref: other}}\n", "dags.gitSync.ref"),
        ("dags: {gitSync: {repo: 'https://elsewhere.example/x.git'}}\n", "dags.gitSync.repo"),
        ("dags: {gitSync: {subPath: tests}}\n", "dags.gitSync.subPath"),
    ],
)
def test_values_that_lead_elsewhere_are_refused_by_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ValuesError) as caught:
        agree(effective(tmp_path, "data", text), "data")
    assert list(caught.value.evidence) == [key]
    assert "--branch" in caught.value.next_step


@pytest.mark.parametrize("target", ["kind", "eks"])
def test_a_git_remote_is_where_airflow_takes_its_dags_from(tmp_path: Path, target: str) -> None:
    url, branch = "https://git.example.com/p.git", "harness/20261121-101112-ab12"
    files = values_files(tmp_path, target=target, branch=branch, further=(), repository=url)
    values = check_values(files, contract(embedded_chart()))
    check_agreement(values, branch=branch, repository=url, dags_path="dags")
    assert values["dags"]["gitSync"]["repo"] == url


def test_the_overlay_says_what_it_is_for(tmp_path: Path) -> None:
    assert write_overlay(HELM, tmp_path / "b.yaml", branch="x").read_text(encoding="utf-8").startswith("# ")
