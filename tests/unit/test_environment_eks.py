"""A run on EKS whose settings are not whole ends before anything is started, and is told what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.environment import Environment
from harness.errors import UsageError
from harness.settings import Settings, TargetKind
from harness.supply.engine import EngineSupply
from harness.timeline import Timeline


def test_nothing_is_started_for_a_run_that_does_not_say_which_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> None:
        raise AssertionError("the engine was asked for")

    monkeypatch.setattr(EngineSupply, "acquire", started)
    environment = Environment(
        Settings(
            target=TargetKind.EKS,
            state_dir=tmp_path / "state",
            cache_dir=tmp_path / "cache",
            evidence_dir=tmp_path / "evidence",
        ),
        timeline=Timeline(),
    )
    try:
        with pytest.raises(UsageError, match="needs to be told more") as caught:
            environment.up()
    finally:
        environment.down()
    assert set(caught.value.evidence) == {"eks.cluster", "eks.bucket"}
