"""The streams of a program that runs: read and fed in threads of their own, so that it never blocks."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

_log = logging.getLogger(__name__)


class Drain(threading.Thread):
    """Reads a stream to its end so that the program never blocks, whatever becomes of what it says.

    A grandchild may hold the stream open long after the program has ended. The thread then goes on reading, so that
    the grandchild does not block either, but keeps nothing more.

    Attributes:
        problem: What the listener raised; the rest is read all the same.
    """

    def __init__(self, stream: IO[bytes], on_line: Callable[[str], None] | None) -> None:
        super().__init__(daemon=True)
        self.problem: Exception | None = None
        self._stream = stream
        self._on_line = on_line
        self._lines: list[bytes] = []
        self._over = threading.Event()

    @property
    def text(self) -> str:
        """What was said so far, decoded as UTF-8 with replacement."""
        return self.raw.decode("utf-8", errors="replace")

    @property
    def raw(self) -> bytes:
        """The same, byte for byte."""
        return b"".join(self._lines)

    def finish(self, timeout: float) -> None:
        """Wait that many seconds for the end of the stream; keep nothing that comes later."""
        self.join(timeout)
        self._over.set()

    def run(self) -> None:
        """Read."""
        with self._stream:
            rest = b""
            while chunk := os.read(self._stream.fileno(), 65536):
                if self._over.is_set():
                    continue
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._keep(line + b"\n")
            if rest and not self._over.is_set():
                self._keep(rest)

    def _keep(self, raw: bytes) -> None:
        self._lines.append(raw)
        if self._on_line is None or self.problem is not None:
            return
        try:
            self._on_line(raw.decode("utf-8", errors="replace").rstrip("\r\n"))
        except Exception as error:  # noqa: BLE001 - raised again by `run`; the program must not block on a full pipe
            self.problem = error


def finish(*drains: Drain, seconds: float) -> None:
    """Wait a moment for what the program said last; for ever would be too long if a grandchild holds the stream."""
    deadline = time.monotonic() + seconds
    for drain in drains:
        drain.finish(max(deadline - time.monotonic(), 0.0))


def joined(drains: Sequence[Drain]) -> str:
    """What several streams said."""
    return "".join(drain.text for drain in drains)


def feed(process: subprocess.Popen[bytes], data: str | bytes | None) -> None:
    """Give the process its input in a thread that owns the stream from now on."""
    stream, process.stdin = process.stdin, None
    if stream is not None and data is not None:
        whole = data.encode() if isinstance(data, str) else data
        threading.Thread(target=_feed, args=(stream, whole), daemon=True).start()


def _feed(stream: IO[bytes], data: bytes) -> None:
    with stream:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(stream.fileno(), rest) :]
        except BrokenPipeError:
            _log.debug("the program ended before it had read all its input")
