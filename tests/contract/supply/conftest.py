"""A real registry on loopback, a proxy in front of it that misbehaves on request, and a real engine that pulls."""

from __future__ import annotations

import http.client
import io
import json
import os
import secrets
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.model import Engine
from harness.names import LABEL_OWNER
from harness.process import SubprocessRunner, which
from harness.wait import Waiter
from tests.engines import engine_environment, real_engine

USER, PASSWORD = "reader", "opensesame-registry"
# bcrypt of that password, the one form that the registry takes.
_HTPASSWD = f"{USER}:$2b$04$A8NipxsFq8lwNMsU2POUo.rVV/5bb6nfxTgWosEFXGogR4NcTVoxC\n"


@pytest.fixture(scope="session")
def registry_program() -> Path:
    unpacked = Path(__file__).parents[3] / ".tox/registry/usr/bin/docker-registry"
    found = unpacked if unpacked.exists() else which("docker-registry") or which("registry")
    if found is None:
        pytest.skip("no registry program: `make test` unpacks Debian's, or apt-get install docker-registry")
    return found


@pytest.fixture(scope="session")
def docker_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not the user's own: a login there must not decide these tests."""
    return tmp_path_factory.mktemp("docker-config")


@pytest.fixture(scope="session")
def runner(docker_config: Path) -> SubprocessRunner:
    return SubprocessRunner(env={**engine_environment(), "DOCKER_CONFIG": str(docker_config)})


@pytest.fixture(scope="session")
def engine(runner: SubprocessRunner) -> Iterator[Engine]:
    with real_engine(runner) as found:
        yield found


@dataclass
class Registry:
    """A registry that runs."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="session")
def start_registry(
    registry_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[bool], Registry]]:
    started: list[Registry] = []

    def start(with_login: bool) -> Registry:  # noqa: FBT001 - one switch
        folder = tmp_path_factory.mktemp("registry")
        port = _free_port()
        config: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "store")}},
            "http": {"addr": f"127.0.0.1:{port}"},
        }
        if with_login:
            (folder / "htpasswd").write_text(_HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        # JSON is YAML.
        (folder / "config.yml").write_text(json.dumps(config))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [registry_program, "serve", folder / "config.yml"],
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "OTEL_TRACES_EXPORTER": "none"},
            )
        registry = Registry(port, process)
        started.append(registry)
        Waiter().until(
            "the registry", lambda: _answers(port), ready=bool, timeout=20, interval=0.1, transient=(OSError,)
        )
        return registry

    yield start
    for registry in started:
        if registry.process.poll() is None:
            registry.stop()


@pytest.fixture(scope="session")
def registry(start_registry: Callable[[bool], Registry]) -> Registry:
    return start_registry(False)


@dataclass
class Pushed:
    """An image in the registry and no longer in the engine."""

    path: str
    tag: str
    digest: str


@dataclass
class Engineer:
    """Makes, pushes and removes images in the engine; remembers all of them."""

    engine: Engine
    runner: SubprocessRunner
    names: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)

    def docker(self, *arguments: str, check: bool = True, stdin: str | bytes | None = None) -> str:
        command: list[str | Path] = [self.engine.docker, *arguments]
        return self.runner.run(command, env=self.engine.env, check=check, stdin=stdin, timeout=120).stdout

    def push(self, host: str, path: str = "", *, size: int = 1000) -> Pushed:
        """Push a new image of one file of random bytes."""
        path = path or f"library/test-{secrets.token_hex(4)}"
        tag = "1"
        name = f"{host}/{path}:{tag}"
        self.make(name, size=size)
        self.docker("push", name)
        listed = json.loads(self.docker("image", "inspect", "--format", "{{json .RepoDigests}}", name))
        digest = listed[0].partition("@")[2]
        self.docker("image", "rm", name)
        return Pushed(path, tag, digest)

    def make(self, name: str, *, size: int = 1000, changes: tuple[str, ...] = ()) -> None:
        """An image of one file of random bytes."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("content")
            entry.size = size
            tar.addfile(entry, io.BytesIO(os.urandom(size)))
        self.names.add(name)
        options = [part for change in (f"LABEL {LABEL_OWNER}-test=1", *changes) for part in ("--change", change)]
        self.ids.add(self.docker("import", *options, "-", name, stdin=archive.getvalue()).strip())

    def has(self, name: str) -> bool:
        return bool(self.docker("image", "inspect", "--format", "{{.Id}}", name, check=False).strip())

    def clean(self) -> None:
        """Remove what these tests made, by exact names; digest names only of repositories on a test's own port."""
        local = {name.rpartition(":")[0] for name in self.names if name.startswith("127.0.0.1:")}
        self._remove(self.names)
        listed = self.docker("image", "ls", "--digests", "--format", "{{.Repository}} {{.Digest}}")
        rows = (line.split() for line in listed.splitlines())
        digests = [
            f"{repository}@{digest}" for repository, digest in rows if repository in local and digest != "<none>"
        ]
        self._remove([*digests, *self.ids])

    def _remove(self, names: Collection[str]) -> None:
        if names:  # those that are not there stop none of the others
            self.docker("image", "rm", *names, check=False)


@pytest.fixture
def engineer(engine: Engine, runner: SubprocessRunner) -> Iterator[Engineer]:
    engineer = Engineer(engine, runner)
    yield engineer
    engineer.clean()


class Proxy:
    """Stands in front of a registry and shows each request, with the size of its answer, to `misbehave` first.

    `misbehave` says "" (forward it), "429", or "cut" (half of the body, then the connection is closed).
    """

    def __init__(self, target: Registry) -> None:
        self.target = target
        self.misbehave: Callable[[str, str, int], str] = lambda _method, _path, _size: ""
        self.rewrite: Callable[[str], str] = lambda path: path
        self.requests: list[tuple[str, str]] = []
        self.cuts = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                proxy.serve(self)

            def do_HEAD(self) -> None:
                proxy.serve(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.command, handler.path))
        connection = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=30)
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "host"}
        try:
            connection.request(handler.command, self.rewrite(handler.path), headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException):
            # The registry has just died; then the way to it has, too.
            connection.close()
            handler.close_connection = True
            return
        status, sent, body = answer.status, answer.getheaders(), answer.read()
        connection.close()
        what = self.misbehave(handler.command, handler.path, len(body))
        if what == "429":
            status, body = 429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}'
            sent = [("Retry-After", "1"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        handler.send_response(status)
        for name, value in sent:
            if name.lower() not in {"connection", "transfer-encoding", "date", "server"}:
                handler.send_header(name, value)
        handler.end_headers()
        if what == "cut":
            self.cuts += 1
            body = body[: len(body) // 2]
            handler.close_connection = True
        if handler.command == "GET":
            handler.wfile.write(body)
        handler.wfile.flush()
        if what == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def proxy(registry: Registry) -> Iterator[Proxy]:
    proxy = Proxy(registry)
    yield proxy
    proxy.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status in {200, 401}
    finally:
        connection.close()
