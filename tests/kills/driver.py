"""Drives a real run from outside: follows the phases that it prints, and signals it at the beginning of one.

The seam is what a run says on a stream that is no terminal (`harness.report.live`): `... NAME` as a phase begins,
perhaps with how long it usually takes. A phase that has run for long says so in the same form with its time, and is not
taken for one that begins.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# In a suite pytest may have begun the line with the file of the test that is under way.
_BEGINS = re.compile(r"(?:tests/\S+\.py )?\.\.\. (?P<name>.+?)(?: \(usually [^)]*\))?")


class NotReached(Exception):
    """The run ended, or time did, before the phase began.

    Attributes:
        ended: Whether the run did.
    """

    def __init__(self, what: str, *, ended: bool) -> None:
        super().__init__(what)
        self.ended = ended


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        code: Its exit code; negative for a signal; None if it had to be killed because it did not end.
        seconds: From the signal to its end.
        lines: All that it said.
    """

    code: int | None
    seconds: float
    lines: tuple[str, ...]


def verb(*words: str, cwd: Path, env: Mapping[str, str], timeout: float, code: int = 0) -> str:
    """Run a verb of the harness to its end; what it said. Fails where it ends with another exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, f"harness {' '.join(words)} ended with {done.returncode}:\n{said}"
    return said


def beginning(line: str) -> str | None:
    """The name of the phase that a line says begins, or None."""
    found = _BEGINS.fullmatch(line.rstrip())
    return found["name"] if found else None


class Driven:
    """A run in a session of its own, as a terminal's foreground job is.

    Args:
        command: Program and arguments.
        cwd: Where it runs.
        env: Its whole environment.
        log: Gets all that it says.
    """

    def __init__(self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path) -> None:
        self._process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._log = log
        self._lines: list[str] = []
        self._over = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._signalled = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process, and its process group."""
        return self._process.pid

    def wait_for(self, *phases: str, timeout: float) -> str:
        """Wait until one of some phases begins, and say which.

        Raises:
            NotReached: It did not.
        """
        with self._news:
            if not self._news.wait_for(lambda: self._begun(phases) or self._over, timeout):
                raise NotReached(
                    f"{' or '.join(phases)} did not begin within {timeout:.0f} s:\n{self._tail()}", ended=False
                )
            if (begun := self._begun(phases)) is None:
                raise NotReached(f"the run ended before {' or '.join(phases)} began:\n{self._tail()}", ended=True)
            return begun

    def signal(self, number: signal.Signals, *, group: bool) -> None:
        """Send it a signal; to its whole process group, as a terminal's Ctrl-C does, if so wished."""
        self._signalled = time.monotonic()
        (os.killpg if group else os.kill)(self.pid, number)

    def end(self, *, timeout: float) -> Ended:
        """Wait for its end; it is killed with its group if it does not come."""
        try:
            code: int | None = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            code = None
        seconds = time.monotonic() - self._signalled
        # What it has started may still hold its stream, as after SIGKILL.
        self._reader.join(2)
        with self._news:
            return Ended(code, seconds, tuple(self._lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _begun(self, phases: Sequence[str]) -> str | None:
        return next((name for line in self._lines if (name := beginning(line)) in phases), None)

    def _tail(self) -> str:
        return "\n".join(self._lines[-15:])

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with self._log.open("w", encoding="utf-8") as out, stream:
            for line in stream:
                out.write(line)
                out.flush()
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()
