"""Which cluster a verb means, and what is told of each."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from rich.console import Console

from harness import standing, verbs
from harness.clusters import chosen, known
from harness.errors import ExitCode, UsageError
from harness.kubeapi import KubeUnavailable
from harness.redaction import Redactor
from harness.services.secrets import ClusterSecrets
from harness.settings import Settings, resolve
from harness.supply.cache import Eviction, Usage
from harness.supply.engine import EngineSupply

WIDTH = 40


def made(state: Path, name: str, *, kept: bool = True, **description: Any) -> Path:
    folder = state / "clusters" / name
    folder.mkdir(parents=True)
    (folder / "cluster.json").write_text(json.dumps(description))
    if kept:
        (folder / "kept").touch()
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HARNESS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    return resolve()


def test_without_a_name_the_only_kept_cluster_is_meant(tmp_path: Path) -> None:
    made(tmp_path, "mine")
    assert chosen(known(tmp_path), None).name == "mine"


@pytest.mark.parametrize(
    ("names", "wanted", "message", "next_step"),
    [
        ([], None, "no cluster is kept here", "`harness up` makes one"),
        (["harness-kept", "other"], None, "say which cluster is meant", "name one with --cluster"),
        (["other"], "mine", "there is no cluster 'mine' of the harness", "name one with --cluster, or make one"),
    ],
)
def test_a_cluster_is_never_guessed(
    tmp_path: Path, names: list[str], wanted: str | None, message: str, next_step: str
) -> None:
    for name in names:
        made(tmp_path, name)
    with pytest.raises(UsageError) as error:
        chosen(known(tmp_path), wanted)
    assert error.value.message == message
    assert error.value.next_step.startswith(next_step)
    assert all(name in str(error.value) for name in names)


def test_a_cluster_that_a_run_uses_is_meant_by_its_name_only(tmp_path: Path) -> None:
    made(tmp_path, "busy", kept=False)
    with pytest.raises(UsageError, match="a run uses busy"):
        chosen(known(tmp_path), None)
    assert chosen(known(tmp_path), "busy").name == "busy"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"ports": 3, "run": null}'])
def test_a_damaged_description_costs_only_what_it_would_have_said(tmp_path: Path, text: str) -> None:
    (made(tmp_path, "mine") / "cluster.json").write_text(text)
    cluster = chosen(known(tmp_path), None)
    assert (cluster.ui, cluster.origin) == ("", "by whom it was made is not known")


def test_down_says_what_it_removes_before_it_does(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(settings.state_dir, "mine", run="r-1", made_from="/home/me/dags")
    said: list[str] = []

    def gone(_self: EngineSupply) -> None:
        said.append(text.getvalue())

    # An engine that is gone took the cluster with it; its folder is what is left to remove.
    monkeypatch.setattr(EngineSupply, "acquire", gone)
    text = io.StringIO()
    assert verbs.down(settings, Console(file=text, width=WIDTH)) is ExitCode.GREEN
    assert said == ["removing mine, made by run r-1 in /home/me/dags\n"]
    assert not folder.exists()


class FakeKube:
    """One pod in each namespace."""

    answers = True

    def __init__(self, _kubeconfig: Path, _context: str, *, timeout: float) -> None:
        assert timeout > 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def list(self, _kind: str, namespace: str) -> list[dict[str, Any]]:
        if not self.answers:
            raise KubeUnavailable("nobody is there", status=0)
        status = {"phase": "Running", "containerStatuses": [{"ready": True, "restartCount": 2}, {"ready": False}]}
        return [{"metadata": {"name": f"{namespace}-1"}, "status": status}]


def shown(settings: Settings, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    monkeypatch.setattr(standing, "KubeApi", FakeKube)
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=terminal, color_system=None)
    assert verbs.status(settings, console) is ExitCode.GREEN
    return text.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_status_shows_the_way_into_airflow_and_the_login_on_a_terminal_only(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,  # noqa: FBT001 - a pytest parameter
) -> None:
    folder = made(settings.state_dir, "mine", ports={"airflow": 40123}, run="r-1")
    password = ClusterSecrets.of_cluster(folder, Redactor()).airflow_password
    lines = [line.rstrip() for line in shown(settings, monkeypatch, terminal=terminal).splitlines()]
    assert "mine, kept, made by run r-1" in lines
    assert "  Airflow    http://127.0.0.1:40123" in lines
    assert f"  kubeconfig {folder / 'kubeconfig'}" in lines, "a path that is folded cannot be copied"
    assert (f"  login      admin / {password}" in lines) is terminal


def test_a_look_makes_no_secrets(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(settings.state_dir, "mine")
    assert "login" not in shown(settings, monkeypatch, terminal=True)
    assert sorted(path.name for path in folder.iterdir()) == ["cluster.json", "kept"]


@pytest.mark.parametrize("answers", [True, False])
def test_status_for_programs_has_everything_but_the_login(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    answers: bool,  # noqa: FBT001 - a pytest parameter
) -> None:
    folder = made(settings.state_dir, "mine", ports={"airflow": 40123}, run="r-1")
    password = ClusterSecrets.of_cluster(folder, Redactor()).airflow_password
    monkeypatch.setattr(standing, "KubeApi", FakeKube)
    monkeypatch.setattr(FakeKube, "answers", answers)
    text = io.StringIO()
    assert verbs.status(settings, Console(file=text, width=WIDTH, force_terminal=True), as_json=True) is ExitCode.GREEN
    (found,) = json.loads(text.getvalue())
    assert password not in text.getvalue()
    assert (found["name"], found["kept"], found["airflow"]) == ("mine", True, "http://127.0.0.1:40123")
    assert found["answers"] is answers
    if answers:
        assert found["pods"][0] == {
            "namespace": "harness", "name": "harness-1", "phase": "Running", "ready": 1, "containers": 2, "restarts": 2,
        }  # fmt: skip
    else:
        assert found["error"] == "nobody is there"


class WithEnded(FakeKube):
    """A cluster on which runs have been."""

    def list(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        ended = ["Succeeded"] * 12 + ["Failed"] * 3 if namespace == "airflow" else []
        old = [{"metadata": {"name": f"dvc-{n}"}, "status": {"phase": phase}} for n, phase in enumerate(ended)]
        return [*super().list(kind, namespace), *old]


def test_pods_that_are_over_are_counted_and_not_listed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made(settings.state_dir, "mine")
    monkeypatch.setattr(f"{__name__}.FakeKube", WithEnded)
    said = shown(settings, monkeypatch, terminal=False)
    assert [line for line in said.splitlines() if "dvc-" in line] == []
    assert "airflow-1" in said
    assert "and of runs that are over: 3 Failed, 12 Succeeded" in " ".join(said.split())
    assert said.count("runs that are over") == 1, "where there are none nothing is said of them"


def test_for_programs_they_are_counted_too(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made(settings.state_dir, "mine")
    monkeypatch.setattr(standing, "KubeApi", WithEnded)
    text = io.StringIO()
    verbs.status(settings, Console(file=text, width=WIDTH), as_json=True)
    (found,) = json.loads(text.getvalue())
    assert [pod["name"] for pod in found["pods"]] == ["harness-1", "airflow-1"]
    assert found["ended_pods"] == {"Failed": 3, "Succeeded": 12}


def test_a_look_alike_has_no_address_of_airflow(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (made(settings.state_dir, "eks-lookalike", ports={"airflow": 40123}) / "lookalike").mkdir()
    assert "Airflow" not in shown(settings, monkeypatch, terminal=False)


class FakeCache:
    """Notes what is asked of it."""

    asked: ClassVar[list[str]] = []

    def __init__(self, **_parts: object) -> None:
        pass

    def evict(self, _limit: float) -> Eviction:
        self.asked.append("evict")
        return Eviction(("old:1",), {}, 2, 1)

    def clear(self) -> Eviction:
        self.asked.append("clear")
        return Eviction(("old:1",), {}, 2, 0)

    def usage(self) -> Usage:
        return Usage((), 0, 1_000, {"tools": 500})


@pytest.mark.parametrize(("flag", "asked"), [({}, []), ({"evict": True}, ["evict"]), ({"clear": True}, ["clear"])])
def test_to_look_at_the_caches_removes_nothing_unless_asked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, flag: dict[str, bool], asked: list[str]
) -> None:
    monkeypatch.setattr(verbs, "Cache", FakeCache)
    monkeypatch.setattr(verbs, "_engine", lambda *_: nullcontext())
    monkeypatch.setattr(FakeCache, "asked", [])
    text = io.StringIO()
    assert verbs.cache(settings, Console(file=text), as_json=True, **flag) is ExitCode.GREEN
    found = json.loads(text.getvalue())
    assert FakeCache.asked == asked
    assert (found["total"], found["limit"], found["folders"]) == (1_500, 20_000_000_000, {"tools": 500})
    assert found["removed"] == (["old:1"] if asked else [])


def test_versions_name_the_harness_dvc_and_both_charts() -> None:
    text = io.StringIO()
    verbs.print_versions(Console(file=text), as_json=True)
    found = json.loads(text.getvalue())
    assert found["dvc"].count(".") == 2
    assert {"harness", "official chart", "embedded chart"} <= found.keys()
    assert found["official chart"] != found["embedded chart"]
