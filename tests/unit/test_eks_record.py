"""`harness eks-record` does a run on EKS as `harness run` does it, heard by a recorder while it lasts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness import awstap, cli, session
from harness.errors import ExitCode
from harness.settings import Settings, TargetKind

WORDS = ["--eks-cluster", "mlops", "--eks-region", "eu-central-1", "--eks-bucket", "team-dvc", "--eks-consent"]


class Run:
    """In the place of a run: which settings it had, and whether somebody listened."""

    def __init__(self, code: ExitCode) -> None:
        self.code = code
        self.settings: list[Settings] = []
        self.heard = False

    def __call__(self, settings: Settings, _console: Any) -> ExitCode:
        self.settings.append(settings)
        self.heard = awstap.somebody_listens()
        awstap.tell_of_agent('{"as": "none", "status": 400, "content_type": "text/plain", "members": []}')
        return self.code


@pytest.mark.parametrize("code", [ExitCode.GREEN, ExitCode.VERDICT_RED])
def test_it_is_a_run_on_eks_with_somebody_listening(
    code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(code)
    monkeypatch.setattr(session, "run_once", run)
    path = tmp_path / "night.jsonl"
    result = CliRunner().invoke(cli.app, ["eks-record", str(path), *WORDS])
    assert result.exit_code == code, result.output
    assert run.heard
    assert not awstap.somebody_listens()
    (settings,) = run.settings
    assert (settings.target, settings.eks.cluster, settings.eks.consent) == (TargetKind.EKS, "mlops", True)
    head, agent = map(json.loads, path.read_text().splitlines())
    assert (head["transcript"], head["region"]) == (1, "eu-central-1")
    assert (agent["service"], agent["of_aws"]) == ("pod-identity-agent", False)
    assert "1 calls, 1 of them to an address that is not AWS's own" in result.output


@pytest.mark.parametrize("words", [WORDS[2:], [*WORDS, "--target", "kind"]])
def test_what_cannot_be_recorded_is_refused_before_anything_is_written(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    result = CliRunner().invoke(cli.app, ["eks-record", str(path), *words])
    assert result.exit_code != 0
    assert not path.exists()


def test_a_transcript_that_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "run_once", Run(ExitCode.GREEN))
    path = tmp_path / "night.jsonl"
    path.write_text("of last night")
    result = CliRunner().invoke(cli.app, ["eks-record", str(path), *WORDS])
    assert result.exit_code == ExitCode.USAGE
    assert path.read_text() == "of last night"
