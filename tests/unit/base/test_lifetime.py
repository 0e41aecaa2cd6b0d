"""A run that lasts longer than it may ends as at a SIGTERM, and is told apart from one; what it made is not kept."""

from __future__ import annotations

import io
import os
import signal
import threading
from pathlib import Path

import pytest
from rich.console import Console

from harness import session
from harness.eks_settings import EksSettings
from harness.environment import Environment
from harness.errors import CommandTimeout, ExitCode, LifetimeOver
from harness.lifetime import Lifetime
from harness.settings import Keep, Settings, TargetKind
from harness.signals import interrupted_once
from harness.timeline import Timeline

CONSOLE = Console(file=io.StringIO())
# Hours.
AT_ONCE = 0.05 / 3600
LONG = 1.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        target=TargetKind.EKS,
        keep=Keep.ALWAYS,
        eks=EksSettings(cluster="mlops", max_lifetime=AT_ONCE),
        state_dir=tmp_path / "state",
        cache_dir=tmp_path / "cache",
        evidence_dir=tmp_path / "evidence",
    )


def wait(_environment: object = None) -> None:
    threading.Event().wait(20)


def test_what_the_main_thread_waits_for_is_ended_when_the_time_is_over() -> None:
    with interrupted_once(CONSOLE), Lifetime(AT_ONCE) as lifetime, pytest.raises(KeyboardInterrupt):
        wait()
    assert lifetime.over
    assert "the run has lasted the" in lifetime.error().message
    assert "--max-lifetime" in lifetime.error().next_step
    assert "(existing.max_lifetime)" in Lifetime(1, target="existing").error().message


@pytest.mark.parametrize("hours", [None, LONG])
def test_a_run_that_ends_before_is_left_alone(hours: float | None) -> None:
    with interrupted_once(CONSOLE), Lifetime(hours) as lifetime:
        lifetime.stop()
    assert not lifetime.over


def test_a_process_that_handles_no_signal_is_not_killed() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with Lifetime(AT_ONCE) as lifetime:
            threading.Event().wait(0.3)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not lifetime.over


def test_a_session_that_outlives_it_fails_with_that_and_keeps_nothing(settings: Settings) -> None:
    seen: list[Environment] = []

    def work(environment: Environment) -> None:
        seen.append(environment)
        wait()

    done = session._carry_out(settings, CONSOLE, work)
    assert isinstance(done.error, LifetimeOver)
    assert done.exit_code is ExitCode.ENVIRONMENT_FAILED
    assert "(eks.max_lifetime), and was ended" in session.told(done.error)
    assert seen[0].outlived
    seen[0].cluster = object()  # type: ignore[assignment]
    assert not seen[0].keeps_cluster
    assert list((settings.state_dir / "runs").iterdir()) == []


def test_a_signal_of_somebody_else_is_an_interrupt_as_ever(settings: Settings) -> None:
    def work(_environment: Environment) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wait()

    longer = settings.model_copy(update={"eks": EksSettings(cluster="mlops", max_lifetime=LONG)})
    done = session._carry_out(longer, CONSOLE, work)
    assert done.exit_code is ExitCode.INTERRUPTED


def test_what_had_failed_before_is_what_the_run_ended_with(settings: Settings) -> None:
    def work(_environment: Environment) -> None:
        try:
            wait()
        except KeyboardInterrupt:
            raise CommandTimeout(argv=["helm"], seconds=1, output="") from None

    done = session._carry_out(settings, CONSOLE, work)
    assert isinstance(done.error, CommandTimeout)


def test_on_a_cluster_of_this_machine_a_run_takes_as_long_as_it_takes(settings: Settings) -> None:
    kind = settings.model_copy(update={"target": TargetKind.KIND})
    environment = Environment(kind, timeline=Timeline())
    try:
        assert environment.max_lifetime is None
    finally:
        environment.down()
