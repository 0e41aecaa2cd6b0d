"""`harness logs`, with a cluster that is not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from rich.console import Console

from harness import verbs
from harness.errors import ExitCode, UsageError
from harness.kubeclient import KubeApiError, KubeUnavailable
from harness.settings import Settings, resolve


class FakeKube:
    """One pod with an init container that is through, one container that runs, one that has not started."""

    logs: dict[tuple[str, bool], str | KubeApiError]
    asked: ClassVar[list[str]] = []

    def __init__(self, _kubeconfig: Path, _context: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def list(self, _kind: str, _namespace: str, *, labels: str) -> list[dict[str, Any]]:
        spec = {"initContainers": [{"name": "migrate"}], "containers": [{"name": "waiting"}, {"name": "running"}]}
        self.asked.append(labels)
        return [{"metadata": {"name": "airflow-1"}, "spec": spec}] if labels != "app=s3" else []

    def pod_logs(self, _pod: str, container: str, *, namespace: str, previous: bool, tail_lines: int) -> str:
        answer = self.logs[container, previous]
        if isinstance(answer, KubeApiError):
            raise answer
        return f"{answer} ({namespace}, {tail_lines})"


NOT_YET = KubeApiError("log of airflow/airflow-1: container is waiting to start: PodInitializing", status=400)
NONE_BEFORE = KubeApiError("previous terminated container not found", status=400)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a user who keeps one cluster."""
    monkeypatch.setenv("HARNESS_STATE_DIR", str(tmp_path))
    (tmp_path / "clusters" / "h-1").mkdir(parents=True)
    (tmp_path / "clusters" / "h-1" / "kept").touch()
    monkeypatch.setattr(verbs, "KubeApi", FakeKube)
    FakeKube.logs = {
        ("migrate", False): "migrated",
        ("waiting", False): NOT_YET,
        ("running", False): "serving",
        ("migrate", True): NONE_BEFORE,
        ("waiting", True): NONE_BEFORE,
        ("running", True): "crashed",
    }
    return resolve()


def shown(settings: Settings, part: str = "airflow", **options: Any) -> list[str]:
    text = io.StringIO()
    assert verbs.logs(settings, part, Console(file=text, width=40), **options) is ExitCode.GREEN
    return text.getvalue().splitlines()


def test_a_container_that_has_not_started_is_named_and_the_others_are_shown(settings: Settings) -> None:
    assert shown(settings) == [
        "--- airflow-1/migrate",
        "migrated (airflow, 500)",
        "--- airflow-1/waiting",
        f"(no log: {NOT_YET.message})",
        "--- airflow-1/running",
        "serving (airflow, 500)",
    ]


def test_the_instances_before_are_shown_where_there_were_any(settings: Settings) -> None:
    lines = shown(settings, previous=True)
    assert lines[1::2] == [f"(no log: {NONE_BEFORE.message})"] * 2 + ["crashed (airflow, 500)"]


@pytest.mark.parametrize("part", ["scheduler", "dag-processor", "api-server"])
def test_a_component_of_airflow_can_be_read_alone(settings: Settings, part: str) -> None:
    shown(settings, part)
    # The labels of both charts (helm/airflow/templates/_names.tpl; the official one's `component`).
    assert FakeKube.asked[-1] == f"release=airflow,component={part}"


def test_so_many_lines_are_shown_as_are_asked_for(settings: Settings) -> None:
    assert "serving (airflow, 7)" in shown(settings, tail=7)


def test_a_cluster_that_does_not_answer_is_an_error_at_once(settings: Settings) -> None:
    FakeKube.logs["migrate", False] = KubeUnavailable("it does not answer", status=0)
    with pytest.raises(KubeUnavailable):
        shown(settings)


def test_a_part_without_a_pod_is_a_usage_error_that_names_the_parts(settings: Settings) -> None:
    with pytest.raises(UsageError, match="there is no pod of 's3'") as error:
        shown(settings, "s3")
    assert "use airflow, scheduler, dag-processor, api-server, git, s3, postgres, adapter, " in error.value.next_step
