"""What `harness doctor` may ask of the machine: the seam that its unit tests replace."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.errors import HarnessError
from harness.process import Runner, which

_COMMAND_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said.

    Attributes:
        code: Exit code; None if it could not be run or did not end.
        text: Its output, or why it could not be run.
    """

    code: int | None
    text: str

    @property
    def well(self) -> bool:
        """Whether it ran and ended well."""
        return self.code == 0


class Host(Protocol):
    """A machine."""

    def read(self, path: str) -> str | None:
        """The content of a text file; None if it cannot be read."""

    def run(self, argv: Sequence[str]) -> Answer:
        """Run a program; never raises."""

    def has(self, program: str) -> bool:
        """Whether that program is on PATH."""

    def free_bytes(self, folder: Path) -> int:
        """What the user may still write to the disk under a folder, which need not exist yet."""

    def not_writable(self, folder: Path) -> str:
        """Why nothing can be written into a folder, which need not exist yet; empty if something can."""

    def bind_loopback(self, ports: Sequence[int]) -> dict[int, str]:
        """Why each of these ports on 127.0.0.1 cannot be listened on (0: any port); those that can are left out."""

    def modified(self, path: Path) -> float | None:
        """When a file was last written, seconds since the epoch; None if there is none."""

    @property
    def now(self) -> float:
        """The clock, seconds since the epoch."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment."""

    @property
    def is_root(self) -> bool:
        """Whether the user is root."""

    @property
    def cpus(self) -> int:
        """How many processors the process may use."""

    @property
    def python(self) -> tuple[int, int]:
        """Version of this Python."""


@dataclass(frozen=True, slots=True)
class LocalHost:
    """This machine.

    Attributes:
        runner: Runs its programs.
        environ: The environment.
    """

    runner: Runner
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def read(self, path: str) -> str | None:
        """See `Host.read`."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def run(self, argv: Sequence[str]) -> Answer:
        """See `Host.run`."""
        try:
            done = self.runner.run(argv, check=False, timeout=_COMMAND_SECONDS)
        except HarnessError as error:
            return Answer(None, error.message)
        return Answer(done.code, (done.stdout if done.code == 0 else done.stderr or done.stdout).strip())

    def has(self, program: str) -> bool:
        """See `Host.has`."""
        return which(program) is not None

    def free_bytes(self, folder: Path) -> int:
        """See `Host.free_bytes`."""
        return shutil.disk_usage(_nearest(folder)).free

    def not_writable(self, folder: Path) -> str:
        """See `Host.not_writable`."""
        there = _nearest(folder)
        if not there.is_dir():
            return f"{there} is no folder"
        return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written to"

    def bind_loopback(self, ports: Sequence[int]) -> dict[int, str]:
        """See `Host.bind_loopback`."""
        refused = {}
        for port in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
                try:
                    listener.bind(("127.0.0.1", port))
                    listener.listen(1)
                except OSError as error:
                    refused[port] = error.strerror or str(error)
        return refused

    def modified(self, path: Path) -> float | None:
        """See `Host.modified`."""
        try:
            return path.stat().st_mtime
        except OSError:
            return None

    @property
    def now(self) -> float:
        """See `Host.now`."""
        return time.time()

    @property
    def is_root(self) -> bool:
        """See `Host.is_root`."""
        return os.geteuid() == 0

    @property
    def cpus(self) -> int:
        """See `Host.cpus`."""
        return len(os.sched_getaffinity(0))

    @property
    def python(self) -> tuple[int, int]:
        """See `Host.python`."""
        return sys.version_info[0], sys.version_info[1]


def _nearest(folder: Path) -> Path:
    """What there is of a path."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
