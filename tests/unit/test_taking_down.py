"""However a run ends, every step of taking it down is taken, and no second signal breaks that off."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from harness import session
from harness.environment import Environment
from harness.errors import CleanupFailed, EngineError, ExitCode
from harness.settings import Settings
from harness.supply.engine import EngineSupply
from harness.timeline import Timeline


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", cache_dir=tmp_path / "cache", evidence_dir=tmp_path / "evidence")


def test_taking_down_goes_on_past_errors_and_the_first_names_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(_self: EngineSupply, *, keep: bool) -> bool:
        raise EngineError("it does not stop")

    environment = Environment(settings, timeline=Timeline())
    environment.api = Broken()  # type: ignore[assignment]
    monkeypatch.setattr(EngineSupply, "release", stuck)
    with pytest.raises(CleanupFailed, match="connection lost") as caught:
        environment.down()
    assert caught.value.evidence == {"problem 2": "it does not stop"}
    assert list((settings.state_dir / "runs").iterdir()) == []


class Broken:
    def close(self) -> None:
        raise OSError("connection lost")


def test_a_run_whose_making_is_interrupted_leaves_no_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.environment.EngineSupply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Environment(settings, timeline=Timeline())
    assert list((settings.state_dir / "runs").iterdir()) == []


def test_a_session_that_is_interrupted_twice_is_taken_down_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_environment: Environment) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    done = session._carry_out(settings, Console(file=io.StringIO()), work)
    assert done.exit_code is ExitCode.INTERRUPTED
    assert list((settings.state_dir / "runs").iterdir()) == []


def test_a_failed_clean_up_turns_the_exit_code_and_leaves_the_verdict(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(_self: Environment) -> None:
        raise CleanupFailed("a container is still there", next_step="harness sweep")

    monkeypatch.setattr(Environment, "down", stuck)
    green = Verdict()
    done = session._carry_out(
        settings,
        Console(file=io.StringIO()),
        lambda environment: environment.verdicts.append(green),  # type: ignore[arg-type]
    )
    assert done.exit_code is ExitCode.ENVIRONMENT_FAILED
    assert done.verdicts == (green,)
    assert "a container is still there" in session.told(done.error)


class Verdict:
    """A green one."""

    green = True
    red_expected = False
    must_fail = ""
    diagnoses = ()
    checks = ()
