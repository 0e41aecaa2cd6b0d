"""One request through `git-http-backend`, streamed both ways.

git's own CGI program does all of the protocol (git-http-backend(1)). Bodies pass through in pieces: neither a push
nor a clone is ever held in memory.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Protocol, cast

from .repository import backend_program, git_environment

PIECE = 64 * 1024
_STOP_SECONDS = 5.0


class BodyError(Exception):
    """The request body is not what its headers say."""


class Body(Protocol):
    """A request body that is read in pieces."""

    def pieces(self) -> Iterator[bytes]:
        """The rest of it; ends at its end.

        Raises:
            BodyError: It is cut off or malformed.
        """


class FixedBody:
    """A body whose length is known."""

    def __init__(self, stream: BufferedIOBase, length: int) -> None:
        self._stream = stream
        self._left = length

    def pieces(self) -> Iterator[bytes]:
        """See `Body.pieces`."""
        while self._left > 0:
            piece = self._stream.read(min(PIECE, self._left))
            if not piece:
                raise BodyError(f"the request body ended {self._left} bytes early")
            self._left -= len(piece)
            yield piece


class ChunkedBody:
    """A body in chunks (RFC 9112, section 7.1); git sends those above http.postBuffer, 1 MiB by default."""

    _LONGEST_LINE = 8192

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._left = 0
        self._ended = False

    def pieces(self) -> Iterator[bytes]:
        """See `Body.pieces`."""
        while not self._ended:
            if self._left == 0 and not self._next_chunk():
                return
            piece = self._stream.read(min(PIECE, self._left))
            if not piece:
                raise BodyError("the request body ended within a chunk")
            self._left -= len(piece)
            if self._left == 0 and self._line() != b"":
                raise BodyError("a chunk is longer than its size says")
            yield piece

    def _next_chunk(self) -> bool:
        size = self._line().partition(b";")[0].strip()
        try:
            # int() also takes signs, blanks and underscores, which HTTP does not.
            self._left = int(size, 16) if size.isalnum() else -1
        except ValueError:
            self._left = -1
        if self._left < 0:
            raise BodyError("a chunk has no valid size")
        if self._left == 0:
            while self._line() != b"":  # trailers, of which git sends none
                pass
            self._ended = True
        return not self._ended

    def _line(self) -> bytes:
        line = self._stream.readline(self._LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise BodyError("the request body ended within a chunk header")
        return line.rstrip(b"\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """What the CGI program has to know.

    Attributes:
        method: GET or POST.
        path: Path below the root, such as `/mlops.git/info/refs`.
        query: Query string, without the question mark.
        headers: The request's headers by lower-case name.
        user: Who was authenticated.
        client: Address of the client.
        length: Length of the body in bytes, or None when it comes in chunks.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    user: str
    client: str
    length: int | None

    def environment(self, root: Path) -> dict[str, str]:
        """The CGI environment (RFC 3875, section 4.1)."""
        environment = {
            **git_environment(),
            "GATEWAY_INTERFACE": "CGI/1.1",
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.method,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "REMOTE_USER": self.user,
            "REMOTE_ADDR": self.client,
        }
        if self.length is not None:
            environment["CONTENT_LENGTH"] = str(self.length)
        if encoding := self.headers.get("content-encoding"):
            environment["HTTP_CONTENT_ENCODING"] = encoding
        if protocol := self.headers.get("git-protocol"):
            environment["GIT_PROTOCOL"] = environment["HTTP_GIT_PROTOCOL"] = protocol
        return environment


class Response:
    """A running `git http-backend`; its headers are read, its body is still to come.

    Attributes:
        status: HTTP status.
        headers: Its headers, without Status.
        wire: To be held while writing to the client: git may answer before the request has been read to its end,
            and a TLS connection must not be read and written at once by two threads.
    """

    def __init__(self, request: Request, body: Body, *, root: Path) -> None:
        self._process = subprocess.Popen(
            [backend_program()],
            env=request.environment(root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # Asked for above, so they are there; typing cannot know.
        self._stdin = cast("BufferedIOBase", self._process.stdin)
        self._stdout = cast("BufferedReader", self._process.stdout)
        self._stderr = cast("BufferedReader", self._process.stderr)
        self._body = body
        self.wire = threading.Lock()
        self._failure: Exception | None = None
        self._said = b""
        # In threads of their own: git may answer, or complain, before it has read everything.
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._feeder.start()
        self._listener.start()
        self.status, self.headers = self._read_head()

    def pieces(self) -> Iterator[bytes]:
        """The body of the answer."""
        while piece := self._stdout.read1(PIECE):
            yield piece

    def close(self) -> str:
        """End it and take leave of the threads.

        Returns:
            What it complained, for the log; empty if nothing.

        Raises:
            BodyError: The request body was malformed or cut off.
        """
        with suppress(OSError):
            self._stdout.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._feeder.join()
        self._listener.join(_STOP_SECONDS)
        if self._failure is not None:
            raise BodyError(str(self._failure)) from self._failure
        return self._said.decode(errors="replace").strip()

    def _read_head(self) -> tuple[int, list[tuple[str, str]]]:
        status, headers = HTTPStatus.OK.value, list[tuple[str, str]]()
        while line := self._stdout.readline():
            name, colon, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            if not name:
                return status, headers
            if colon and name.lower() == "status":
                status = int(value.split()[0])
            elif colon:
                headers.append((name, value.strip()))
        # It ended before it had said anything, as on a body that is not what its headers promise.
        return HTTPStatus.INTERNAL_SERVER_ERROR.value, []

    def _feed(self) -> None:
        pieces = self._body.pieces()
        git_reads = True
        try:
            while piece := self._next(pieces):
                # Also read what git does not want, or the client would see a reset instead of the answer.
                if git_reads:
                    git_reads = _write(self._stdin, piece)
        except (BodyError, OSError) as error:
            self._failure = error
            self._process.kill()  # half a push must not look like a whole one
        finally:
            with suppress(BrokenPipeError):
                self._stdin.close()

    def _next(self, pieces: Iterator[bytes]) -> bytes:
        with self.wire:
            return next(pieces, b"")

    def _listen(self) -> None:
        with self._stderr:
            self._said = self._stderr.read()


def _write(sink: BufferedIOBase, piece: bytes) -> bool:
    try:
        sink.write(piece)
    except BrokenPipeError:
        return False
    return True
