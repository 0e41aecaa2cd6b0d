"""Runs `harness run` as a reader would, in folders of its own, and looks at what is left afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.errors import ExitCode

INSTALLED: Final = (sys.executable, "-m", "harness.cli")
_CHECKOUT = Path(__file__).parents[3]
# Above what a busy machine with two cores takes, far below what a cluster or an image takes.
_SECONDS = 25.0
# What a run that never had a cluster leaves, by design: how long phases took, and the locks of the engine's folder.
_STAYS = ("state/usual-times.json", "state/engine/")


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: Its exit code.
        text: Everything it printed.
        home: The folder that it had for its own.
    """

    code: int
    text: str
    home: Path

    def says(self, *parts: str) -> None:
        """Each of these stands in what was printed, and a next step."""
        missing = [part for part in (*parts, "next: ") if part not in self.text]
        assert not missing, f"{missing} not in:\n{self.text}"

    def ended_as(self, code: ExitCode) -> None:
        assert self.code == code, self.text

    def started_nothing(self) -> None:
        """No engine was looked for: what is wrong was found before."""
        assert "container engine" not in self.text, self.text


@dataclass
class FrontDoor:
    """The `harness` command with folders of its own.

    Attributes:
        home: Holds them; the working directory of the command, too.
        env: Further variables.
        before: What the command is run through.
        program: The command, or one that does the same.
    """

    home: Path
    env: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    program: tuple[str | Path, ...] = INSTALLED

    def run(self, *flags: str | Path) -> Ended:
        return self.verb("run", *flags)

    def verb(self, verb: str, *flags: str | Path) -> Ended:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.home),
            "HARNESS_STATE_DIR": str(self.home / "state"),
            "HARNESS_CACHE_DIR": str(self.home / "cache"),
            **self.env,
        }
        # What is run through another program is not what that leaves alone: a server's child.
        command = [*self.before, *(INSTALLED if self.before else self.program), verb, *map(str, flags)]
        begun = time.monotonic()
        done = subprocess.run(
            command,
            check=False,
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=4 * _SECONDS,
            text=True,
        )
        took = time.monotonic() - begun
        assert took < _SECONDS, f"{took:.0f} s:\n{done.stdout}"
        assert "Traceback" not in done.stdout, done.stdout
        self._left_nothing(done.stdout)
        return Ended(done.returncode, done.stdout, self.home)

    def _left_nothing(self, text: str) -> None:
        files = [
            path.relative_to(self.home).as_posix()
            for folder in ("state", "cache")
            for path in (self.home / folder).rglob("*")
            if not path.is_dir()
        ]
        left = [name for name in files if not name.startswith(_STAYS)]
        assert left == [], f"{left}\n{text}"
        runs = list((self.home / "state" / "runs").glob("*"))
        assert runs == [], f"{runs}\n{text}"
        assert processes_with(f"HARNESS_STATE_DIR={self.home / 'state'}") == []


def processes_with(variable: str) -> list[str]:
    """Command lines of processes that have that variable in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (OSError, UnicodeDecodeError):
            continue  # it has ended, or is somebody else's
    return found
