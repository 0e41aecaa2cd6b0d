"""A Docker daemon of our own: configured, started, found again by its configuration, stopped.

Its socket, process id and log are in one folder, and no other process has that folder's configuration file on its
command line: by this it is told from every other daemon, whatever process id a file may name.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from harness.assets import package_path
from harness.errors import EngineError, HarnessError
from harness.orphans import UNMARKED
from harness.process import Runner
from harness.supply.debian import program_path
from harness.supply.firewall import FilterState, clean_filter, filter_state
from harness.supply.remains import clear_remains
from harness.supply.runtime_shim import withheld
from harness.wait import Waiter

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

    @classmethod
    def below(cls, state_dir: Path, cache_dir: Path) -> Self:
        """Those of the harness, by where it keeps what it remembers and what can be had again."""
        return cls(state_dir / "engine", cache_dir / "engine" / "data")

    @property
    def socket(self) -> Path:
        """Its listening socket."""
        return self.state / "docker.sock"

    @property
    def host(self) -> str:
        """Its address as DOCKER_HOST takes it."""
        return f"unix://{self.socket}"

    @property
    def pid_file(self) -> Path:
        """Where the daemon writes its process id."""
        return self.state / "docker.pid"

    @property
    def configuration(self) -> Path:
        """What it was started with."""
        return self.state / "daemon.json"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.state / "dockerd.log"


@dataclass(frozen=True, slots=True)
class OwnDaemon:
    """The daemon of one state folder. Whoever starts or stops it holds the lock of that folder.

    Attributes:
        folders: Its things.
        runner: Starts it, and cleans the packet filter.
        waiter: For its end; not one that gives up when a run does.
        proc_status: What this process may, as Linux tells.
    """

    folders: EngineFolders
    runner: Runner
    waiter: Waiter
    proc_status: Path = Path("/proc/self/status")

    def pid(self) -> int | None:
        """Its process, or None if it does not run: by its configuration file, also before it wrote its pid file."""
        wanted = str(self.folders.configuration).encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended, or is somebody else's
            if wanted in words and b"dockerd" in {Path(os.fsdecode(word)).name.encode() for word in words}:
                return int(folder.name)
        return None

    def start(self) -> None:
        """Start it; it may take a while to answer, or fail to.

        Raises:
            CommandFailed: It could not even be launched.
        """
        folders = self.folders
        folders.data.mkdir(parents=True, exist_ok=True, mode=0o711)
        if not self._filter_file.exists():  # else an engine of ours was killed, and what is there now is its own
            self._filter_file.write_text(json.dumps(asdict(filter_state(self.runner))))
        folders.configuration.write_text(json.dumps(self._configuration(), indent=1))
        # A new log for a new daemon: the last words of an earlier one would be taken for its own.
        folders.log.write_text("", encoding="utf-8")
        # dockerd does not go into the background by itself, and it must outlive this process when a cluster is kept.
        launcher = 'exec setsid "$0" --config-file "$1" >>"$2" 2>&1 </dev/null &'
        command: list[str | Path] = ["sh", "-c", launcher, "dockerd", folders.configuration, folders.log]
        self.runner.run(command, env={"PATH": program_path(), **UNMARKED}, timeout=30)

    def gave_up(self) -> str | None:
        """Why it failed to start, in its own words; None if it says nothing of the kind."""
        text = self.folders.log.read_text(encoding="utf-8", errors="replace") if self.folders.log.exists() else ""
        last = text.strip().splitlines()[-1] if text.strip() else ""
        return last if "failed to start daemon" in last else None

    def stop(self) -> None:
        """Stop it, and remove what it leaves in the packet filter, or what it has left if it was killed.

        Raises:
            EngineError: It does not stop, or what ran in it does not end.
        """
        pid = self.pid()
        if pid is not None:
            self._end(pid)
        self.folders.pid_file.unlink(missing_ok=True)  # of one that was killed; the number is somebody else's by now
        self.folders.socket.unlink(missing_ok=True)
        clear_remains(self.folders.data, self.folders.state / "exec", runner=self.runner)
        if self._filter_file.exists():
            clean_filter(self.runner, FilterState(**json.loads(self._filter_file.read_text())))
            self._filter_file.unlink()

    @property
    def unclean(self) -> bool:
        """Whether it was started and not stopped: it runs, or it was killed and has left things."""
        return self._filter_file.exists() or self.folders.pid_file.exists()

    @property
    def _filter_file(self) -> Path:
        """How the packet filter was before our engine started."""
        return self.folders.state / "packet-filter.json"

    def _end(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        try:
            self.waiter.until(
                "our container engine to stop",
                self.pid,
                ready=lambda alive: alive is None,
                describe=lambda alive: f"process {alive} runs" if alive else f"process {pid} is gone",
                timeout=_STOP_SECONDS,
                interval=0.2,
            )
        except HarnessError as error:
            raise EngineError(
                f"the container engine (process {pid}) does not stop",
                next_step=f"kill {pid}",
                evidence={"log": str(self.folders.log)},
            ) from error

    def _configuration(self) -> dict[str, object]:
        folders = self.folders
        configuration: dict[str, object] = {
            "data-root": str(folders.data),
            "exec-root": str(folders.state / "exec"),
            "pidfile": str(folders.pid_file),
            "hosts": [folders.host],
            "storage-driver": "overlay2",
            # No docker0 and nothing published beyond loopback: clusters bring networks of their own.
            "bridge": "none",
            "ip": "127.0.0.1",
            "features": {"buildkit": True},
            "live-restore": False,
            "log-driver": "json-file",
            "log-opts": {"max-size": "10m", "max-file": "2"},
        }
        if withheld(self.proc_status.read_text(encoding="utf-8")):
            shim = folders.state / "runc-without-withheld-capabilities"
            source = package_path("supply", "runtime_shim.py").read_text(encoding="utf-8")
            # Not the interpreter of a virtual environment: the engine may outlive it.
            shim.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{source}", encoding="utf-8")
            shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
            configuration |= {"default-runtime": "harness", "runtimes": {"harness": {"path": str(shim)}}}
        return configuration
