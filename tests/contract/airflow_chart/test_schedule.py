"""On kind no DAG runs by its schedule, in either chart: the scheduler starts only what it is asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from configparser import RawConfigParser
from pathlib import Path

from harness.airflow.chart import Chart, Manifest
from harness.assets import asset

HELM = asset("helm")
Render = Callable[[Chart, Sequence[Path]], tuple[Manifest, ...]]


def scheduling(chart: Chart, rendered: Render, *files: str) -> str:
    """What airflow.cfg says of `[scheduler] use_job_schedule`."""
    texts = [
        manifest["data"]["airflow.cfg"]
        for manifest in rendered(chart, [HELM / name for name in files])
        if "airflow.cfg" in (manifest.get("data") or {})
    ]
    config = RawConfigParser(strict=False)
    config.read_string(texts[0])
    return config.get("scheduler", "use_job_schedule", fallback="default")


def test_the_embedded_chart_takes_the_schedule_away_on_kind_only(embedded: Chart, rendered: Render) -> None:
    assert "use_job_schedule" not in (HELM / "values.yaml").read_text(encoding="utf-8")
    assert scheduling(embedded, rendered, "values.yaml", "kind.yaml") == "False"


def test_the_official_chart_does_so_too(official: Chart, rendered: Render) -> None:
    assert scheduling(official, rendered, "values.yaml", "kind.yaml") == "False"
