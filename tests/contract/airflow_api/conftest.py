"""An HTTP server on loopback that answers as scripted.

A real Airflow API server does not fit beside these tests; the answers are built from the generated client's own
models, so what is proven is the seam (tokens, retries, errors, reading), not Airflow's behaviour. That is proven by
tests/e2e.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass(frozen=True)
class Answer:
    """One answer; `None` as status hangs up after the request was read."""

    status: int | None = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


class FakeAirflow:
    """Scripted by (method, path); the last answer of a script is repeated."""

    def __init__(self) -> None:
        self.scripts: dict[tuple[str, str], list[Answer]] = {}
        self.requests: list[Request] = []
        self.accepted: set[str] = set()
        self.password = "correct horse"
        self.lifetime = 3600
        self.issued = 0
        self.honour_tokens = True
        self.url = ""

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self.scripts[(method, path)] = list(answers)

    def asked(self, method: str, path: str) -> list[Request]:
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        script = self.scripts.get((request.method, request.path))
        if script is None and (request.method, request.path) == ("POST", "/auth/token"):
            return self._token(request)
        if script is None:
            return Answer(404, {"detail": "Not Found"})
        public = request.path in ("/auth/token", "/api/v2/version", "/api/v2/monitor/health")
        if not public and request.headers.get("authorization", "").removeprefix("Bearer ") not in self.accepted:
            return Answer(401, {"detail": "Invalid JWT token"})
        return script.pop(0) if len(script) > 1 else script[0]

    def _token(self, request: Request) -> Answer:
        if request.body != {"username": "admin", "password": self.password}:
            return Answer(401, {"detail": "Invalid credentials"})
        self.issued += 1
        claims = json.dumps({"sub": "1", "n": self.issued, "iat": 1000, "exp": 1000 + self.lifetime}).encode()
        token = f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"
        if self.honour_tokens:
            self.accepted.add(token)
        return Answer(201, {"access_token": token})


@pytest.fixture
def server() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = urlsplit(self.path)
            request = Request(
                method=self.command,
                path=url.path,
                query=parse_qs(url.query),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=json.loads(raw) if raw else None,
            )
            answer = fake.answer(request)
            if answer.status is None:
                self.close_connection = True
                return
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body, default=str).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server looks up

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: object) -> None:
            """A client that hung up is part of some tests."""

    httpd = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    fake.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    yield fake
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer
