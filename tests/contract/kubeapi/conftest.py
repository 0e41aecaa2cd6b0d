"""A small API server over TLS on loopback: discovery, objects, watches, logs and exec as the official client asks.

A real one needs a cluster, which these tests do not have; tests/e2e has. What is real here is the client, TLS, HTTP
and the web socket.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Resources = dict[str, list[tuple[str, str, bool]]]
_RESOURCES: Resources = {
    "/api/v1": [("pods", "Pod", True), ("configmaps", "ConfigMap", True), ("namespaces", "Namespace", False)],
    "/apis/apps/v1": [("deployments", "Deployment", True), ("replicasets", "ReplicaSet", True)],
    "/apis/authentication.k8s.io/v1": [("tokenreviews", "TokenReview", False)],
    "/apis/discovery.k8s.io/v1": [("endpointslices", "EndpointSlice", True)],
}
_WEB_SOCKET_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


@dataclass
class Handled:
    """One request; handlers answer through it."""

    handler: BaseHTTPRequestHandler
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any

    def reply(self, status: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", "application/json")
        self.handler.send_header("Content-Length", str(len(raw)))
        self.handler.end_headers()
        self.handler.wfile.write(raw)

    def refuse(self, status: int, message: str) -> None:
        self.reply(status, {"kind": "Status", "status": "Failure", "message": message, "code": status})

    def begin(self) -> None:
        """Begin a chunked answer."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", "application/json")
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()

    def chunk(self, data: bytes) -> None:
        self.handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.handler.wfile.flush()

    def exec_socket(self) -> None:
        """Become a web socket of the exec protocol."""
        key = self.handler.headers["Sec-WebSocket-Key"] + _WEB_SOCKET_KEY
        self.handler.send_response(101)
        self.handler.send_header("Upgrade", "websocket")
        self.handler.send_header("Connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324 - RFC 6455 says so
        self.handler.send_header("Sec-WebSocket-Accept", accept)
        self.handler.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.handler.end_headers()

    def channel(self, number: int, data: bytes) -> None:
        payload = bytes([number]) + data
        self.handler.wfile.write(b"\x82" + struct.pack("!BQ", 127, len(payload)) + payload)
        self.handler.wfile.flush()

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """What the client sends, by channel, until it closes (RFC 6455, section 5.2)."""
        read = self.handler.rfile.read
        while head := read(2):
            length = head[1] & 0x7F
            if length > 125:
                length = int.from_bytes(read(2 if length == 126 else 8), "big")
            mask, payload = read(4), read(length)
            data = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
            if head[0] & 0x0F == 8:
                return
            yield data[0], data[1:]

    def forward(self, port: int, *, to: tuple[str, int]) -> None:
        """Be the kubelet: lead a port of a pod to an address, both ways, until either side ends."""
        self.exec_socket()
        for channel in (0, 1):
            self.channel(channel, struct.pack("<H", port))
        with socket.create_connection(to) as pod:

            def back() -> None:
                with suppress(OSError):  # the client may have hung up
                    while data := pod.recv(1 << 16):
                        self.channel(0, data)
                    self.close_socket()

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            try:
                for _channel, data in self.messages():
                    pod.sendall(data)
            finally:
                pod.shutdown(socket.SHUT_RDWR)
                thread.join(5)
        self.handler.close_connection = True

    def cut(self) -> None:
        """The connection goes without a farewell."""
        self.handler.connection.shutdown(socket.SHUT_RDWR)
        self.handler.close_connection = True

    def close_socket(self) -> None:
        self.handler.wfile.write(b"\x88\x02\x03\xe8")
        self.handler.wfile.flush()
        self.handler.close_connection = True


Answer = Callable[[Handled], None]


@dataclass
class ApiServer:
    """Answers by (method, path); keeps what it was asked. `release` ends answers that wait for it.

    `resources` are the kinds that it knows; `otherwise` is asked where there is no answer, and says whether it had one.
    """

    kubeconfig: Path
    resources: Resources = field(default_factory=lambda: _RESOURCES)
    otherwise: Callable[[Handled], bool] = lambda _asked: False
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    requests: list[Handled] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def on(self, method: str, path: str, answer: Answer) -> None:
        self.answers[(method, path)] = answer

    def objects(self, path: str, *items: dict[str, Any]) -> None:
        self.on("GET", path, lambda asked: asked.reply(200, {"metadata": {"resourceVersion": "5"}, "items": items}))

    def asked(self, method: str, path: str) -> list[Handled]:
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def handle(self, asked: Handled) -> None:
        self.requests.append(asked)
        answer = self.answers.get((asked.method, asked.path))
        if answer is not None:
            answer(asked)
        elif asked.path == "/version":
            asked.reply(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.4"})
        elif asked.path == "/apis":
            groups = []
            for name in (path.split("/")[2] for path in self.resources if path.startswith("/apis/")):
                version = {"groupVersion": f"{name}/v1", "version": "v1"}
                groups.append({"name": name, "versions": [version], "preferredVersion": version})
            asked.reply(200, {"kind": "APIGroupList", "groups": groups})
        elif asked.path in self.resources:
            listed = [
                {"name": name, "kind": kind, "namespaced": namespaced, "singularName": "", "verbs": ["get"]}
                for name, kind, namespaced in self.resources[asked.path]
            ]
            asked.reply(200, {"kind": "APIResourceList", "resources": listed})
        elif not self.otherwise(asked):
            asked.refuse(404, f"the server could not find {asked.path}")


def _certificate(folder: Path) -> tuple[Path, str]:
    """A self-signed certificate for 127.0.0.1: (file with key and certificate, the certificate in PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + pem)
    return path, pem.decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    kubeconfig = tmp_path / "kubeconfig"
    fake = ApiServer(kubeconfig)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = urlsplit(self.path)
            fake.handle(Handled(self, self.command, url.path, parse_qs(url.query), json.loads(raw) if raw else None))

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server looks up

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: object) -> None:
            """A client that hung up is part of some tests."""

    certificate, ca = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    httpd = Server(("127.0.0.1", 0), Handler)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    fake.url = f"https://127.0.0.1:{httpd.server_address[1]}"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "somewhere-else",
                "clusters": [
                    {
                        "name": "ours",
                        "cluster": {
                            "server": fake.url,
                            "certificate-authority-data": base64.b64encode(ca.encode()).decode(),
                        },
                    },
                    {"name": "theirs", "cluster": {"server": "https://127.0.0.1:9"}},
                ],
                "users": [{"name": "u", "user": {"token": "t0ken"}}],
                "contexts": [
                    {"name": "kind-ours", "context": {"cluster": "ours", "user": "u"}},
                    {"name": "somewhere-else", "context": {"cluster": "theirs", "user": "u"}},
                ],
            }
        )
    )
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    fake.release.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()
