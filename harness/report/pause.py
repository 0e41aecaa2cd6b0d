"""A stop for the reader: what they may look at, then Enter.

It speaks with the terminal itself (`/dev/tty`), so it works whatever standard input and output are, and under a test
runner that has captured both.
"""

from __future__ import annotations

import os
import signal
import termios
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Final

from harness.errors import UsageError
from harness.redaction import Redactor
from harness.report.model import KeptCluster, Report

_TERMINAL: Final = Path("/dev/tty")
# What ends the waiting as Enter does; nothing of it breaks off what comes after.
_ENOUGH: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Enough(BaseException):
    """A signal came while the reader was waited for."""


def check() -> None:
    """Make sure that a reader can be waited for.

    Raises:
        UsageError: There is no terminal, or this process is not in its foreground.
    """
    try:
        with _TERMINAL.open("r+b", buffering=0) as terminal:
            ours = _foreground(terminal.fileno())
    except OSError as error:
        raise UsageError(
            f"--pause-on-failure waits for Enter, and this run has no terminal ({error.strerror})",
            next_step="leave it out (in CI, say), or keep the cluster with --keep on-failure",
        ) from None
    if not ours:
        raise UsageError(
            "--pause-on-failure waits for Enter, and this run is in the background of its terminal",
            next_step="run it in the foreground, or keep the cluster with --keep on-failure",
        )


def wait_for_enter(lines: Iterable[str], *, clock: Callable[[], float] = time.monotonic) -> float:
    """Show lines on the terminal and wait for Enter, the end of input, Ctrl-C, or a signal that asks for the end.

    Never raises: when the terminal is gone, nobody is there to wait for.

    Returns:
        Seconds that it took.
    """
    began = clock()
    waiting = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _ENOUGH} if waiting else {}

    def enough(number: int, _frame: FrameType | None) -> None:
        nonlocal waiting
        if number == signal.SIGHUP:
            # The terminal is gone; what hangs on it may be told so again, and must still clean up.
            before[signal.SIGHUP] = signal.SIG_IGN
        if waiting:
            # Once: one that comes a moment later must not break off what follows.
            waiting = False
            raise _Enough

    # No context manager: a signal may come between any two lines, also between those of its end.
    try:
        for number in before:
            signal.signal(number, enough)
        try:
            _ask(lines)
        finally:
            waiting = False
    except (OSError, termios.error, _Enough):
        pass  # whatever it was, the next thing is the same: go on
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return clock() - began


def _ask(lines: Iterable[str]) -> None:
    """Show lines, and return when the reader has answered.

    Raises:
        OSError: The terminal is gone.
        termios.error: Likewise.
    """
    with _TERMINAL.open("r+b", buffering=0) as terminal:
        terminal.write("".join(f"{line}\r\n" for line in lines).encode())
        if not _foreground(terminal.fileno()):
            terminal.write(b"(this run is in the background, so it does not wait)\r\n")
            return
        # What was typed before the question is no answer to it.
        termios.tcflush(terminal, termios.TCIFLUSH)
        terminal.readline()


def told(report: Report, there: KeptCluster, redactor: Redactor) -> list[str]:
    """What the reader is told while a run that failed waits for them, the login too: it is a terminal."""
    found = [*report.error.splitlines(), *report.untold]
    if report.verdict is not None and not report.verdict.green:
        failed = [check for check in report.verdict.checks if not check.passed and check.evaluated]
        found += [f"{check.id}: {check.explanation or check.title}" for check in failed]
    rows = [("cluster", there.name), ("Airflow", there.ui or there.no_ui)]
    login = [("login", f"{there.username} / {there.password.get_secret_value()}")] if there.ui else []
    rest = [
        ("enter", there.enter),
        ("logs", f"harness logs airflow --cluster {there.name}"),
        ("evidence", str(report.evidence)),
    ]
    shown = [f"{name:<9}{redactor.text(value)}" for name, value in rows]
    shown += [f"{name:<9}{value}" for name, value in login]
    shown += [f"{name:<9}{redactor.text(value)}" for name, value in rest]
    head = f"{report.outcome}: paused, and nothing is taken down yet"
    return ["", head, *map(redactor.text, found), "", *shown, "", "Enter takes everything down; so does Ctrl-C."]


def _foreground(descriptor: int) -> bool:
    return os.tcgetpgrp(descriptor) == os.getpgrp()
