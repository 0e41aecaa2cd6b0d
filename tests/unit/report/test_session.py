"""What a session says of a run that ended badly."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from harness import session as sessions
from harness.environment import Environment
from harness.errors import EnvironmentFailed, ExitCode, UsageError
from harness.redaction import Redactor
from harness.report import files
from harness.report.console import ReportConsole
from harness.session import Session, facts, kept, told
from harness.settings import Settings


def environment(*, keeps: bool, ready: bool, forwarded: bool = False) -> Environment:
    release = SimpleNamespace(url="http://127.0.0.1:40123", username="admin", password=SecretStr("p"))
    made: Any = SimpleNamespace(
        cluster_name="h-1",
        ready=SimpleNamespace(release=release, cluster=SimpleNamespace(forwarded=forwarded)) if ready else None,
        target_flags=" --target eks --eks-cluster mlops" if forwarded else "",
        object_store="localstack",
        keeps_cluster=keeps,
        evidence=Path("evidence"),
    )
    return cast("Environment", made)


def test_a_cluster_that_is_kept_though_not_everything_came_up_can_be_entered_and_removed() -> None:
    found = kept(environment(keeps=True, ready=False))
    assert found is not None
    assert found.run == "harness run --keep always --cluster h-1"
    assert (found.ui, found.enter, found.delete) == ("", "harness shell --cluster h-1", "harness down --cluster h-1")


def test_a_kept_cluster_comes_with_airflows_address() -> None:
    found = kept(environment(keeps=True, ready=True))
    assert found is not None
    assert found.ui == "http://127.0.0.1:40123"


def test_a_kept_cluster_whose_forwards_end_with_the_run_comes_with_the_way_to_make_one() -> None:
    found = kept(environment(keeps=True, ready=True, forwarded=True))
    assert found is not None
    assert found.ui == ""
    assert found.no_ui == "kubectl --namespace airflow port-forward service/airflow-api-server 8080"
    assert found.run == "harness run --target eks --eks-cluster mlops --keep always --cluster h-1"


def test_nothing_is_said_to_be_kept_that_is_not() -> None:
    assert kept(environment(keeps=False, ready=True)) is None


@pytest.mark.parametrize(("cluster", "word"), [(None, "not looked at"), ("there", "not brought up")])
def test_a_kept_cluster_is_not_called_down_by_a_run_that_ended_before_it_looked(cluster: object, word: str) -> None:
    settings = SimpleNamespace(target="kind", airflow_chart=None, s3="localstack")
    made: Any = SimpleNamespace(
        **vars(environment(keeps=True, ready=False)), run_id="r", settings=settings, toolchain=None, cluster=cluster,
        supply_note="auto",
    )  # fmt: skip
    found = facts(made)
    assert (found.target, found.airflow) == (f"kind cluster h-1 ({word})", word)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, ""),
        (KeyboardInterrupt(), ""),
        (EnvironmentFailed("no disk", next_step="free some"), "no disk\n  next: free some"),
    ],
)
def test_an_error_is_told_with_its_next_step(error: BaseException | None, text: str) -> None:
    assert told(error) == text


def test_a_fault_of_the_harness_is_called_that_and_names_its_type() -> None:
    assert told(KeyError("ports")).startswith("a fault of the harness itself: KeyError: 'ports'\n  next: ")


def test_a_green_run_whose_evidence_cannot_be_written_is_not_green_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(state_dir=tmp_path / "state", cache_dir=tmp_path / "cache", evidence_dir=tmp_path / "evidence")
    session = Session(settings, ReportConsole())
    session.environment.down()

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    assert session.conclude(ReportConsole(), code=ExitCode.GREEN) is ExitCode.ENVIRONMENT_FAILED
    told_all = capsys.readouterr().out
    assert "No space left on device" in told_all
    assert "GREEN" not in told_all


def test_a_name_that_is_no_text_can_be_told_and_written() -> None:
    name = b"d\xe9j\xe0.py".decode("utf-8", "surrogateescape")
    assert Redactor().text(f"the file {name}").encode()


@pytest.mark.parametrize(("begun", "told_of"), [(False, 0), (True, 1)])
def test_of_input_that_was_refused_before_anything_began_no_bundle_is_collected(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begun: bool,  # noqa: FBT001 - a pytest parameter
    told_of: int,
) -> None:
    settings = Settings(state_dir=tmp_path / "state", cache_dir=tmp_path / "cache", evidence_dir=tmp_path / "evidence")
    session = Session(settings, ReportConsole())
    collected: list[object] = []

    def collect(_environment: Environment, error: BaseException) -> tuple[str, ...]:
        collected.append(error)
        return ()

    monkeypatch.setattr(sessions, "explain", collect)
    if begun:
        with session.timeline.phase("container engine"):
            pass
    session.error = UsageError("no such key")
    session.down()
    assert len(collected) == told_of
