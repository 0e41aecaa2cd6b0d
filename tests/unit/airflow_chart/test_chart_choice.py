"""Which chart a run installs, when its values are checked, and what is said of the one that stands in."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.airflow.chart import ChartKind, embedded_chart
from harness.airflow.chart_choice import ChartChoice, stand_ins
from harness.airflow.overlay import write_overlay
from harness.assets import asset
from harness.errors import ValuesError
from harness.model import StandIn
from harness.names import GIT_URL
from harness.process import SubprocessRunner
from harness.settings import SupplyKind


@pytest.fixture
def choice(tmp_path: Path) -> ChartChoice:
    helm = asset("helm")
    overlay = write_overlay(helm, tmp_path / "branch.yaml", branch="main")
    return ChartChoice(
        spec=None,
        supply=SupplyKind.AUTO,
        files=(helm / "values.yaml", helm / "kind.yaml", overlay),
        branch="main",
        repository=GIT_URL,
        dags_path="dags",
        runner=SubprocessRunner(),
        home=tmp_path / "helm",
    )


def toolchain(chart: Path | None, no_chart: str = "") -> Any:
    return SimpleNamespace(helm=Path("no-such-helm"), chart=chart, no_chart=no_chart)


def with_values(choice: ChartChoice, text: str, tmp_path: Path, supply: SupplyKind) -> ChartChoice:
    path = tmp_path / "team.yaml"
    path.write_text(text, encoding="utf-8")
    return replace(choice, files=(*choice.files, path), supply=supply)


def test_without_an_official_chart_the_embedded_one_stands_in_and_says_why(choice: ChartChoice) -> None:
    chosen = choice.of(toolchain(None, "no network"))
    assert chosen.chart == embedded_chart()
    assert chosen.stand_ins == (StandIn("embedded chart", "the official chart 1.22.0", "no network"),)


def test_the_embedded_chart_stands_in_also_where_its_path_was_given(choice: ChartChoice) -> None:
    chosen = replace(choice, spec=str(asset("helm") / "airflow")).of(toolchain(None))
    assert [part.because for part in chosen.stand_ins] == ["named by --airflow-chart"]


def test_an_official_chart_stands_in_for_nothing() -> None:
    assert stand_ins(replace(embedded_chart(), kind=ChartKind.OFFICIAL)) == ()


def test_a_chart_that_the_supply_has_is_taken_unless_another_is_named(choice: ChartChoice, tmp_path: Path) -> None:
    had = tmp_path / "had"
    shutil.copytree(asset("helm") / "airflow", had)
    assert choice.of(toolchain(had)).chart.path == had
    named = replace(choice, spec=str(asset("helm") / "airflow"))
    assert named.of(toolchain(had)).chart.path == asset("helm") / "airflow"


@pytest.mark.parametrize("supply", [SupplyKind.AUTO, SupplyKind.PACKAGES])
def test_values_that_only_the_official_chart_takes_are_refused_before_anything_runs(
    choice: ChartChoice, tmp_path: Path, supply: SupplyKind
) -> None:
    with pytest.raises(ValuesError, match="do not fit"):
        with_values(choice, "statsd: {enabled: true}\n", tmp_path, supply).before_anything_runs()


def test_with_the_registry_supply_they_wait_for_the_chart_that_is_installed(
    choice: ChartChoice, tmp_path: Path
) -> None:
    only_official = with_values(choice, "statsd: {enabled: true}\n", tmp_path, SupplyKind.REGISTRY)
    only_official.before_anything_runs()
    with pytest.raises(ValuesError, match="do not fit"):
        only_official.of(toolchain(None, "it could not be downloaded"))


@pytest.mark.parametrize(
    "text", ["statsd: {enabled: true\n", "statsd: {enabled: true}\ndags: {gitSync: {branch: other}}\n"]
)
def test_what_no_chart_could_mend_does_not_wait_for_it(choice: ChartChoice, tmp_path: Path, text: str) -> None:
    with pytest.raises(ValuesError):
        with_values(choice, text, tmp_path, SupplyKind.REGISTRY).before_anything_runs()


def test_a_remote_chart_is_not_asked_for_before_helm_is_there(choice: ChartChoice) -> None:
    replace(choice, spec="https://charts.invalid/airflow.tgz").before_anything_runs()
