"""A proof of which not all was seen ends as an error of the environment, and how long a run may last is a setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import dvc, proof
from harness.errors import EnvironmentFailed
from harness.model import BlockedEgress, PipelineRun, Watch
from harness.proof import Prover
from harness.settings import resolve

from .dvc.conftest import given
from .test_proof import Calls, calls, prover

__all__ = ["calls"]


@pytest.fixture
def prove(calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Prove a run of which nothing is wrong, as it was seen; returns what the run was started with."""

    def prove(**seen: Any) -> dict[str, Any]:
        expectation, evidence = given()
        options: dict[str, Any] = {}

        class Gatherer:
            def snapshot(self) -> Any:
                return SimpleNamespace(tip=None, config=None)

            def evidence(self, _before: object, **found: Any) -> dvc.Evidence:
                return replace(evidence, **{**found, "pods": tuple(found["pods"])})

        def run(*_given: object, **given_options: Any) -> PipelineRun:
            options.update(given_options)
            pods = {pod.name: replace(pod, **seen.get("pods", {})) for pod in evidence.pods}
            return PipelineRun(expectation.seeded, evidence.outcome, pods, seen.get("watch", Watch()))

        monkeypatch.setattr(Prover, "_gatherer", lambda *_given: Gatherer())
        monkeypatch.setattr(Prover, "_with_tasks", lambda *_given: expectation)
        monkeypatch.setattr(Prover, "_blocked", lambda *_given: seen.get("blocked", ()))
        monkeypatch.setattr(proof, "causes", lambda *_given, **_options: ())
        monkeypatch.setattr(proof, "run_pipeline", run)
        monkeypatch.setattr(proof, "run_facts", lambda *_given, **_options: None)
        monkeypatch.setattr(proof, "record_parity", lambda *_given, **_options: None)
        monkeypatch.setattr(dvc, "write_verdict", lambda *_given: None)
        made = prover(calls, tmp_path, reused=False)
        environment: Any = made._environment
        environment.settings = resolve(run_timeout=120.0)
        environment.verdicts, environment.added = [], {}
        try:
            assert made.prove().verdict.green
        except EnvironmentFailed:
            assert not environment.verdicts, "none of them may turn the exit code"
            raise
        return options

    return prove


def test_a_run_may_last_as_long_as_the_setting_says(prove: Callable[..., Any]) -> None:
    assert prove()["timeout"] == 120.0


@pytest.mark.parametrize(
    ("seen", "check"),
    [
        ({"pods": {"unread": ("base: gone with its pod",)}}, "logs.no-secrets"),
        ({"pods": {"synced_sha": None}}, "code.dag-sha"),
        ({"pods": {"image_id": ""}}, "code.worker-image"),
        ({"blocked": (BlockedEgress("10.244.0.9", "192.0.2.1", "tcp", 443, 1),)}, "traffic.none-outside"),
    ],
)
def test_a_run_that_was_not_all_seen_is_no_verdict(prove: Callable[..., Any], seen: dict[str, Any], check: str) -> None:
    with pytest.raises(EnvironmentFailed, match=f"the run cannot be judged: {check}: .* could not be established"):
        prove(**seen)
