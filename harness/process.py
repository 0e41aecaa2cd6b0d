"""The one way to run a program.

Every program runs in a process group of its own, with an explicit environment, so that a timeout or an interrupt
stops it with all its children. What a caller gets back is what the program said, to be parsed; everything that is
shown, raised or written down is redacted. Tests replace `Runner` with a fake.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal, Protocol

from harness.errors import CommandCancelled, CommandFailed, CommandTimeout, UsageError
from harness.processgroup import Scope, stop_groups
from harness.redaction import Redactor
from harness.streams import Drain, feed, finish, joined

_log = logging.getLogger(__name__)
_GRACE_SECONDS = 5.0
DEFAULT_TIMEOUT = 120.0
_LOOPBACK = "127.0.0.1,localhost"


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended.

    Attributes:
        argv: The command as it was run.
        code: Exit code; negative for a signal.
        stdout: Standard output, decoded as UTF-8 with replacement, not redacted.
        stderr: Standard error, likewise.
        seconds: Wall time.
        raw: Standard output as it was, byte for byte.
    """

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    raw: bytes = field(default=b"", repr=False)


class Runner(Protocol):
    """Runs programs; the seam that unit tests replace."""

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
        """Run a program to its end.

        Args:
            argv: Program and arguments. Secrets never go here: use `stdin`, `env` or a file.
            env: Variables added to (and overriding) the runner's environment.
            cwd: Where it runs; default the current folder.
            stdin: What it reads; nothing by default, never the terminal.
            timeout: Seconds until it is stopped with its children.
            check: Raise on an exit code other than 0.
            on_line: Called with each line of standard output and error as it appears, redacted. What it raises
                is raised here once the program has ended.
            next_step: Advice for the reader if it fails.

        Raises:
            CommandFailed: Exit code other than 0 and `check`.
            CommandTimeout: It did not end in time.
            CommandCancelled: The scope that it runs in was cancelled, before or while it ran.
            UsageError: There is no such program, or it cannot be executed.
        """

    def pipe(
        self,
        source: Sequence[str | Path],
        sink: Sequence[str | Path],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run `source | sink` and wait for both; the same errors as `run`."""


def _ambient() -> dict[str, str]:
    """The environment without Git's own variables, and with no proxy for what is on this machine.

    A hook, or `git rebase --exec`, that starts the harness sets GIT_DIR and GIT_INDEX_FILE: every git of ours would
    then work on the reader's own repository. Services of a run are reached at loopback, where a proxy has its own;
    git and DVC ask it for them unless they are told, programs in Go never do.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if any(env.get(name) or env.get(name.upper()) for name in ("http_proxy", "https_proxy", "all_proxy")):
        # Programs differ in which of the two they prefer. To some "*" means all only where it stands alone.
        both = env.get("no_proxy") or env.get("NO_PROXY"), env.get("NO_PROXY") or env.get("no_proxy")
        for name, exempt in zip(("no_proxy", "NO_PROXY"), both, strict=True):
            env[name] = "*" if exempt == "*" else ",".join(filter(None, (_LOOPBACK, exempt)))
    return env


@dataclass(slots=True)
class SubprocessRunner:
    """The real `Runner`.

    Attributes:
        env: The whole environment of every program, before a call's own additions.
        redactor: Applied to everything kept or shown.
        transcript: Where each command, its exit code and its time are noted; None for nowhere.
        scope: What its programs are given up with.
        marks: Variables by which its programs are known (`harness.orphans`), unless a call says otherwise.
    """

    env: Mapping[str, str] = field(default_factory=_ambient, repr=False)
    redactor: Redactor = field(default_factory=Redactor)
    transcript: Path | None = None
    scope: Scope = field(default_factory=Scope, repr=False)
    marks: Mapping[str, str] = field(default_factory=dict)

    def within(self, scope: Scope) -> SubprocessRunner:
        """A runner like this one whose programs end when the scope is cancelled."""
        return replace(self, scope=scope)

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
        """See `Runner.run`."""
        command = tuple(str(part) for part in argv)
        started = time.monotonic()
        with self._started(command, env=env, cwd=cwd, stdin=subprocess.PIPE if stdin is not None else None) as process:
            out, err = (self._drained(process, name, on_line) for name in ("stdout", "stderr"))
            feed(process, stdin)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                stop_groups([process], grace=_GRACE_SECONDS)
                finish(out, err, seconds=_GRACE_SECONDS)
                self._note(command, f"stopped after {timeout:.0f} s", time.monotonic() - started)
                raise CommandTimeout(
                    argv=self._shown(command), seconds=timeout, output=self.redactor.text(err.text or out.text)
                ) from None
            finish(out, err, seconds=_GRACE_SECONDS)
        seconds = time.monotonic() - started
        self._refuse_cancelled(command, seconds)
        completed = Completed(command, code, out.text, err.text, seconds, out.raw)
        self._note(command, f"exit {code}", seconds)
        for drain in (out, err):
            if drain.problem is not None:
                raise drain.problem
        if check and code != 0:
            raise CommandFailed(
                argv=self._shown(command),
                code=code,
                stdout=self.redactor.text(completed.stdout),
                stderr=self.redactor.text(completed.stderr),
                next_step=next_step,
            )
        return completed

    def pipe(
        self,
        source: Sequence[str | Path],
        sink: Sequence[str | Path],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """See `Runner.pipe`."""
        producer, consumer = tuple(map(str, source)), tuple(map(str, sink))
        deadline = time.monotonic() + timeout
        with (
            self._started(producer, env=env, cwd=None, stdin=None) as first,
            self._started(consumer, env=env, cwd=None, stdin=first.stdout) as second,
        ):
            if first.stdout is not None:
                first.stdout.close()  # so that the producer is told when the consumer ends early
            said = {
                producer: (self._drained(first, "stderr", None),),
                consumer: (self._drained(second, "stderr", None), self._drained(second, "stdout", None)),
            }
            # The consumer first: when it fails, the producer only reports a broken pipe.
            for command, process in ((consumer, second), (producer, first)):
                try:
                    code = process.wait(max(deadline - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    stop_groups([first, second], grace=_GRACE_SECONDS)
                    finish(*said[command], seconds=_GRACE_SECONDS)
                    self._note(command, f"stopped after {timeout:.0f} s", timeout)
                    raise CommandTimeout(
                        argv=self._shown(command), seconds=timeout, output=self.redactor.text(joined(said[command]))
                    ) from None
                self._refuse_cancelled(command, timeout - (deadline - time.monotonic()))
                self._note(command, f"exit {code}", timeout - (deadline - time.monotonic()))
                if code != 0:
                    finish(*said[command], seconds=_GRACE_SECONDS)
                    raise CommandFailed(
                        argv=self._shown(command),
                        code=code,
                        stdout="",
                        stderr=self.redactor.text(joined(said[command])),
                    )

    @contextmanager
    def _started(
        self,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        stdin: int | IO[bytes] | None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        self._refuse_cancelled(command, 0.0)
        environment = {**self.env, **self.marks, **(env or {})}
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=cwd,
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,  # a buffered stream locks: closing it would wait for a thread that reads from it
                start_new_session=True,
            )
        except FileNotFoundError as error:
            missing = str(cwd) if cwd is not None and not cwd.is_dir() else command[0]
            raise UsageError(f"cannot run {command[0]}: {missing} does not exist") from error
        except OSError as error:
            raise UsageError(f"cannot run {command[0]}: {error.strerror}") from error
        try:
            if not self.scope.enter(process):  # cancelled between the question above and its start
                stop_groups([process], grace=_GRACE_SECONDS)  # also where its leader has ended and left children
                self._refuse_cancelled(command, 0.0)
            yield process
        finally:
            # Reached with a live process only on an exception, such as the interrupt of a test run.
            if process.poll() is None:
                stop_groups([process], grace=_GRACE_SECONDS)
            self.scope.leave(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _drained(
        self, process: subprocess.Popen[bytes], name: Literal["stdout", "stderr"], on_line: Callable[[str], None] | None
    ) -> Drain:
        """Read that stream of the process to its end, in a thread that owns it from now on."""
        stream = getattr(process, name)
        setattr(process, name, None)
        drain = Drain(stream, on_line and (lambda line: on_line(self.redactor.text(line))))
        drain.start()
        return drain

    def _refuse_cancelled(self, command: tuple[str, ...], seconds: float) -> None:
        """A cancelled scope starts nothing, and what ended in it ended for that reason, whatever its exit code."""
        if self.scope.cancelled:
            self._note(command, "cancelled", seconds)
            raise CommandCancelled(argv=self._shown(command))

    def _shown(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self.redactor.text(part) for part in command)

    def _note(self, command: tuple[str, ...], end: str, seconds: float) -> None:
        line = f"{seconds:8.2f}s {end}: {' '.join(self._shown(command))}"
        _log.debug(line)
        if self.transcript is not None:
            self.transcript.parent.mkdir(parents=True, exist_ok=True)
            with self.transcript.open("a", encoding="utf-8") as out:
                out.write(line + "\n")


def which(name: str, *, path: str | None = None) -> Path | None:
    """The program of that name on PATH (or on `path`), or None."""
    found = shutil.which(name, path=path)
    return Path(found) if found else None
