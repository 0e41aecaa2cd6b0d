"""HTTP/1.1 around the gateway: one server, a thread for each connection, loopback or the address it is given."""

from __future__ import annotations

import ssl
from http.server import BaseHTTPRequestHandler
from typing import Final

from harness.lookalike.errors import AwsError
from harness.lookalike.gateway import Gateway, Reply
from harness.lookalike.incoming import receive
from harness.lookalike.listener import Listener

_IDLE_SECONDS: Final = 60


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # Answers in as few packets as they have pieces, and without waiting for an acknowledgement in between.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    gateway: Gateway
    only: frozenset[str] | None

    def _serve(self) -> None:
        try:
            incoming = receive(self.command, self.path, self.headers, self.rfile)
        except (ValueError, AwsError) as error:
            self.close_connection = True
            self._send(Reply(400, (("Content-Type", "text/plain"),), iter([str(error).encode()]), len(str(error))))
            return
        except OSError:
            self.close_connection = True  # the client hung up
            return
        with incoming.body:
            self._send(self.gateway.reply(incoming, only=self.only))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815 - http.server's names

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come: a client may wait for this for ever, and answers are buffered."""
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        names = {name.lower() for name, _ in reply.headers}
        for name, value in reply.headers:
            if name.lower() not in {"date", "server"}:
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or reply.status in {204, 304}
        if reply.length is not None and reply.status not in {204, 304}:
            self.send_header("Content-Length", str(reply.length))
        elif "content-length" not in names and not bodiless:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        for piece in reply.body:
            if not bodiless:
                self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server calls
        """Say nothing: calls are recorded by the gateway."""


class Server(Listener):
    """A server that is bound, and serves inside `with`."""

    def __init__(
        self,
        gateway: Gateway,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        only: frozenset[str] | None = None,
    ) -> None:
        """Bind.

        Args:
            gateway: Answers.
            address: Where.
            tls: For https.
            only: The services that are spoken there, by boto3's names; None for all.

        Raises:
            OSError: The address is taken or not of this machine.
        """
        super().__init__(_Handler, address, name="look-alike", tls=tls, gateway=gateway, only=only)
