"""The policy's branch is what GitSync brings, in every pod of both charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.airflow.chart import Chart, Manifest
from harness.airflow.overlay import write_overlay
from harness.assets import asset

HELM = asset("helm")
BRANCH = "team/data"
Render = Callable[[Chart, Sequence[Path]], tuple[Manifest, ...]]


def synced(manifests: Sequence[Manifest]) -> Iterator[tuple[str, dict[str, str]]]:
    """Environment of each git-sync container, by where it is: the DAG processor's, and the executor's pod template."""
    for manifest in manifests:
        pods: list[tuple[str, Any]] = []
        if "template" in (manifest.get("spec") or {}):
            pods.append((manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]))
        template = (manifest.get("data") or {}).get("pod_template_file.yaml")
        if template:
            pods.append(("executor", yaml.safe_load(template)["spec"]))
        for name, spec in pods:
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                if container["name"].startswith("git-sync"):
                    plain = {each["name"]: each["value"] for each in container["env"] if "value" in each}
                    yield f"{name}/{container['name']}", plain


def check(chart: Chart, rendered: Render, folder: Path) -> None:
    overlay = write_overlay(HELM, folder / "branch.yaml", branch=BRANCH)
    found = dict(synced(rendered(chart, (HELM / "values.yaml", HELM / "kind.yaml", overlay))))
    assert {"airflow-dag-processor/git-sync", "airflow-dag-processor/git-sync-init"} <= set(found)
    assert any(name.startswith("executor/") for name in found)
    for name, environment in found.items():
        assert environment["GITSYNC_REF"] == BRANCH, name
        assert environment["GIT_SYNC_BRANCH"] == BRANCH, name
        assert environment["GIT_SYNC_REV"] == "HEAD", name


def test_the_embedded_chart_brings_the_branch(embedded: Chart, rendered: Render, tmp_path: Path) -> None:
    check(embedded, rendered, tmp_path)


@pytest.mark.usefixtures("helm_program")
def test_the_official_chart_brings_the_branch(official: Chart, rendered: Render, tmp_path: Path) -> None:
    check(official, rendered, tmp_path)
