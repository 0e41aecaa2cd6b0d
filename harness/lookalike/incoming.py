"""A request as it comes in: its head, and its body on disk once it is large, with its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from tempfile import SpooledTemporaryFile
from typing import IO, Final, Protocol

from harness.lookalike.errors import AwsError
from harness.lookalike.sigv4 import HttpRequest

_IN_MEMORY: Final = 1 << 20
_PIECE: Final = 1 << 18
# Of a single PutObject (S3 API reference).
_LARGEST: Final = 5 << 30


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request.

    Attributes:
        request: Its head, and the hash of its body.
        body: The body, at its start; close it.
        length: Of the body, in bytes.
    """

    request: HttpRequest
    body: IO[bytes]
    length: int

    def whole(self, limit: int = _IN_MEMORY) -> bytes:
        """The body of a request that is small.

        Raises:
            AwsError: It is not.
        """
        if self.length > limit:
            raise AwsError("RequestEntityTooLarge", f"the body has {self.length} bytes, at most {limit}", status=413)
        self.body.seek(0)
        data = self.body.read()
        self.body.seek(0)
        return data


class Stream(Protocol):
    """What a request is read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""

    def readline(self, size: int, /) -> bytes:
        """A line of at most so many bytes."""


def receive(method: str, target: str, headers: Message, stream: Stream) -> Incoming:
    """Read a request to its end.

    Raises:
        AwsError: Its length cannot be known, or is too much.
        ValueError: It is cut short or framed wrongly; the connection is of no further use.
    """
    path, _, query = target.partition("?")
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        found[key] = f"{found[key]},{value}" if key in found else value
    body = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by the caller
    digest, length = hashlib.sha256(), 0
    try:
        for piece in pieces(found, stream):
            digest.update(piece)
            length += len(piece)
            body.write(piece)
    except BaseException:
        body.close()
        raise
    body.seek(0)
    return Incoming(HttpRequest(method, path, query, found, digest.hexdigest()), body, length)


def pieces(headers: Mapping[str, str], stream: Stream) -> Iterator[bytes]:
    """The body of a request as it comes, framed by its length or in chunks.

    Raises:
        AwsError: It is too large.
        ValueError: It is cut short or framed wrongly; the connection is of no further use.
    """
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(stream.readline(64).partition(b";")[0], 16):
            yield from _exactly(stream, size)
            stream.readline(64)
        while stream.readline(8192).strip():
            continue  # trailers of HTTP itself; S3's stand inside its own framing
        return
    length = int(headers.get("content-length") or 0)
    if length > _LARGEST:
        raise AwsError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    yield from _exactly(stream, length)


def _exactly(stream: Stream, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = stream.read(min(left, _PIECE))
        if not piece:
            raise ValueError(f"the body ended {left} bytes early")
        left -= len(piece)
        yield piece
