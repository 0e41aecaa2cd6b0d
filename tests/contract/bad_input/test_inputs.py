"""What the user got wrong: exit code 4, named with its place and what to do, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ExitCode

from .front_door import FrontDoor


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(door: FrontDoor, *flags: str | Path, says: tuple[str, ...]) -> None:
    ended = door.run(*flags)
    ended.says(*says)
    ended.ended_as(ExitCode.USAGE)
    ended.started_nothing()


def test_a_misspelt_values_key_is_named_with_its_line_and_the_key_that_was_meant(door: FrontDoor) -> None:
    values = file(door.home / "team.yaml", "dags:\n  gitSycn: {enabled: true}\n")
    refused(door, "--values", values, says=(f"{values}:2 dags.gitSycn", "did you mean dags.gitSync?"))


def test_a_values_file_that_is_not_there_is_named_in_full(door: FrontDoor) -> None:
    refused(door, "--values", "team.yaml", says=(str(door.home / "team.yaml"), "No such file", "--values"))


def test_a_values_file_that_is_no_yaml_is_named_with_the_line(door: FrontDoor) -> None:
    file(door.home / "team.yaml", "dags: {enabled: true\nworkers: 1\n")
    refused(door, "--values", "team.yaml", says=("team.yaml is not YAML", 'in "team.yaml", line 2', "mend team.yaml"))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({}, "the folder has no Chart.yaml"),
        ({"Chart.yaml": "name: [\n"}, "its Chart.yaml is not YAML (line 2"),
        ({"Chart.yaml": "name: redis\nversion: 1.0.0\n"}, "is the chart redis 1.0.0, not an Airflow chart"),
    ],
    ids=["empty folder", "broken Chart.yaml", "another chart"],
)
def test_a_folder_that_is_no_airflow_chart_is_named_with_why(door: FrontDoor, made: dict[str, str], why: str) -> None:
    chart = door.home / "chart"
    chart.mkdir()
    for name, text in made.items():
        file(chart / name, text)
    refused(door, "--airflow-chart", chart, says=(str(chart), why, "give the official Airflow chart"))


def test_a_text_file_is_no_chart(door: FrontDoor) -> None:
    chart = file(door.home / "chart.tgz", "hello\n")
    refused(door, "--airflow-chart", chart, says=(str(chart), "not a .tgz archive", "give the official Airflow chart"))


def test_a_dag_folder_that_is_not_there_is_named(door: FrontDoor) -> None:
    refused(door, "--dags", door.home / "nowhere", says=(str(door.home / "nowhere"), "--dags"))


def test_a_dag_folder_without_a_dag_is_named(door: FrontDoor) -> None:
    file(door.home / "dags" / "README.md", "no DAG here\n")
    refused(door, "--dags", door.home / "dags", says=(str(door.home / "dags"), "--dags"))


def test_a_misspelt_variable_is_named(door: FrontDoor) -> None:
    door.env = {"HARNESS_KEPP": "always"}
    refused(door, says=("HARNESS_KEPP", "no such setting"))
