"""Phases as they are shown while they run."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from harness.redaction import MASK, Redactor
from harness.report.live import LivePhases
from harness.timeline import Timeline
from tests.fakes import Clock


class Usual:
    """Knows how long one phase takes."""

    def of(self, name: str, /) -> float | None:
        return 16.2 if name == "kind cluster" else None


class Utf8(io.StringIO):
    encoding = "utf-8"


class Shown:
    """A console with the phases of a fake time on it."""

    def __init__(self, *, terminal: bool, redactor: Redactor | None = None) -> None:
        self.clock = Clock()
        self.stream = Utf8()
        self.console = Console(file=self.stream, force_terminal=terminal, width=100, color_system=None)
        self.timeline = Timeline(clock=self.clock)
        self.live = LivePhases(self.console, Usual(), redactor=redactor, clock=self.clock)
        self.timeline.listen(self.live)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.stream.getvalue().splitlines()]


def test_a_stream_gets_one_line_at_the_begin_and_one_at_the_end() -> None:
    shown = Shown(terminal=False)
    with shown.live, shown.timeline.phase("kind cluster") as note:
        assert shown.lines == ["... kind cluster (usually 16 s)"]
        shown.clock.sleep(12)
        shown.live.status("starting the control plane")
        note("4 images loaded")
    assert shown.lines[1:] == ["ok  kind cluster 12 s: 4 images loaded"]


def test_a_failed_phase_says_so() -> None:
    shown = Shown(terminal=False)

    def run() -> None:
        with shown.live, shown.timeline.phase("helm"):
            shown.clock.sleep(75)
            _fail()

    with pytest.raises(RuntimeError):
        run()
    assert shown.lines[-1] == "FAILED helm 1 min 15 s"


def _fail() -> None:
    raise RuntimeError


def test_a_long_phase_on_a_stream_shows_signs_of_life_with_its_status_ever_more_seldom() -> None:
    shown = Shown(terminal=False)
    with shown.timeline.phase("kind cluster"):
        for second in range(301):
            if second == 100:
                shown.live.status("loading images")
            shown.live.beat()
            shown.clock.sleep(1)
    assert shown.lines[1:-1] == [
        "... kind cluster 30 s (usually 16 s)",
        "... kind cluster 1 min 30 s (usually 16 s)",
        "... kind cluster 3 min 30 s (usually 16 s): loading images",
    ]


def test_a_short_phase_shows_no_sign_of_life() -> None:
    shown = Shown(terminal=False)
    with shown.timeline.phase("s3"):
        shown.clock.sleep(29)
        shown.live.beat()
    assert len(shown.lines) == 2


def test_each_line_on_a_stream_is_flushed_at_once() -> None:
    flushed: list[str] = []

    class Stream(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    stream = Stream()
    live = LivePhases(Console(file=stream, width=100), Usual())
    timeline = Timeline()
    timeline.listen(live)
    with timeline.phase("s3"):
        assert "... s3" in flushed[-1]


def test_a_terminal_shows_what_runs_with_elapsed_and_usual_time() -> None:
    shown = Shown(terminal=True)
    with shown.live, shown.timeline.phase("kind cluster"):
        shown.clock.sleep(12)
        shown.live.status("starting the control plane")
        with shown.timeline.phase("git"):  # makes the display draw itself anew
            pass
    assert "kind cluster 12 s (usually 16 s): starting the control plane" in shown.stream.getvalue()


def test_a_terminal_keeps_a_ticked_line_of_what_is_done_and_a_crossed_one_of_what_failed() -> None:
    shown = Shown(terminal=True)

    def run() -> None:
        with shown.live:
            with shown.timeline.phase("git") as note:
                shown.clock.sleep(3)
                note("reused")
            with shown.timeline.phase("helm"):
                _fail()

    with pytest.raises(RuntimeError):
        run()
    assert "✓ git 3 s: reused" in shown.stream.getvalue()
    assert "✗ helm 0.0 s" in shown.stream.getvalue()


def test_a_status_belongs_to_the_phase_of_its_thread() -> None:
    shown = Shown(terminal=False)
    ready, done = threading.Barrier(3), threading.Event()

    def work(name: str) -> None:
        with shown.timeline.phase(name):
            shown.live.status(f"status of {name}")
            ready.wait(10)
            done.wait(10)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("git", "s3")]
    for thread in threads:
        thread.start()
    ready.wait(10)
    shown.clock.sleep(40)
    shown.live.beat()
    done.set()
    for thread in threads:
        thread.join()
    assert {"... git 40 s: status of git", "... s3 40 s: status of s3"} <= set(shown.lines)


def test_the_end_of_one_of_two_phases_of_the_same_name_leaves_the_other() -> None:
    shown = Shown(terminal=False)
    with shown.timeline.phase("run"):
        shown.clock.sleep(1)
        with shown.timeline.phase("run"):
            shown.clock.sleep(1)
        shown.clock.sleep(40)
        shown.live.beat()
    assert shown.lines[2:] == ["ok  run 1 s", "... run 42 s", "ok  run 42 s"]


def test_a_status_without_any_phase_is_no_error() -> None:
    Shown(terminal=False).live.status("nothing runs")


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown_holds_no_secret_and_no_markup(terminal: bool) -> None:  # noqa: FBT001 - a pytest parameter
    redactor = Redactor()
    redactor.learn("correct-horse-battery")
    shown = Shown(terminal=terminal, redactor=redactor)
    with shown.live, shown.timeline.phase("clone [bold]") as note:
        note("with correct-horse-battery")
    assert "correct-horse" not in shown.stream.getvalue()
    assert f"clone [bold] 0.0 s: with {MASK}" in shown.stream.getvalue()


def test_a_stream_that_goes_away_does_not_break_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    live = LivePhases(Console(file=Gone(), width=100), Usual())
    timeline = Timeline()
    timeline.listen(live)
    with live, timeline.phase("s3"):
        pass
    assert timeline.phases[0].outcome == "done"


def test_a_stream_that_takes_only_ascii_gets_only_ascii() -> None:
    raw = io.BytesIO()
    live = LivePhases(Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=100), Usual())
    timeline = Timeline()
    timeline.listen(live)
    with live, timeline.phase("größe"):
        pass
    assert b"ok  gr??e" in raw.getvalue()


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    for terminal in (True, False):
        with Shown(terminal=terminal).live:
            pass
    assert threading.active_count() == before


def test_a_phase_whose_work_failed_without_an_error_is_marked_as_failed() -> None:
    shown = Shown(terminal=False)
    with shown.live, shown.timeline.phase("DAG run") as note:
        shown.clock.sleep(54)
        note("failed", failed=True)
    assert shown.lines[-1] == "FAILED DAG run 54 s: failed"


def test_of_a_status_that_is_too_long_for_a_terminal_the_end_is_shown() -> None:
    shown = Shown(terminal=True)
    with shown.live, shown.timeline.phase("DAG run"):
        shown.clock.sleep(12)
        shown.live.status(f"run {'x' * 90} of DAG d: running: pull_data success, modify_data running")
        with shown.timeline.phase("git"):  # makes the display draw itself anew
            pass
    drawn = shown.stream.getvalue()
    assert "DAG run 12 s: ...xxx" in drawn
    assert "pull_data success, modify_data running" in drawn
