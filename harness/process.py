"""The one way to run a program.

Every program runs in a process group of its own, with an explicit environment, so that a timeout or an interrupt
stops it with all its children. Output is redacted before it is kept. Tests replace `Runner` with a fake.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from harness.errors import CommandFailed, CommandTimeout, UsageError
from harness.redaction import Redactor

_log = logging.getLogger(__name__)
_GRACE_SECONDS = 5.0
DEFAULT_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended.

    Attributes:
        argv: The command as it was run.
        code: Exit code; negative for a signal.
        stdout: Standard output, decoded as UTF-8 with replacement.
        stderr: Standard error, likewise.
        seconds: Wall time.
    """

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float


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
            on_line: Called with each line of standard output and error as it appears, redacted.
            next_step: Advice for the reader if it fails.

        Raises:
            CommandFailed: Exit code other than 0 and `check`.
            CommandTimeout: It did not end in time.
            UsageError: There is no such program.
        """

    def pipe(self, source: Sequence[str | Path], sink: Sequence[str | Path], *, timeout: float) -> None:
        """Run `source | sink` and wait for both; the same errors as `run`."""


@dataclass(slots=True)
class SubprocessRunner:
    """The real `Runner`.

    Attributes:
        env: The whole environment of every program, before a call's own additions.
        redactor: Applied to everything kept or shown.
        transcript: Where each command, its exit code and its time are noted; None for nowhere.
    """

    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    redactor: Redactor = field(default_factory=Redactor)
    transcript: Path | None = None

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
        outputs: dict[str, list[str]] = {"stdout": [], "stderr": []}
        with self._started(command, env=env, cwd=cwd, stdin=subprocess.PIPE if stdin is not None else None) as process:
            pumps = [
                threading.Thread(target=self._pump, args=(stream, outputs[name], on_line), daemon=True)
                for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
                if stream is not None
            ]
            for pump in pumps:
                pump.start()
            feeder = threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True)
            feeder.start()
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                _stop(process)
                for pump in pumps:
                    pump.join(_GRACE_SECONDS)
                raise CommandTimeout(
                    argv=self._shown(command), seconds=timeout, output="".join(outputs["stderr"] or outputs["stdout"])
                ) from None
            for pump in pumps:
                # A grandchild may hold the pipe open for ever; what the program itself said is in by then.
                pump.join(_GRACE_SECONDS)
        seconds = time.monotonic() - started
        completed = Completed(command, code, "".join(outputs["stdout"]), "".join(outputs["stderr"]), seconds)
        self._note(command, code, seconds)
        if check and code != 0:
            raise CommandFailed(
                argv=self._shown(command),
                code=code,
                stdout=self.redactor.text(completed.stdout),
                stderr=self.redactor.text(completed.stderr),
                next_step=next_step,
            )
        return completed

    def pipe(self, source: Sequence[str | Path], sink: Sequence[str | Path], *, timeout: float) -> None:
        """See `Runner.pipe`."""
        producer, consumer = tuple(map(str, source)), tuple(map(str, sink))
        deadline = time.monotonic() + timeout
        with (
            self._started(producer, env=None, cwd=None, stdin=None) as first,
            self._started(consumer, env=None, cwd=None, stdin=first.stdout) as second,
        ):
            if first.stdout is not None:
                first.stdout.close()  # so that the producer is told when the consumer ends early
            errors: dict[tuple[str, ...], list[str]] = {producer: [], consumer: []}
            drains = [
                threading.Thread(target=self._pump, args=(stream, errors[command], None), daemon=True)
                for command, stream in ((producer, first.stderr), (consumer, second.stderr), (consumer, second.stdout))
                if stream is not None
            ]
            for drain in drains:
                drain.start()
            # The consumer first: when it fails, the producer only reports a broken pipe.
            for command, process in ((consumer, second), (producer, first)):
                try:
                    code = process.wait(max(deadline - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    _stop(first)
                    _stop(second)
                    raise CommandTimeout(
                        argv=self._shown(command), seconds=timeout, output="".join(errors[command])
                    ) from None
                self._note(command, code, timeout - (deadline - time.monotonic()))
                if code != 0:
                    for drain in drains:
                        drain.join(_GRACE_SECONDS)
                    raise CommandFailed(
                        argv=self._shown(command),
                        code=code,
                        stdout="",
                        stderr=self.redactor.text("".join(errors[command])),
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
        environment = {**self.env, **(env or {})}
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=cwd,
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            missing = str(cwd) if cwd is not None and not cwd.is_dir() else command[0]
            raise UsageError(f"cannot run {command[0]}: {missing} does not exist") from error
        try:
            yield process
        finally:
            # Reached with a live process only on an exception, such as the interrupt of a test run.
            if process.poll() is None:
                _stop(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None and not stream.closed:
                    _close(stream)

    def _pump(self, stream: IO[bytes], into: list[str], on_line: Callable[[str], None] | None) -> None:
        try:
            for raw in stream:
                line = raw.decode("utf-8", errors="replace")
                into.append(line)
                if on_line is not None:
                    on_line(self.redactor.text(line.rstrip("\n")))
        except ValueError:
            # The stream was closed under us after the program had ended: nothing more can come.
            _log.debug("output stream closed early")

    def _shown(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self.redactor.text(part) for part in command)

    def _note(self, command: tuple[str, ...], code: int, seconds: float) -> None:
        line = f"{seconds:8.2f}s exit {code}: {' '.join(self._shown(command))}"
        _log.debug(line)
        if self.transcript is not None:
            with self.transcript.open("a", encoding="utf-8") as out:
                out.write(line + "\n")


def which(name: str, *, path: str | None = None) -> Path | None:
    """The program of that name on PATH (or on `path`), or None."""
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _feed(stream: IO[bytes] | None, data: str | bytes | None) -> None:
    if stream is None or data is None:
        return
    try:
        stream.write(data.encode() if isinstance(data, str) else data)
        stream.close()
    except (BrokenPipeError, ValueError):
        _log.debug("the program ended before it had read all its input")


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        _log.debug("the program ended before it had read all its input")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate the process group, then kill what is left of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        break
    process.wait()
