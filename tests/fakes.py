"""What tests put in the place of the two seams that everything stands on: the clock, and the runner of programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.process import DEFAULT_TIMEOUT, Completed


@dataclass
class Clock:
    """A `harness.wait.Clock` that only moves when somebody sleeps on it.

    Attributes:
        seconds: What it shows.
        slept: Each sleep, in order.
    """

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@dataclass(frozen=True, slots=True)
class Call:
    """A program that a runner was to run; the attributes are those of `harness.process.Runner.run`."""

    argv: list[str]
    env: Mapping[str, str]
    cwd: Path | None
    stdin: str | bytes | None
    timeout: float
    check: bool
    on_line: Callable[[str], None] | None

    def ended(self, code: int, *, stdout: str = "", stderr: str = "") -> Completed:
        """It, ended with that exit code."""
        return Completed(tuple(self.argv), code, stdout, stderr, 0.1)


@dataclass(eq=False)
class FakeRunner:
    """A `harness.process.Runner` that notes what it is to run, and says what `answer` makes of it.

    Attributes:
        called: Each program that was run, in order; what was piped is not among them.
    """

    called: list[Call] = field(default_factory=list, init=False)

    @property
    def calls(self) -> list[list[str]]:
        """Program and arguments of each call."""
        return [call.argv for call in self.called]

    def answer(self, call: Call) -> str | Completed:
        """What the program says: its standard output if it ends well, else how it ended; it may also raise."""
        raise NotImplementedError

    def piped(self, source: Call, sink: list[str]) -> None:
        """The second program reads what the first one writes; time and environment are those of both."""
        raise AssertionError(f"nothing is piped here: {source.argv} | {sink}")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | bytes | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        next_step: str = "",
    ) -> Completed:
        call = Call([str(part) for part in argv], env or {}, cwd, stdin, timeout, check, on_line)
        self.called.append(call)
        said = self.answer(call)
        return said if isinstance(said, Completed) else call.ended(0, stdout=said)

    def pipe(
        self,
        source: Sequence[str | Path],
        sink: Sequence[str | Path],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        first = Call([str(part) for part in source], env or {}, None, None, timeout, check=True, on_line=None)
        self.piped(first, [str(part) for part in sink])
