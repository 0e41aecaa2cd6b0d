"""Several runs in a row, to find what fails now and then and to measure what a run costs."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from harness.errors import ExitCode, UsageError
from harness.report.protocols import VerdictResult

Judged = Callable[[VerdictResult], object]
_TWO = 2


@dataclass(frozen=True, slots=True)
class Lap:
    """One run of a series.

    Attributes:
        code: How it ended.
        seconds: Its wall-clock time, clean-up and report included.
        checks: How each check of its verdict ended, by its id; empty without a verdict.
    """

    code: ExitCode
    seconds: float
    checks: Mapping[str, str] = field(default_factory=dict)


def repeat(
    times: int,
    run: Callable[[Judged], ExitCode],
    console: Console,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> ExitCode:
    """Carry out a run several times, whatever each says, and report them together.

    An interrupt ends the series, and so does a usage error, which would only come again.

    A series never turns a failure into a success: its exit code is that of the first red run, or else of the first that
    was not green. One that says nothing of the DAG hides none that does.

    Args:
        times: How many runs.
        run: One whole run, from its first phase to its report; tells its verdict.
        console: Where the series is reported.
        clock: Seconds, monotonic.

    Raises:
        UsageError: Fewer than one run is asked for.
    """
    if times < 1:
        raise UsageError(f"--repeat {times} asks for no run", next_step="use --repeat 1 or more")
    laps: list[Lap] = []
    for number in range(1, times + 1):
        if times > 1:
            console.rule(f"run {number} of {times}")
        started = clock()
        verdicts: list[VerdictResult] = []
        code = run(verdicts.append)
        checks = {check.id: check.outcome for verdict in verdicts for check in verdict.checks}
        laps.append(Lap(code, clock() - started, checks))
        if code in {ExitCode.INTERRUPTED, ExitCode.USAGE}:
            break
    if times > 1:
        console.rule("series")
        for line in summary(laps, times):
            console.print(line, highlight=False, markup=False)
    codes = [lap.code for lap in laps if lap.code is not ExitCode.GREEN]
    return ExitCode.VERDICT_RED if ExitCode.VERDICT_RED in codes else next(iter(codes), ExitCode.GREEN)


def summary(laps: Sequence[Lap], times: int) -> list[str]:
    """What the reader is told of a series.

    Each run; how they ended; how the green ones' seconds spread; and whether every check ended alike in all of them.
    """
    count = Counter(lap.code for lap in laps)
    ended = ", ".join(f"{number} {_word(code)}" for code, number in sorted(count.items()))
    lines = [f"{number:>3}  {lap.seconds:6.1f} s  {_word(lap.code)}" for number, lap in enumerate(laps, 1)]
    lines.append(f"{len(laps)} of {times} runs: {ended}")
    # What an interrupt or an error cut short, or a failure drew out, says nothing of what a run costs.
    green = [lap.seconds for lap in laps if lap.code is ExitCode.GREEN]
    if green:
        spread = f"min {min(green):.1f} s, median {statistics.median(green):.1f} s, max {max(green):.1f} s"
        lines.append(spread + ("" if len(green) == len(laps) else f" (of the {len(green)} green)"))
    return lines + _agreement(laps)


def _agreement(laps: Sequence[Lap]) -> list[str]:
    """Whether the same input had the same verdict, check by check; nothing where there are no two verdicts."""
    judged = [(number, lap.checks) for number, lap in enumerate(laps, 1) if lap.checks]
    if len(judged) < _TWO:
        return []
    differing = []
    for check in dict.fromkeys(check for _, checks in judged for check in checks):
        runs: dict[str, list[str]] = {}
        for number, checks in judged:
            runs.setdefault(checks.get(check, "missing"), []).append(str(number))
        if len(runs) > 1:
            ended = "; ".join(f"{outcome} in {', '.join(numbers)}" for outcome, numbers in runs.items())
            differing.append(f"{check} did not end alike: {ended}")
    return differing or [f"{len(judged)} verdicts, all {len(judged[0][1])} checks of each ended alike"]


def _word(code: ExitCode) -> str:
    return code.name.lower().replace("_", " ")
