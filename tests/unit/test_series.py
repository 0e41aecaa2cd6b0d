"""Several runs in a row are told together, and a failure among them is never lost."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.errors import ExitCode, UsageError
from harness.series import Judged, Lap, repeat, summary


def _series(*codes: ExitCode, times: int | None = None) -> tuple[ExitCode, str, int]:
    waiting: Iterator[ExitCode] = iter(codes)
    ticks = iter(range(0, 1000, 10))
    output = io.StringIO()
    console = Console(file=output, width=100)
    done: list[ExitCode] = []

    def run(_judged: Judged) -> ExitCode:
        done.append(next(waiting))
        return done[-1]

    code = repeat(times or len(codes), run, console, clock=lambda: float(next(ticks)))
    return code, output.getvalue(), len(done)


def test_a_series_of_green_runs_is_green_and_shows_its_spread() -> None:
    code, text, _ = _series(ExitCode.GREEN, ExitCode.GREEN, ExitCode.GREEN)
    assert code is ExitCode.GREEN
    assert "3 of 3 runs: 3 green" in text
    assert "min 10.0 s, median 10.0 s, max 10.0 s" in text


def test_one_red_run_among_green_ones_makes_the_series_red_and_the_others_still_run() -> None:
    code, text, done = _series(ExitCode.GREEN, ExitCode.VERDICT_RED, ExitCode.GREEN)
    assert code is ExitCode.VERDICT_RED
    assert done == 3
    assert "3 of 3 runs: 2 green, 1 verdict red" in text


@pytest.mark.parametrize("code", [ExitCode.INTERRUPTED, ExitCode.USAGE])
def test_what_would_only_come_again_ends_the_series(code: ExitCode) -> None:
    ended, text, done = _series(ExitCode.GREEN, code, ExitCode.GREEN)
    assert ended is code
    assert done == 2
    assert "2 of 3 runs: 1 green, 1 " in text


@pytest.mark.parametrize("other", [ExitCode.ENVIRONMENT_FAILED, ExitCode.NOTHING_PROVEN, ExitCode.INTERRUPTED])
def test_a_red_run_is_not_hidden_by_one_that_says_nothing_of_the_dag(other: ExitCode) -> None:
    assert _series(ExitCode.VERDICT_RED, other)[0] is ExitCode.VERDICT_RED
    if other is not ExitCode.INTERRUPTED:  # that one ends the series
        assert _series(other, ExitCode.VERDICT_RED)[0] is ExitCode.VERDICT_RED


def test_a_single_run_says_nothing_of_a_series() -> None:
    code, text, _ = _series(ExitCode.ENVIRONMENT_FAILED)
    assert code is ExitCode.ENVIRONMENT_FAILED
    assert text == ""


def test_the_median_of_uneven_times_is_no_mean() -> None:
    laps = [Lap(ExitCode.GREEN, seconds) for seconds in (40.0, 44.0, 120.0)]
    assert summary(laps, 3)[-1] == "min 40.0 s, median 44.0 s, max 120.0 s"


@pytest.mark.parametrize("times", [0, -1])
def test_a_series_of_no_runs_is_a_usage_error(times: int) -> None:
    with pytest.raises(UsageError, match="asks for no run"):
        repeat(times, lambda _judged: ExitCode.GREEN, Console(file=io.StringIO()))


def test_the_spread_is_that_of_the_green_runs() -> None:
    laps = [Lap(ExitCode.GREEN, 40.0), Lap(ExitCode.GREEN, 44.0), Lap(ExitCode.INTERRUPTED, 3.0)]
    assert summary(laps, 5)[-1] == "min 40.0 s, median 42.0 s, max 44.0 s (of the 2 green)"
    assert summary(laps[2:], 5)[-1] == "1 of 5 runs: 1 interrupted"


def _lap(**checks: str) -> Lap:
    return Lap(ExitCode.GREEN, 40.0, checks)


def test_verdicts_that_agree_check_by_check_are_told_in_one_line() -> None:
    laps = [_lap(a="passed", b="failed"), Lap(ExitCode.INTERRUPTED, 3.0), _lap(a="passed", b="failed")]
    assert summary(laps, 3)[-1] == "2 verdicts, all 2 checks of each ended alike"


def test_a_check_that_ended_otherwise_in_one_run_is_named_with_the_runs() -> None:
    laps = [_lap(a="passed", b="passed"), _lap(a="passed", b="failed"), _lap(a="passed", b="passed"), _lap(a="passed")]
    told = [line for line in summary(laps, 4) if "alike" in line]
    assert told == ["b did not end alike: passed in 1, 3; failed in 2; missing in 4"]


def test_the_checks_of_a_lap_are_those_of_its_verdict() -> None:
    verdict = SimpleNamespace(
        checks=[
            SimpleNamespace(id="commit.one", outcome="passed"),
            SimpleNamespace(id="object.present", outcome="failed"),
            SimpleNamespace(id="object.bytes", outcome="not evaluated"),
        ]
    )
    outcomes = iter(["failed", "passed"])
    output = io.StringIO()

    def run(judged: Judged) -> ExitCode:
        verdict.checks[1].outcome = next(outcomes)
        judged(verdict)
        return ExitCode.VERDICT_RED

    repeat(2, run, Console(file=output, width=200))
    assert "object.present did not end alike: failed in 1; passed in 2" in output.getvalue()
    assert "object.bytes" not in output.getvalue()
