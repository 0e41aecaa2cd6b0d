"""Phases while they run: a live display on a terminal, a few plain lines elsewhere.

The console is the caller's, so that a test runner that captures output keeps its hands on the streams: nothing here
touches `sys.stdout`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.redaction import Redactor
from harness.report.model import duration
from harness.timeline import Phase
from harness.wait import SYSTEM_CLOCK, Clock

_log = logging.getLogger(__name__)

# Seconds after which a running phase says again that it lives; the last one repeats. CI systems stop a job that is
# silent for about ten minutes.
HEARTBEATS: Final = (30.0, 60.0, 120.0)
_TICK = 5.0
_REFRESH_SECONDS = 0.25


class Usual(Protocol):
    """Who knows how long a phase usually takes (`harness.timeline.UsualTimes`)."""

    def of(self, name: str, /) -> float | None:
        """Seconds, or None if nobody knows."""


@dataclass(slots=True)
class _Running:
    phase: Phase
    thread: int
    began: float
    status: str = ""
    beats: int = 0
    next_beat: float = field(default=HEARTBEATS[0])


class LivePhases:
    """Shows phases as they begin, run and end; a listener of `Timeline`. Safe to use from several threads.

    ::

        with LivePhases(console, usual) as live:
            timeline.listen(live)
            with timeline.phase("kind cluster"):
                live.status("starting the control plane")

    Showing never breaks what is shown: when the stream goes away, the display falls silent.

    Args:
        console: Where to show it. A live display needs `console.is_terminal`.
        usual: How long phases usually take.
        redactor: Applied to everything shown.
        clock: Where time comes from.
    """

    def __init__(
        self, console: Console, usual: Usual, *, redactor: Redactor | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._console = console
        self._usual = usual
        self._redactor = redactor or Redactor()
        self._clock = clock
        self._lock = threading.Lock()
        self._running: list[_Running] = []
        self._over = threading.Event()
        self._heart: threading.Thread | None = None
        self._live: Live | None = None
        self._silent = False
        self._ascii = console.options.ascii_only
        self._spinner = Spinner("line" if self._ascii else "dots")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._display,
                # By a thread of ours: rich does not wait for the end of its own, which may then write to a terminal
                # that somebody else has already.
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._heart = threading.Thread(target=self._beat_on, args=(self._live,), name="heartbeat", daemon=True)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._heart is not None:
            self._heart.join()
        if self._live is not None:
            live, self._live = self._live, None
            try:
                live.stop()
            except (OSError, ValueError) as problem:
                self._fall_silent(problem)

    def __call__(self, phase: Phase) -> None:
        """Take note of a phase that begins or ends; called from the thread that runs it."""
        if phase.outcome == "running":
            with self._lock:
                self._running.append(_Running(phase, threading.get_ident(), self._clock.monotonic()))
            if self._live is None:
                self._say(f"... {phase.name}{self._usually(phase)}")
            else:
                self._redraw(self._live)
            return
        with self._lock:
            self._running = [
                other
                for other in self._running
                if (other.phase.name, other.phase.start, other.thread)
                != (phase.name, phase.start, threading.get_ident())
            ]
        mark, style = ("✓", "green") if phase.outcome == "done" else ("✗", "red")
        if self._live is None or self._ascii:
            mark = "ok " if phase.outcome == "done" else "FAILED"
        note = f": {phase.note}" if phase.note else ""
        self._say(f"{mark} {phase.name} {duration(phase.seconds or 0.0)}{note}", style=style)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Leave the terminal to somebody else while the block runs."""
        live = self._live
        if live is not None:
            live.stop()
        try:
            yield
        finally:
            if live is not None:
                live.start()

    def status(self, text: str) -> None:
        """What the phase of the calling thread does right now; the newest phase's when the thread has none."""
        here = threading.get_ident()
        with self._lock:
            mine = [running for running in self._running if running.thread == here] or self._running
            if mine:
                mine[-1].status = self._redactor.text(text).strip()

    def beat(self) -> None:
        """Say of each phase that has run for long that it still does; for streams that are not a terminal."""
        now = self._clock.monotonic()
        with self._lock:
            due = [running for running in self._running if now - running.began >= running.next_beat]
            lines = [f"... {self._line(running, now)}" for running in due]
            for running in due:
                running.beats += 1
                running.next_beat = now - running.began + HEARTBEATS[min(running.beats, len(HEARTBEATS) - 1)]
        for line in lines:
            self._say(line)

    def _beat_on(self, live: Live | None) -> None:
        while not self._over.wait(_TICK if live is None else _REFRESH_SECONDS):
            if live is None:
                self.beat()
            else:
                self._redraw(live)

    def _usually(self, phase: Phase) -> str:
        seconds = self._usual.of(phase.name)
        return "" if seconds is None else f" (usually {duration(seconds)})"

    def _line(self, running: _Running, now: float, *, columns: int | None = None) -> str:
        head = f"{running.phase.name} {duration(now - running.began)}{self._usually(running.phase)}"
        if not running.status:
            return head
        line = f"{head}: {running.status}"
        # The end of what it does is what it does now, as the task of a run behind those that are done.
        room = 0 if columns is None else columns - len(head) - len(": ...")
        return (
            f"{head}: ...{running.status[-room:]}"
            if columns is not None and 0 < room < len(line) - len(head) - 5
            else line
        )

    def _display(self) -> Group:
        return Group(*self._rows())

    def _rows(self) -> Iterator[Table]:
        now = self._clock.monotonic()
        with self._lock:
            # Beside them stand the spinner and a space.
            columns = self._console.width - 2
            lines = [self._line(running, now, columns=columns) for running in self._running]
        for line in lines:
            row = Table.grid(padding=(0, 1))
            row.add_row(self._spinner, Text(self._shown(line), overflow="ellipsis", no_wrap=True))
            yield row

    def _say(self, line: str, *, style: str = "") -> None:
        if self._silent:
            return
        try:
            if self._live is None:
                # Not through rich, which ends the process with code 1 (a red verdict) when a pipe's reader has gone.
                self._console.file.write(self._shown(line) + "\n")
                self._console.file.flush()
            else:
                self._console.print(Text(self._shown(line), style=style), soft_wrap=True)
        except (OSError, ValueError) as problem:
            self._fall_silent(problem)

    def _redraw(self, live: Live) -> None:
        if self._silent:
            return
        try:
            live.refresh()
        except (OSError, ValueError) as problem:
            self._fall_silent(problem)

    def _shown(self, line: str) -> str:
        text = self._redactor.text(line)
        return text.encode("ascii", "replace").decode() if self._ascii else text

    def _fall_silent(self, problem: Exception) -> None:
        """The reader has gone (a closed pipe or file); the run goes on."""
        self._silent = True
        _log.debug("phases are no longer shown: %s", problem)
