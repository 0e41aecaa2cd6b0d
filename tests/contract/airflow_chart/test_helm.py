"""What the harness expects of helm itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.airflow.chart import Chart, Manifest, check_helm, render, resolve_chart
from harness.airflow.chart_values import effective_values, load_values
from harness.assets import asset
from harness.errors import CommandFailed, SupplyError
from harness.process import SubprocessRunner
from harness.versions import versions

SHIPPED = (asset("helm") / "values.yaml", asset("helm") / "kind.yaml")
Render = Callable[[Chart, Sequence[Path]], tuple[Manifest, ...]]


def test_the_embedded_chart_passes_helms_own_lint(helm_program: Path, home: Path, embedded: Chart) -> None:
    values = [word for path in SHIPPED for word in ("--values", path)]
    command: list[str | Path] = [helm_program, "lint", "--strict", embedded.path, *values]
    assert "0 chart(s) failed" in SubprocessRunner().run(command, env={"KUBECONFIG": "/dev/null"}).stdout


def test_helm_alone_refuses_what_the_embedded_chart_does_not_know(
    helm_program: Path, home: Path, embedded: Chart, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("ingress: {enabled: true}\n", encoding="utf-8")
    with pytest.raises(CommandFailed, match="ingress"):
        render(
            embedded,
            [*SHIPPED, path],
            helm=helm_program,
            runner=SubprocessRunner(),
            home=home,
            kubernetes_version=versions().kubernetes,
        )


def test_the_program_is_new_enough(helm_program: Path, home: Path) -> None:
    assert check_helm(helm_program, runner=SubprocessRunner(), home=home).startswith("v")


def test_values_merge_as_helm_merges_them(helm_program: Path, home: Path, tmp_path: Path) -> None:
    chart = tmp_path / "echo"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: airflow\nversion: 0.1.0\n", encoding="utf-8")
    (chart / "values.yaml").write_text("a: {x: 1, y: 2, z: 3}\nb: {x: 1}\nc: [1]\nd: {x: 1}\n", encoding="utf-8")
    (chart / "templates" / "echo.yaml").write_text("kind: Echo\nvalues: {{ .Values | toJson }}\n", encoding="utf-8")
    files = []
    first = "a: {x: 5, y: null}\nb: {y: on}\nc: [2, 3]\nday: 2026-11-21\n"
    for index, text in enumerate((first, "a: {z: 7}\nd: null\ne: n\n")):
        files.append(tmp_path / f"{index}.yaml")
        files[-1].write_text(text, encoding="utf-8")
    found = resolve_chart(str(chart), helm=helm_program, runner=SubprocessRunner(), home=home)
    (echoed,) = render(
        found,
        files,
        helm=helm_program,
        runner=SubprocessRunner(),
        home=home,
        kubernetes_version=versions().kubernetes,
    )
    defaults = load_values([chart / "values.yaml"])
    assert echoed["values"] == effective_values(defaults, load_values(files))


def test_an_unreachable_address_is_a_matter_of_supply(helm_program: Path, home: Path) -> None:
    with pytest.raises(SupplyError, match="could not be downloaded"):
        resolve_chart("http://127.0.0.1:9/airflow-1.22.0.tgz", helm=helm_program, runner=SubprocessRunner(), home=home)
