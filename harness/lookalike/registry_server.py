"""HTTPS around the look-alike's registry: the engine reaches it on loopback, the node in the cluster's own network."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import parse_qsl, unquote

from harness.lookalike.distribution import Request
from harness.lookalike.errors import AwsError
from harness.lookalike.incoming import pieces
from harness.lookalike.listener import Listener
from harness.lookalike.registry import Registry

# An engine compresses a layer as it sends it, on a machine that may be busy.
_IDLE_SECONDS: Final = 300


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    registry: Registry

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = pieces(headers, self.rfile)
        try:
            arguments = dict(parse_qsl(query, keep_blank_values=True))
            reply = self.registry.reply(Request(self.command, unquote(path), arguments, headers, body))
            for _ in body:  # what a refusal has left unread, or the next request would begin with it
                continue
        except (AwsError, ValueError, OSError):
            self.close_connection = True  # framed wrongly, or the client hung up
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.status != 204:  # noqa: PLR2004 - No Content
            self.send_header("Content-Length", str(reply.length))
        self.end_headers()
        if self.command != "HEAD":
            self._send(reply.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815 - http.server's names

    def _send(self, body: Iterator[bytes]) -> None:
        try:
            for piece in body:
                self.wfile.write(piece)
        except OSError:
            self.close_connection = True  # the client hung up

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come: answers are buffered."""
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server calls
        """Say nothing: requests are recorded by the registry."""


class RegistryServer(Listener):
    """A server that is bound, and serves inside `with`."""

    def __init__(self, registry: Registry, address: tuple[str, int], *, tls: ssl.SSLContext) -> None:
        """Bind.

        Args:
            registry: Answers.
            address: Where.
            tls: Its certificate.

        Raises:
            OSError: The address is taken or not of this machine.
        """
        super().__init__(_Handler, address, name="registry", tls=tls, registry=registry)

    @property
    def host(self) -> str:
        """What stands before the names of its images."""
        return self.url.partition("//")[2]
