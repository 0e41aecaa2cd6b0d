"""Real servers on loopback for the contract tests: TLS by a throw-away CA, real git, programs as they run in a pod."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import harness.services.apps
from harness.process import Completed, SubprocessRunner
from harness.settings import Settings, settings_alone
from harness.wait import Waiter

APPS = Path(harness.services.apps.__file__).parent
WRITER, READER, ADMIN = ("airflow", "w-token@:/"), ("viewer", "r-token"), ("harness-admin", "a-token")
User = tuple[str, str]


@dataclass(frozen=True)
class Authority:
    """A CA and a server certificate for loopback."""

    ca: Path
    folder: Path  # tls.crt and tls.key, as a TLS secret is mounted


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    now = dt.datetime.now(dt.UTC)

    def certificate(
        subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(hours=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if not ca:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = folder / "ca.crt"
    ca.write_bytes(certificate("throw-away CA", root, "throw-away CA", root, ca=True))
    (folder / "tls.crt").write_bytes(certificate("localhost", leaf, "throw-away CA", root, ca=False))
    (folder / "tls.key").write_bytes(
        leaf.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Authority(ca=ca, folder=folder)


@dataclass
class Program:
    """One of the apps as a process of its own."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        if self.process.stdout is not None:
            self.lines.extend(iter(self.process.stdout.readline, ""))
            self.process.stdout.close()
        self._ended.set()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def ended(self, timeout: float = 20) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(timeout)
        assert self._ended.wait(5), "its output stayed open"
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.ended()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.ended()
            raise


class Start(Protocol):
    def __call__(self, app: str, environment: Mapping[str, str]) -> Program: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an app as its image does: `python3 -m <app>`, with nothing else in its environment."""
    programs: list[Program] = []

    def run(app: str, environment: Mapping[str, str]) -> Program:
        whole = {"PATH": os.environ["PATH"], "PYTHONPATH": str(APPS), "PYTHONUNBUFFERED": "1", **environment}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", app],
            env=whole,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        programs.append(Program(process))
        return programs[-1]

    yield run
    for program in programs:
        program.stop(signal.SIGKILL)


@dataclass(frozen=True)
class GitServer:
    """A running git_server with the repository mlops.git."""

    program: Program
    port: int
    root: Path
    users: Path
    ca: Path

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.address}/mlops.git"

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.program.output.splitlines()]


@pytest.fixture
def git_server(start: Start, authority: Authority, tmp_path: Path) -> GitServer:
    users, root = tmp_path / "users", tmp_path / "git"
    users.mkdir()
    root.mkdir()
    for role, (name, token) in {"writer": WRITER, "reader": READER, "admin": ADMIN}.items():
        (users / f"{role}.{name}").write_text(token + "\n")
    program = start(
        "git_server",
        {
            "GIT_SERVER_LISTEN": "127.0.0.1:0",
            "GIT_SERVER_ROOT": str(root),
            "GIT_SERVER_USERS": str(users),
            "GIT_SERVER_TLS": str(authority.folder),
        },
    )
    line = Waiter().until(
        "the Git server's first line", lambda: program.lines[:1], ready=bool, timeout=20, interval=0.02
    )[0]
    return GitServer(program, int(json.loads(line)["address"].rpartition(":")[2]), root, users, authority.ca)


class Git:
    """git as a client, with no configuration but what is given here."""

    def __init__(self, home: Path, ca: Path) -> None:
        self._home = home
        self._ca = ca
        self.runner = SubprocessRunner(env={"PATH": os.environ["PATH"]})

    def __call__(
        self, *arguments: str | Path, user: User | None = WRITER, cwd: Path | None = None, check: bool = True
    ) -> Completed:
        environment = {
            "HOME": str(self._home),
            "GIT_SSL_CAINFO": str(self._ca),
            "GIT_SSL_CAPATH": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.invalid",
            "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.invalid",
        }  # fmt: skip
        if user is not None:
            environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "credential.helper",
                "GIT_CONFIG_VALUE_0": '!f() { echo "username=$TEST_USER"; echo "password=$TEST_TOKEN"; }; f',
                "TEST_USER": user[0],
                "TEST_TOKEN": user[1],
            }
        return self.runner.run(["git", *arguments], env=environment, cwd=cwd, check=check, timeout=60)

    def commit(self, folder: Path, name: str, content: bytes) -> str:
        """Write a file, commit it, and tell the commit's SHA."""
        (folder / name).write_bytes(content)
        self("add", "--all", cwd=folder)
        self("commit", "--quiet", "--message", f"Change {name}", cwd=folder)
        return self("rev-parse", "HEAD", cwd=folder).stdout.strip()


@pytest.fixture
def git(tmp_path: Path, authority: Authority) -> Git:
    if shutil.which("git") is None:
        pytest.fail("these tests need git on PATH")
    home = tmp_path / "home"
    home.mkdir()
    return Git(home, authority.ca)


@pytest.fixture
def seeded(git: Git, git_server: GitServer, tmp_path: Path) -> Path:
    """A clone whose first commit has been pushed to main."""
    clone = tmp_path / "seeded"
    git("clone", "--quiet", git_server.url, clone)
    git.commit(clone, "README", b"one\n")
    git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
    return clone


@pytest.fixture
def foreign(git: Git, git_server: GitServer, seeded: Path) -> GitServer:
    """A server with a branch `main`, that lets its users remove branches; as others do."""
    git("config", "receive.denyDeletes", "false", cwd=git_server.root / "mlops.git")
    return git_server


@pytest.fixture
def settings(foreign: GitServer, tmp_path: Path) -> Settings:
    """Of a run, or a sweep, that has its branch there."""
    git = {"remote": foreign.url, "username": WRITER[0], "token": WRITER[1], "ca_file": foreign.ca}
    return settings_alone(git=git, state_dir=tmp_path / "state")


@pytest.fixture
def wait() -> Callable[..., object]:
    """Wait for a condition to become true."""

    def until(what: str, probe: Callable[[], object], *, timeout: float = 20) -> object:
        return Waiter().until(what, probe, ready=bool, timeout=timeout, interval=0.05)

    return until


def run_all(actions: Sequence[Callable[[], object]]) -> list[BaseException]:
    """Run actions at once; the errors that came of it."""
    errors: list[BaseException] = []

    def guarded(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
