"""What of the settings and of this machine reaches the supply that is chosen."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.journal import Journal
from harness.model import Engine
from harness.process import SubprocessRunner
from harness.settings import Settings
from harness.supply import provision as module
from harness.supply.host import HostConfiguration
from harness.supply.pins import Pins, pins
from harness.supply.tools import this_platform
from harness.timeline import Timeline

DIGEST = "sha256:" + "0a" * 32


class Machine:
    """A machine whose registries answer as told; the supplies make nothing and note what they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.probed: tuple[str, ...] | None = None
        self.problem: str | None = None
        self.pinned: Pins | None = None
        self.chart: bool | None = None
        (tmp_path / "bin").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(module, "read_host", lambda: HostConfiguration("", None, tmp_path / "ca.crt", {}))
        monkeypatch.setattr(module, "_keep_within_budget", lambda *_parts: 0)
        monkeypatch.setattr(module, "ExpectedMinutes", lambda **_parts: lambda _kind: 1.0)
        monkeypatch.setattr(module, "RegistryProbe", self._probe)
        monkeypatch.setattr(module, "RegistrySupply", self._registry)
        monkeypatch.setattr(module, "PackagesSupply", lambda **_parts: SimpleNamespace(toolchain=self._toolchain))

    def has(self, program: str) -> None:
        path = self.tmp_path / "bin" / program
        path.write_text(f"#!/bin/sh\necho {program} v{pins().tools[program].version} go1.24.0\n")  # type: ignore[index]
        path.chmod(0o755)

    def provision(self, **settings: Any) -> module.Provision:
        with ExitStack() as until_end:
            return module.provision(
                Settings(cache_dir=self.tmp_path / "cache", state_dir=self.tmp_path / "state", **settings),
                Engine(docker=Path("docker"), host="", ours=False, version="1"),
                run_id="r",
                scratch=self.tmp_path,
                until_end=until_end,
                runner=SubprocessRunner(),
                timeline=Timeline(),
                journal=Journal(self.tmp_path / "journal"),
                status=lambda _text: None,
            )

    def _probe(self, *, downloads: tuple[str, ...], **_parts: object) -> Any:
        self.probed = downloads
        return lambda: {"registry.example": self.problem}

    def _registry(self, *, pinned: Pins, **_parts: object) -> Any:
        self.pinned = pinned
        return SimpleNamespace(toolchain=self._toolchain)

    def _toolchain(self, *, strict_s3: bool, chart: bool | None = None) -> Any:
        self.chart = chart
        return SimpleNamespace(node_image="node:1")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def test_auto_asks_for_those_programs_that_path_does_not_have(machine: Machine) -> None:
    machine.has("helm")
    machine.provision()
    tools = pins().tools
    assert machine.probed == tuple(tools[name].downloads[this_platform()].url for name in tools if name != "helm")


def test_an_explicit_choice_asks_for_nothing(machine: Machine) -> None:
    machine.provision(supply="registry")
    assert machine.probed is None


def test_the_digests_of_the_settings_are_those_that_images_are_pulled_by(machine: Machine) -> None:
    machine.provision(supply="registry", image_digests={"git-sync": DIGEST})
    assert machine.pinned is not None
    assert machine.pinned.images["git-sync"].digest == DIGEST
    assert machine.pinned.images["node"] == pins().images["node"]


@pytest.mark.parametrize(("chart", "wanted"), [(None, True), ("chart.tgz", False)])
def test_the_official_chart_is_wanted_unless_another_is_named(
    machine: Machine,
    chart: str | None,
    wanted: bool,  # noqa: FBT001 - pytest's form
) -> None:
    machine.provision(supply="registry", airflow_chart=chart)
    assert machine.chart is wanted
