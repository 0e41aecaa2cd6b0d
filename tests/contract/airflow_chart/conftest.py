"""Both charts, rendered by a real helm with the shipped values."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.airflow.chart import Chart, Manifest, check_helm, contract, embedded_chart, render, resolve_chart
from harness.airflow.chart_values import check_values
from harness.process import SubprocessRunner
from harness.versions import versions

Render = Callable[[Chart, Sequence[Path]], tuple[Manifest, ...]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("helm-home")


@pytest.fixture(scope="session")
def embedded() -> Chart:
    return embedded_chart()


@pytest.fixture(scope="session")
def official(helm_program: Path, home: Path) -> Chart:
    spec = os.environ.get("HARNESS_AIRFLOW_CHART")
    if not spec:
        pytest.skip(
            "the official chart is not compared: set HARNESS_AIRFLOW_CHART to a folder or archive of chart "
            f"{versions().chart} to do so"
        )
    found = resolve_chart(spec, helm=helm_program, runner=SubprocessRunner(), home=home)
    assert not found.warnings, f"{found.title}: {found.warnings[0]}"
    return found


@pytest.fixture(scope="session")
def rendered(helm_program: Path, home: Path) -> Render:
    """Render a chart with values files, checked by the harness first, as a run does it. Not to be changed: kept."""
    runner = SubprocessRunner()
    check_helm(helm_program, runner=runner, home=home)
    kept: dict[tuple[str, ...], tuple[Manifest, ...]] = {}

    def run(chart: Chart, values: Sequence[Path]) -> tuple[Manifest, ...]:
        key = (chart.digest, *(path.read_text(encoding="utf-8") for path in values))
        if key not in kept:
            check_values(values, contract(chart))
            kept[key] = render(
                chart, values, helm=helm_program, runner=runner, home=home, kubernetes_version=versions().kubernetes
            )
        return kept[key]

    return run
