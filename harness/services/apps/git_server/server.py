"""Who may do what, over HTTPS: authentication, routes, the answers a Git host gives."""

from __future__ import annotations

import json
import re
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .backend import Body, BodyError, ChunkedBody, FixedBody, Request, Response
from .registry import RefusedError, Registry, TooManyError
from .repository import ReseedError
from .settings import Role, Settings, User

# The three addresses of smart HTTP (gitprotocol-http(5)); the old "dumb" ones do not exist here.
_GIT = re.compile(r"/(?P<repository>[^/]+)/(?P<service>info/refs|git-upload-pack|git-receive-pack)")
_RESEED = re.compile(r"/-/reseed/(?P<repository>[^/]+)")
_REPOSITORY = re.compile(r"/-/repositories/(?P<repository>[^/]+)")
_IDLE_SECONDS = 120
_GRACE_SECONDS = 10.0


class Refused(Exception):
    """The request is answered with this status and sentence."""

    def __init__(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class GitServer(ThreadingHTTPServer):
    """Serves the repositories of `settings`; one thread a connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.repositories = Registry(settings.root, settings.repositories)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(settings.certificate, settings.key)
        self._running = 0
        self._idle = threading.Condition()
        super().__init__(settings.address, Handler)

    def get_request(self) -> tuple[socket, Any]:
        """Take a connection; the handshake is left to its own thread, so that a silent client holds up nobody."""
        connection, address = super().get_request()
        connection.settimeout(_IDLE_SECONDS)
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line for a connection that broke; anything else is a fault of the server and shown in full."""
        error = sys.exception()
        if isinstance(error, OSError):  # also ssl.SSLError and time-outs
            log(client=client_address[0], error=f"{type(error).__name__}: {error}")
            return
        super().handle_error(request, client_address)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Held while a request is answered."""
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def drain(self) -> bool:
        """Wait for requests that are being answered, for some seconds; whether all were."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, _GRACE_SECONDS)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "harness-git"
    sys_version = ""
    wbufsize = 64 * 1024
    # The end of a chunked answer is a small packet of its own: it would wait 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True
    server: GitServer

    _name = ""
    _body: Body
    _sent: int = 0
    _status: int = 0
    _note = ""

    def do_GET(self) -> None:
        """Health, the push log, and the first half of a fetch or push."""
        self._serve()

    def do_POST(self) -> None:
        """The second half of a fetch or push, and re-seeding."""
        self._serve()

    def do_DELETE(self) -> None:
        """Removal of a scratch repository."""
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Nothing: each request is logged once, by `_serve`."""

    def _serve(self) -> None:
        started = time.monotonic()
        self._name, self._sent, self._status, self._note = "", 0, 0, ""
        with self.server.working():
            try:
                try:
                    self._body = self._request_body()
                    self._route()
                except Refused as refusal:
                    self._drop_body()
                    self._answer(refusal.status, f"{refusal}\n".encode(), headers=refusal.headers)
            except BodyError as error:
                self._note = str(error)
                self.close_connection = True
                if not self._status:  # nothing has been answered yet
                    self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n".encode())
            except OSError as error:
                self._note = f"the client left: {type(error).__name__}"
                self.close_connection = True
            finally:
                with suppress(OSError):
                    self.wfile.flush()
                log(
                    client=self.client_address[0],
                    user=self._name,
                    request=f"{self.command} {self.path}",
                    status=self._status,
                    bytes=self._sent,
                    seconds=round(time.monotonic() - started, 3),
                    note=self._note,
                )

    def _route(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if path == "/healthz":
            self._drop_body()
            self._answer(HTTPStatus.OK, b"ok\n")
            return
        user = self._authenticated()
        self._name = user.name
        if path.startswith("/-/"):
            self._administer(path, user)
        elif found := _GIT.fullmatch(path):
            service = found["service"]
            if service == "info/refs":
                service = parse_qs(url.query).get("service", [""])[0]
            self._git(found["repository"], service, path, url.query, user)
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "not found")

    def _authenticated(self) -> User:
        user = self.server.settings.authenticate(self.headers.get("Authorization"))
        if user is None:
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "authentication required: user name and token",
                {"WWW-Authenticate": 'Basic realm="harness git server"'},
            )
        return user

    def _administer(self, path: str, user: User) -> None:
        if user.role < Role.ADMIN:
            raise Refused(HTTPStatus.FORBIDDEN, f"user {user.name} may not administer this server")
        if path == "/-/pushes" and self.command == "GET":
            self._drop_body()
            log_lines = b"".join(repository.pushes() for repository in self.server.repositories.all())
            self._answer(HTTPStatus.OK, log_lines, content_type="application/x-ndjson")
        elif (found := _RESEED.fullmatch(path)) and self.command == "POST":
            self._reseed(found["repository"], user)
        elif (found := _REPOSITORY.fullmatch(path)) and self.command == "DELETE":
            self._remove(found["repository"])
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "not found")

    def _reseed(self, name: str, user: User) -> None:
        if not self.server.repositories.may_be(name):
            raise Refused(HTTPStatus.NOT_FOUND, "repository not found")
        limit = self.server.settings.reseed_limit
        with tempfile.NamedTemporaryFile(dir=self.server.settings.root, prefix="reseed-", suffix=".bundle") as bundle:
            size = 0
            for piece in self._body.pieces():
                size += len(piece)
                if size > limit:
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the bundle is larger than {limit} bytes")
                bundle.write(piece)
            bundle.flush()
            try:
                result = self.server.repositories.reseed(name, Path(bundle.name), by=user.name)
            except TooManyError as error:
                raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from error
            except ReseedError as error:
                raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        body = json.dumps({"repository": name, **result}, sort_keys=True).encode() + b"\n"
        self._answer(HTTPStatus.OK, body, content_type="application/json")

    def _remove(self, name: str) -> None:
        self._drop_body()
        try:
            if not self.server.repositories.remove(name):
                raise Refused(HTTPStatus.NOT_FOUND, "repository not found")
        except RefusedError as error:
            raise Refused(HTTPStatus.FORBIDDEN, str(error)) from error
        self._answer(HTTPStatus.OK, b"removed\n")

    def _git(self, name: str, service: str, path: str, query: str, user: User) -> None:
        if self.server.repositories.get(name) is None:
            raise Refused(HTTPStatus.NOT_FOUND, "repository not found")
        if service not in {"git-upload-pack", "git-receive-pack"}:
            raise Refused(HTTPStatus.FORBIDDEN, "only git's smart HTTP protocol is served here")
        if service == "git-receive-pack" and user.role < Role.WRITER:
            raise Refused(HTTPStatus.FORBIDDEN, f"user {user.name} may not write to {name}")
        request = Request(
            method=self.command,
            path=path,
            query=query,
            headers={header.lower(): value for header, value in self.headers.items()},
            user=user.name,
            client=self.client_address[0],
            length=self._length(),
        )
        response = Response(request, self._body, root=self.server.settings.root)
        try:
            self._stream(response)
        finally:
            response.close()

    def _stream(self, response: Response) -> None:
        if response.status == HTTPStatus.INTERNAL_SERVER_ERROR and not response.headers:
            # git said nothing. If the body was at fault, close() raises that; the client gets its answer there.
            self._note = response.close()
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"git http-backend gave no answer\n")
            return
        self._status = response.status
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        # Headers stay in the buffer until the first piece, so nothing is on the wire yet.
        # The length is not known before git has ended, and the connection is to live on.
        chunked = not any(name.lower() == "content-length" for name, _ in response.headers)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in response.pieces():
            self._sent += len(piece)
            with response.wire:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                self.wfile.flush()
        self._note = response.close()  # raises where the request was cut off: then the answer must not look whole
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _length(self) -> int | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return None
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise BodyError("Content-Length is not a number")
        return int(length)

    def _request_body(self) -> Body:
        length = self._length()
        return ChunkedBody(self.rfile) if length is None else FixedBody(self.rfile, length)

    def _drop_body(self) -> None:
        """Read the rest of the body, or the client would see a reset instead of the answer."""
        for _piece in self._body.pieces():
            pass

    def _answer(
        self,
        status: HTTPStatus,
        body: bytes,
        *,
        content_type: str = "text/plain; charset=utf-8",
        headers: dict[str, str] | None = None,
    ) -> None:
        self._status = status
        self._sent = len(body)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def log(**fields: object) -> None:
    """One JSON line on standard output; empty fields are left out."""
    # One write: print() would let the lines of two requests run into each other.
    sys.stdout.write(
        json.dumps({name: value for name, value in fields.items() if value is not None and value != ""}) + "\n"
    )
    sys.stdout.flush()
