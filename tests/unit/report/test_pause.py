"""A run that failed waits for its reader at a real terminal, and goes on whatever the reader does."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from rich.console import Console

from harness import session
from harness.environment import Environment
from harness.errors import EnvironmentFailed, ExitCode
from harness.redaction import Redactor
from harness.report import pause
from harness.report.live import LivePhases
from harness.report.model import KeptCluster, Report
from harness.settings import Keep, Settings

PROGRAM = """
import fcntl, sys, termios
if "terminal" in sys.argv:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from harness.errors import UsageError
from harness.report import pause
try:
    pause.check()
except UsageError as error:
    print("refused:", error.message, flush=True)
    sys.exit(int(error.exit_code))
import time
if "typed" in sys.argv:
    print("type", flush=True)
    sys.stdin.readline()
    time.sleep(0.3)
seconds = pause.wait_for_enter(["look at me"])
out = open(sys.argv[1], "w")
print("went on", seconds >= 0, file=out, flush=True)
import os, signal
if "again" in sys.argv:
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("interruptible again", file=out, flush=True)
"""


class Terminal:
    """A process with a terminal of its own."""

    def __init__(self, out: Path, *words: str) -> None:
        self.out = out
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(out), "terminal", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def until(self, text: bytes) -> None:
        end = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            self.seen += os.read(self.master, 4096)

    def type(self, raw: bytes) -> None:
        os.write(self.master, raw)

    def waits(self) -> bool:
        try:
            self.process.wait(0.7)
        except subprocess.TimeoutExpired:
            return True
        return False

    def went_on(self) -> str:
        assert self.process.wait(30) == 0
        return self.out.read_text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for one in made:
        one.close()


def started(terminals: list[Terminal], tmp_path: Path, *words: str) -> Terminal:
    terminals.append(Terminal(tmp_path / "out", *words))
    return terminals[-1]


@pytest.mark.parametrize(
    "typed", [b"\n", b"\x03", b"\x04", b"some words\n"], ids=["Enter", "Ctrl-C", "Ctrl-D", "words"]
)
def test_enter_and_ctrl_c_go_on_and_nothing_else_does(typed: bytes, terminals: list[Terminal], tmp_path: Path) -> None:
    terminal = started(terminals, tmp_path)
    terminal.until(b"look at me")
    assert terminal.waits()
    terminal.type(typed)
    assert terminal.went_on() == "went on True\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_waiting_and_not_what_comes_after(
    number: signal.Signals, terminals: list[Terminal], tmp_path: Path
) -> None:
    terminal = started(terminals, tmp_path, "again")
    terminal.until(b"look at me")
    terminal.process.send_signal(number)
    assert terminal.went_on() == "went on True\ninterruptible again\n"


def test_a_terminal_that_is_closed_does_not_end_the_process(terminals: list[Terminal], tmp_path: Path) -> None:
    terminal = started(terminals, tmp_path)
    terminal.until(b"look at me")
    os.close(terminal.master)
    assert terminal.went_on() == "went on True\n"


def test_what_was_typed_before_the_question_is_no_answer(terminals: list[Terminal], tmp_path: Path) -> None:
    terminal = started(terminals, tmp_path, "typed")
    terminal.until(b"type")
    terminal.type(b"\n\n\n")
    terminal.until(b"look at me")
    assert terminal.waits()
    terminal.type(b"\n")
    assert terminal.went_on() == "went on True\n"


def test_without_a_terminal_it_is_a_usage_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "out")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "this run has no terminal" in done.stdout) == (4, True), done.stdout + done.stderr


def test_the_live_display_leaves_the_terminal_alone_meanwhile() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80)
    with LivePhases(console, SimpleNamespace(of=lambda _name: None)) as live, live.suspended():
        before = output.getvalue()
        assert before.count("\x1b[?25h") == before.count("\x1b[?25l"), "the cursor is shown again"
        time.sleep(0.6)
        assert output.getvalue() == before
    assert live is not None


# ---- when a session waits


class Site:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.did: list[str] = []
        self.lines: list[str] = []
        monkeypatch.setattr(Environment, "down", lambda _self: self.did.append("down"))
        monkeypatch.setattr(session, "explain", self._explain)
        monkeypatch.setattr(pause, "wait_for_enter", self._wait)

    def _explain(self, _environment: Environment, _error: object) -> tuple[str, ...]:
        self.did.append("explain")
        return ("IMAGE_PULL: no such image | pod a | name another",)

    def _wait(self, lines: list[str]) -> float:
        self.did.append("wait")
        self.lines = lines
        return 600.0

    def run(
        self, *, fails: BaseException | None = None, cluster: bool = True, asked: bool = True, keep: Keep = Keep.NEVER
    ) -> session.Session:
        settings = Settings(
            state_dir=self.folder / "state",
            cache_dir=self.folder / "cache",
            evidence_dir=self.folder / "evidence",
            pause_on_failure=asked,
            keep=keep,
            cluster_name="h-1",
        )

        def work(environment: Environment) -> None:
            made: Any = SimpleNamespace(name="h-1")
            environment.cluster = made if cluster else None
            if fails is not None:
                raise fails
            green: Any = SimpleNamespace(green=True, red_expected=False, must_fail="", checks=())
            environment.verdicts.append(green)

        return session._carry_out(settings, Console(file=io.StringIO()), work)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_a_run_that_failed_waits_after_all_is_collected_and_before_anything_goes(site: Site) -> None:
    done = site.run(fails=EnvironmentFailed("it broke"))
    assert site.did == ["explain", "wait", "down"]
    assert done.exit_code is ExitCode.ENVIRONMENT_FAILED, "however the waiting ended"
    text = "\n".join(site.lines)
    for part in ("ENVIRONMENT FAILED", "it broke", "IMAGE_PULL: no such image", "harness shell --cluster h-1"):
        assert part in text


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"fails": EnvironmentFailed("x"), "asked": False},
        {"fails": EnvironmentFailed("x"), "cluster": False},
        {"fails": EnvironmentFailed("x"), "keep": Keep.ON_FAILURE},
        {"fails": EnvironmentFailed("x"), "keep": Keep.ALWAYS},
        {"fails": KeyboardInterrupt()},
    ],
    ids=["green", "not asked for", "no cluster", "kept on failure", "kept always", "interrupted"],
)
def test_nobody_is_waited_for_where_there_is_nothing_to_look_at_or_nothing_goes(
    how: dict[str, Any], site: Site
) -> None:
    site.run(**how)
    assert "wait" not in site.did
    assert site.did[-1] == "down"


def test_the_reader_gets_the_address_and_login_and_the_checks_that_failed(report: Report, tmp_path: Path) -> None:
    there = KeptCluster(
        "h-1", "http://127.0.0.1:40123", "admin", SecretStr("sesame-sesame"), "run", "shell", "look", "rm"
    )
    redactor = Redactor()
    redactor.learn("sesame-sesame")
    text = "\n".join(pause.told(report, there, redactor))
    assert "http://127.0.0.1:40123" in text
    assert "admin / sesame-sesame" in text, "it is a terminal"


def test_without_a_terminal_nothing_is_started(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "_TERMINAL", site.folder / "none")
    settings = Settings(
        state_dir=site.folder / "state",
        cache_dir=site.folder / "cache",
        evidence_dir=site.folder / "evidence",
        pause_on_failure=True,
    )
    monkeypatch.setattr("harness.pipeline.inputs.dvc_program", lambda _given=None: Path("/bin/true"))
    done = session._carry_out(settings, Console(file=io.StringIO()), lambda environment: environment.up())
    assert done.exit_code is ExitCode.USAGE
    assert "no terminal" in session.told(done.error)
    assert done.timeline.phases == ()
