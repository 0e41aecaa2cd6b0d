"""A server of threads, bound at once, that serves inside `with`: what the gateway and the webhooks listen with."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Listener:
    """Listens on one address."""

    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        address: tuple[str, int],
        *,
        name: str,
        tls: ssl.SSLContext | None = None,
        **given: Any,
    ) -> None:
        """Bind.

        Args:
            handler: Of one connection.
            address: Where.
            name: Of the thread that accepts connections.
            tls: For https.
            given: What each handler has as an attribute.

        Raises:
            OSError: The address is taken or not of this machine.
        """
        self._server = ThreadingHTTPServer(address, type("_BoundHandler", (handler,), given))
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls is not None:
            # The handshake happens in the connection's thread: one silent client cannot hold up the others.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, name=name, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        return f"{self._scheme}://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
