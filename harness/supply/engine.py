"""The container engine: the one that answers, or one of our own.

An engine that answers is used as it is. Where none does, Docker is installed from the operating system's packages
(root on Debian only) and a daemon of our own is started: own socket, own data folder under the cache, no default
bridge, published ports on loopback only. Several runs share it: each holds a shared lock while it needs it, and the
last one stops it unless a cluster is kept.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from harness.assets import package_path
from harness.errors import CommandFailed, CommandTimeout, EngineError, HarnessError
from harness.model import Engine
from harness.process import Runner
from harness.supply.firewall import FilterState, clean_filter, filter_state
from harness.supply.runtime_shim import withheld
from harness.wait import Waiter

# What a Debian host needs besides what it has: the engine, and what its networks and our base images are made with.
DEBIAN_PACKAGES = ("docker.io", "iptables", "mmdebstrap")
_FIRST_CLIENT_WITHOUT_BUILDKIT = 23
_INSTALL_SECONDS = 600
_START_SECONDS = 60
_STOP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class EngineFolders:
    """Where an engine of our own keeps its things.

    Attributes:
        state: Socket, pid file, locks, log; small.
        data: Images and containers; large, part of the caches.
    """

    state: Path
    data: Path

    @property
    def socket(self) -> Path:
        """Its listening socket."""
        return self.state / "docker.sock"

    @property
    def pid_file(self) -> Path:
        """Where the daemon writes its process id."""
        return self.state / "docker.pid"


class EngineSupply:
    """Finds or starts a container engine."""

    def __init__(
        self,
        *,
        folders: EngineFolders,
        runner: Runner,
        waiter: Waiter,
        status: Callable[[str], None] = lambda _text: None,
        proc_status: Path = Path("/proc/self/status"),
    ) -> None:
        self._folders = folders
        self._runner = runner
        self._waiter = waiter
        self._status = status
        self._proc_status = proc_status
        self._lease: IO[str] | None = None

    def answering(self) -> Engine | None:
        """The engine that answers now: the machine's own, else ours from an earlier run; None if there is none."""
        for host, ours in (("", False), (f"unix://{self._folders.socket}", True)):
            if ours and not self._folders.socket.exists():
                continue
            engines = [
                Engine(docker=docker, host=host, ours=ours, version=version)
                for docker in _clients()
                if (version := self._server_version(docker, host)) is not None
            ]
            if engines:
                # Several clients may be installed; one may lack BuildKit where the next has it.
                return next((engine for engine in engines if self._has_buildkit(engine.docker)), engines[0])
        return None

    def acquire(self) -> Engine:
        """The engine for this run, started if none answers; hold it until `release`.

        Raises:
            EngineError: None answers and none can be started here.
        """
        self._folders.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._starting():
            engine = self.answering()
            if engine is None:
                self._install()
                engine = self.answering() or self._start()
            if engine.ours:
                self._lease = (self._folders.state / "lease").open("a+")
                fcntl.flock(self._lease, fcntl.LOCK_SH)
        return engine

    def release(self, *, keep: bool) -> None:
        """Let go of the engine; its last user stops it, unless something that needs it is kept.

        Raises:
            EngineError: It does not stop.
        """
        if self._lease is None:
            return
        lease, self._lease = self._lease, None
        with self._starting(), lease:
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # somebody else still uses it
            if not keep:
                self._stop()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """Only one run at a time decides whether the engine starts or stops."""
        with (self._folders.state / "starting").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _server_version(self, docker: Path, host: str) -> str | None:
        environment = {"DOCKER_HOST": host} if host else {}
        try:
            done = self._runner.run(
                [docker, "version", "--format", "{{.Server.Version}}"], env=environment, timeout=15, check=False
            )
        except CommandTimeout:
            return None
        return done.stdout.strip() if done.code == 0 and done.stdout.strip() else None

    def _has_buildkit(self, docker: Path) -> bool:
        """BuildKit is built into clients before 23.0 and a plug-in (buildx) from then on."""
        if self._runner.run([docker, "buildx", "version"], timeout=15, check=False).code == 0:
            return True
        client = self._runner.run([docker, "version", "--format", "{{.Client.Version}}"], timeout=15, check=False)
        major = client.stdout.split(".")[0]
        return major.isdigit() and int(major) < _FIRST_CLIENT_WITHOUT_BUILDKIT

    def _install(self) -> None:
        missing = [name for name in ("dockerd", "iptables", "mmdebstrap") if shutil.which(name, path=_path()) is None]
        if not missing:
            return
        advice = "start Docker, or run as root on Debian so that the harness can install its own"
        if os.geteuid() != 0:
            raise EngineError("no container engine answers, and installing one needs root", next_step=advice)
        if shutil.which("apt-get") is None:
            raise EngineError("no container engine answers, and this is not Debian (no apt-get)", next_step=advice)
        self._status(f"installing {', '.join(DEBIAN_PACKAGES)}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            self._runner.run(["apt-get", "update", "-q"], env=quiet, timeout=_INSTALL_SECONDS)
            self._runner.run(
                ["apt-get", "install", "-y", "-q", "--no-install-recommends", *DEBIAN_PACKAGES],
                env=quiet,
                timeout=_INSTALL_SECONDS,
            )
        except (CommandFailed, CommandTimeout) as error:
            raise EngineError(
                "no container engine answers, and installing one failed",
                next_step=advice,
                evidence={"apt-get": str(error)},
            ) from error

    def _start(self) -> Engine:
        self._status("starting a container engine of our own")
        folders = self._folders
        folders.data.mkdir(parents=True, exist_ok=True, mode=0o711)
        if not self._filter_file.exists():  # else an engine of ours was killed, and what is there now is its own
            self._filter_file.write_text(json.dumps(asdict(filter_state(self._runner))))
        configuration = folders.state / "daemon.json"
        configuration.write_text(json.dumps(self._configuration(), indent=1))
        log = folders.state / "dockerd.log"
        # A new log for a new daemon: the last words of an earlier one would be taken for its own.
        log.write_text("", encoding="utf-8")
        # dockerd does not go into the background by itself, and it must outlive this process when a cluster is kept.
        launcher = 'exec setsid "$0" --config-file "$1" >>"$2" 2>&1 </dev/null &'
        self._runner.run(["sh", "-c", launcher, "dockerd", configuration, log], env={"PATH": _path()}, timeout=30)

        def failed(_engine: Engine | None) -> str | None:
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            last = text.strip().splitlines()[-1] if text.strip() else ""
            return last if "failed to start daemon" in last else None

        try:
            engine = self._waiter.until(
                "our container engine to answer",
                self.answering,
                ready=lambda found: found is not None,
                failed=failed,
                describe=lambda found: "answers" if found else "does not answer yet",
                timeout=_START_SECONDS,
                interval=0.3,
            )
        except HarnessError as error:
            self._stop()
            raise EngineError(
                "the container engine that the harness started does not answer",
                evidence={"why": error.message, "log": str(log)},
                next_step="read the log; on hosts that forbid containers use a machine with Docker",
            ) from error
        if engine is None:
            raise EngineError("the container engine vanished", evidence={"log": str(log)})
        return engine

    def _configuration(self) -> dict[str, object]:
        folders = self._folders
        configuration: dict[str, object] = {
            "data-root": str(folders.data),
            "exec-root": str(folders.state / "exec"),
            "pidfile": str(folders.pid_file),
            "hosts": [f"unix://{folders.socket}"],
            "storage-driver": "overlay2",
            # No docker0 and nothing published beyond loopback: clusters bring networks of their own.
            "bridge": "none",
            "ip": "127.0.0.1",
            "features": {"buildkit": True},
            "live-restore": False,
            "log-driver": "json-file",
            "log-opts": {"max-size": "10m", "max-file": "2"},
        }
        if withheld(self._proc_status.read_text(encoding="utf-8")):
            shim = folders.state / "runc-without-withheld-capabilities"
            source = package_path("supply", "runtime_shim.py").read_text(encoding="utf-8")
            # Not the interpreter of a virtual environment: the engine may outlive it.
            shim.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{source}", encoding="utf-8")
            shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
            configuration |= {"default-runtime": "harness", "runtimes": {"harness": {"path": str(shim)}}}
        return configuration

    @property
    def _filter_file(self) -> Path:
        """How the packet filter was before our engine started."""
        return self._folders.state / "packet-filter.json"

    def _stop(self) -> None:
        self._stop_daemon()
        if self._filter_file.exists():
            clean_filter(self._runner, FilterState(**json.loads(self._filter_file.read_text())))
            self._filter_file.unlink()

    def _stop_daemon(self) -> None:
        pid_file = self._folders.pid_file
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text())
        if not _is_ours(pid, self._folders.state):
            # Of a machine that has restarted since: the number is somebody else's now.
            pid_file.unlink()
            return
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pid_file.unlink(missing_ok=True)
            return
        try:
            self._waiter.until(
                "our container engine to stop",
                lambda: _alive(pid),
                ready=lambda alive: not alive,
                describe=lambda alive: f"process {pid} " + ("runs" if alive else "is gone"),
                timeout=_STOP_SECONDS,
                interval=0.2,
            )
        except HarnessError as error:
            raise EngineError(
                f"the container engine (process {pid}) does not stop",
                next_step=f"kill {pid}",
                evidence={"log": str(self._folders.state / "dockerd.log")},
            ) from error


def _is_ours(pid: int, state: Path) -> bool:
    """Whether that process is the daemon which was started with our configuration."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(state / "daemon.json").encode() in words


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _path() -> str:
    """PATH with the folders where Debian puts daemons."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _clients() -> list[Path]:
    """Every `docker` on PATH, in order."""
    found: list[Path] = []
    for folder in _path().split(os.pathsep):
        candidate = Path(folder) / "docker"
        if os.access(candidate, os.X_OK) and candidate.is_file() and candidate.resolve() not in found:
            found.append(candidate.resolve())
    return found
