"""The health probe: 503 until the first sync, 200 ever after, whatever the path."""

from __future__ import annotations

import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler


class HealthServer(socketserver.ThreadingTCPServer):
    """Not http.server's own server: that one looks up its host name in the DNS when it starts.

    Args:
        bind: Address in Go's form: `:1234` for all interfaces, `127.0.0.1:1234`, `[::1]:1234`.
        ready: Set once something has been synced.

    Raises:
        OSError: The address is taken or not one of this machine.
        ValueError: It is no address.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, bind: str, ready: threading.Event) -> None:
        host, colon, port = bind.rpartition(":")
        if not colon:
            raise ValueError(f"{bind!r} is no address such as :1234")
        host = host.removeprefix("[").removesuffix("]")
        self.both_families = not host and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if self.both_families or ":" in host else socket.AF_INET
        self.ready = ready
        super().__init__((host, int(port)), _Handler)

    def server_bind(self) -> None:
        """All interfaces are those of IPv4 and IPv6, as in Go."""
        if self.both_families:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def start(self) -> None:
        """Serve from a thread that ends with the program."""
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: HealthServer
    timeout = 10.0

    def do_GET(self) -> None:
        ready = self.server.ready.is_set()
        body = b"" if ready else b"repo is not ready\n"
        self.send_response(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server finds methods by these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Nothing: a probe every few seconds tells nobody anything."""
