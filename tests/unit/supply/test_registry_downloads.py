"""What the registry supply downloads besides images: the official chart, which another may stand in for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.airflow.chart import OFFICIAL_DIGESTS
from harness.errors import SupplyError
from harness.model import Engine
from harness.process import SubprocessRunner
from harness.supply.pins import ChartPin, Download, pins
from harness.supply.registry import RegistrySupply
from harness.timeline import Timeline
from harness.versions import versions
from tests.fakes import Clock

CHART = b"an archive"
URL = "https://charts.example/airflow-1.22.0.tgz"


def supply(tmp_path: Path, answer: Callable[[httpx.Request], httpx.Response]) -> RegistrySupply:
    """With every program on PATH."""
    for name, tool in pins().tools.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho {name} v{tool.version} go1.24.0\n")
        program.chmod(0o755)
    builder: Any = None
    return RegistrySupply(
        engine=Engine(Path("docker"), "", ours=False, version="1"),
        builder=builder,
        runner=SubprocessRunner(),
        cleanup=SubprocessRunner(),
        timeline=Timeline(),
        cache_dir=tmp_path / "cache",
        drafts=tmp_path / "cache" / "drafts",
        versions=versions(),
        client=httpx.Client(transport=httpx.MockTransport(answer)),
        clock=Clock(),
        tool_path=str(tmp_path / "bin"),
        pinned=replace(pins(), chart=ChartPin("1.22.0", Download(URL, hashlib.sha256(CHART).hexdigest()))),
    )


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def test_the_official_chart_is_downloaded_once_and_checked(tmp_path: Path) -> None:
    programs, chart, why = supply(tmp_path, lambda _request: httpx.Response(200, content=CHART))._downloads(chart=True)
    assert set(programs) == {"kind", "helm", "kubectl"}
    assert chart is not None
    assert (chart.name, chart.read_bytes(), why) == ("airflow-1.22.0.tgz", CHART, "")
    assert supply(tmp_path, refused)._downloads(chart=True)[1] == chart


@pytest.mark.parametrize("answer", [refused, lambda _request: httpx.Response(403)])
def test_a_chart_that_cannot_be_had_is_done_without_and_the_reason_is_told(
    tmp_path: Path, answer: Callable[[httpx.Request], httpx.Response]
) -> None:
    one = supply(tmp_path, answer)
    _programs, chart, why = one._downloads(chart=True)
    assert chart is None
    assert why.startswith("the Airflow chart could not be downloaded: ")
    assert any("the embedded one stands in" in phase.note for phase in one.timeline.phases)


def test_another_file_in_its_place_is_an_error_and_not_done_without(tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match="is not the official Airflow chart"):
        supply(tmp_path, lambda _request: httpx.Response(200, content=b"x"))._downloads(chart=True)
    assert list((tmp_path / "cache").rglob("*.tgz")) == []


def test_a_chart_that_the_user_gives_is_not_downloaded(tmp_path: Path) -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked for {request.url}")

    assert supply(tmp_path, never)._downloads(chart=False)[1:] == (None, "")


def test_the_pinned_chart_is_one_whose_content_is_known() -> None:
    chart = pins().chart
    assert chart.version == versions().chart
    assert chart.version in OFFICIAL_DIGESTS
    assert chart.download.url.endswith(f"/{chart.version}/airflow-{chart.version}.tgz")
