"""The error tree.

::

    HarnessError                what every error here is: a message, a next step, evidence, an exit code
    ├── UsageError              the user's input is wrong; nothing was started               exit 4
    │   └── ValuesError         a Helm values file has keys or types that the chart does not take
    ├── EnvironmentFailed       the environment could not be brought up or kept up           exit 3
    │   ├── CommandFailed       a program ended with an unexpected exit code
    │   ├── CommandTimeout      a program did not end in time
    │   ├── CommandCancelled    a program was stopped, or not started, because its work was given up
    │   ├── WaitTimeout         a state was not reached in time; carries the last state seen
    │   ├── WaitFailed          a state was reached from which success is impossible
    │   │   ├── DagNotReady     the DAG does not import, or no file defines it: the DAG's own doing
    │   │   └── WaitAbandoned   something else failed first, so nobody waits for this any more
    │   ├── SupplyError         an image, tool, chart or package could not be had
    │   ├── EngineError         no container engine answers and none could be started
    │   ├── GuardError          this is not the cluster or account that was named
    │   ├── LifetimeOver        the run has lasted longer than it may
    │   └── CleanupFailed       something of ours could not be removed
    ├── NothingProven           the suite ended without a verdict, for no reason above      exit 5
    └── Interrupted             a signal ended the run                                      exit 2

A red verdict is not an error: it is a result, with exit code 1. The codes follow pytest's own meaning of
them (https://docs.pytest.org/en/stable/reference/exit-codes.html), so that one table serves both front doors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to its caller."""

    GREEN = 0
    VERDICT_RED = 1
    INTERRUPTED = 2
    ENVIRONMENT_FAILED = 3
    USAGE = 4
    NOTHING_PROVEN = 5


class HarnessError(Exception):
    """An error for the reader.

    Args:
        message: What happened and what was expected instead, in one sentence.
        next_step: What the reader should do now. Empty only where nothing can be done.
        evidence: Further facts by name (file paths, last state, output), shown below the message.
    """

    exit_code: ExitCode = ExitCode.ENVIRONMENT_FAILED

    def __init__(self, message: str, *, next_step: str = "", evidence: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.evidence: dict[str, str] = dict(evidence or {})

    def __str__(self) -> str:
        lines = [self.message]
        for name, text in self.evidence.items():
            body = text.strip()
            lines.append(f"  {name}: {body}" if "\n" not in body else f"  {name}:\n{_indent(body)}")
        if self.next_step:
            lines.append(f"  next: {self.next_step}")
        return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


class UsageError(HarnessError):
    """The input is wrong; nothing was started."""

    exit_code = ExitCode.USAGE


class ValuesError(UsageError):
    """A values file has keys or types that the chart does not take."""


class EnvironmentFailed(HarnessError):
    """The environment could not be brought up or kept up; says nothing about the DAG."""


class CommandFailed(EnvironmentFailed):
    """A program ended with an unexpected exit code.

    Attributes:
        argv: The command, already redacted.
        code: Its exit code; negative for a signal, as in `subprocess`.
        stdout: What it printed, redacted.
        stderr: What it complained, redacted.
    """

    def __init__(self, *, argv: Sequence[str], code: int, stdout: str, stderr: str, next_step: str = "") -> None:
        evidence = {"command": " ".join(argv)}
        tail = _tail(stderr) or _tail(stdout)
        if tail:
            evidence["it said"] = tail
        super().__init__(f"{argv[0]} ended with exit code {code}", next_step=next_step, evidence=evidence)
        self.argv = tuple(argv)
        self.code = code
        self.stdout = stdout
        self.stderr = stderr


class CommandTimeout(EnvironmentFailed):
    """A program did not end in time and was stopped with all its children."""

    def __init__(self, *, argv: Sequence[str], seconds: float, output: str) -> None:
        evidence = {"command": " ".join(argv)}
        if _tail(output):
            evidence["its last words"] = _tail(output)
        super().__init__(f"{argv[0]} did not end within {seconds:.0f} s and was stopped", evidence=evidence)
        self.argv = tuple(argv)
        self.seconds = seconds


class CommandCancelled(EnvironmentFailed):
    """A program was stopped, or not started: something beside it has failed, or an interrupt. Never the first cause."""

    def __init__(self, *, argv: Sequence[str]) -> None:
        super().__init__(
            f"{argv[0]} was stopped because the work it belonged to was given up", evidence={"command": " ".join(argv)}
        )
        self.argv = tuple(argv)


class WaitTimeout(EnvironmentFailed):
    """A state was not reached in time.

    Attributes:
        last_state: The last state that the probe described.
    """

    def __init__(self, *, what: str, seconds: float, last_state: str) -> None:
        super().__init__(f"waited {seconds:.0f} s for {what}", evidence={"last state": last_state})
        self.what = what
        self.last_state = last_state


class WaitFailed(EnvironmentFailed):
    """A state was reached from which success is impossible, so waiting on would be pointless."""

    def __init__(self, *, what: str, reason: str, next_step: str = "") -> None:
        super().__init__(f"gave up waiting for {what}: {reason}", next_step=next_step)
        self.what = what
        self.reason = reason


class DagNotReady(WaitFailed):
    """The DAG's own file keeps it from running: it does not import, or defines other DAGs.

    No run took place, so this is no verdict, and has the environment's exit code; but the environment is well.
    """


class WaitAbandoned(WaitFailed):
    """Nobody needs what was waited for any more, because something beside it has failed: never the first cause."""


class SupplyError(EnvironmentFailed):
    """An image, tool, chart or package could not be had."""


class EngineError(EnvironmentFailed):
    """No container engine answers and none could be started."""


class GuardError(EnvironmentFailed):
    """This is not the cluster or account that was named."""


class LifetimeOver(EnvironmentFailed):
    """The run has lasted longer than it may, and was ended; what it had made was removed, whatever was to be kept."""


class CleanupFailed(EnvironmentFailed):
    """Something of ours could not be removed; `harness sweep` tries again."""


class NothingProven(HarnessError):
    """The suite ended without a verdict."""

    exit_code = ExitCode.NOTHING_PROVEN


class Interrupted(HarnessError):
    """A signal ended the run; what it had created was removed as far as the keep policy allows."""

    exit_code = ExitCode.INTERRUPTED


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
