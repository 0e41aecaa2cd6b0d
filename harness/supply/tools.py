"""The programs of the registry supply: kind, helm and kubectl, downloaded where PATH has none that is new enough."""

from __future__ import annotations

import platform
import re
import shutil
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from harness.errors import CommandFailed, CommandTimeout, SupplyError, UsageError
from harness.process import Runner, which
from harness.supply.downloads import DOWNLOADS_FOLDER, Downloader
from harness.supply.locks import LOCKS_FOLDER, KeyLocks
from harness.supply.pins import Download, ToolName, ToolPin, pins
from harness.wait import SYSTEM_CLOCK, Clock

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_VERSION_COMMANDS: dict[ToolName, tuple[str, ...]] = {
    "kind": ("version",),
    "helm": ("version", "--short"),
    "kubectl": ("version", "--client"),
}
# Not the "go1.24.0" that follows in what kind says.
_VERSION = re.compile(r"(?<![\w.])v?(\d+)\.(\d+)\.(\d+)")


def this_platform() -> str:
    """This machine as `registry-images.toml` names it, such as "linux-amd64"."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


@dataclass(slots=True)
class ToolSupply:
    """Has programs.

    Attributes:
        runner: Asks programs for their version.
        cache_dir: `tools/` and `downloads/` are below it.
        drafts: Folder for what is half made, on the same file system.
        client: Downloads.
        status: Told where a program comes from and how far a download is.
        clock: Time for the pauses between retries.
        platform: Such as "linux-amd64".
        path: Where programs are looked for; None for PATH.
        locks: One per program; None for some that tell nothing of the run.
        given_up: Whether the program is not needed any more; ends a download within seconds.
    """

    runner: Runner
    cache_dir: Path
    drafts: Path
    client: httpx.Client
    status: Callable[[str], None] = lambda _text: None
    clock: Clock = SYSTEM_CLOCK
    platform: str = field(default_factory=this_platform)
    path: str | None = None
    locks: KeyLocks | None = None
    given_up: Callable[[], bool] = lambda: False

    def get(self, pin: ToolPin) -> Path:
        """The program.

        Raises:
            SupplyError: It is neither on PATH in a version that will do nor to be downloaded.
            WaitAbandoned: It is not needed any more.
        """
        found, unfit = self._on_path(pin)
        if found is not None:
            self.status(f"{pin.name} from {found}")
            return found
        program = self._program(pin)
        if program.is_file():
            return program
        download = pin.downloads.get(self.platform)
        if download is None:
            raise SupplyError(
                f"{pin.name} cannot be had: {unfit}, and no checksum of it is pinned for {self.platform}",
                next_step=f"install {pin.name} {pin.version} and put it on PATH",
            )
        locks = self.locks or KeyLocks(self.cache_dir / LOCKS_FOLDER, status=self.status)
        with locks.holding(f"download-{download.sha256}", f"downloading {pin.name} {pin.version}"):
            if not program.is_file():  # else whoever had the lock before has downloaded it
                self.status(f"{pin.name}: {unfit}; downloading {pin.version}")
                downloader = Downloader(
                    self.cache_dir / DOWNLOADS_FOLDER, self.client, self.status, self.clock, self.given_up
                )
                advice = f"put {pin.name} {pin.version} on PATH, or use --supply packages"
                title = f"{pin.name} {pin.version}"
                self._install(downloader.fetch(download, pin.name, title=title, advice=advice), download, program)
        return program

    def needs(self, pin: ToolPin) -> Download | None:
        """What would have to be downloaded; None where the program is here already, or can be had nowhere."""
        if self._program(pin).is_file() or self._on_path(pin)[0] is not None:
            return None
        return pin.downloads.get(self.platform)

    def _program(self, pin: ToolPin) -> Path:
        return self.cache_dir / "tools" / f"{pin.name}-{pin.version}-{self.platform}" / pin.name

    def _on_path(self, pin: ToolPin) -> tuple[Path | None, str]:
        """The program on PATH if its version will do, and else why not."""
        found = which(pin.name, path=self.path)
        if found is None:
            return None, "it is not on PATH"
        version = self._version(found, pin.name)
        if version is not None and _number(pin.at_least) <= version < _number(pin.below):
            return found, ""
        says = _dotted(version) if version else "no version"
        return None, f"{found} says {says}; {pin.at_least} or newer and below {pin.below} will do"

    def _version(self, program: Path, name: ToolName) -> tuple[int, ...] | None:
        try:
            done = self.runner.run([program, *_VERSION_COMMANDS[name]], timeout=20, check=False)
        except (CommandFailed, CommandTimeout, UsageError):
            return None  # whatever this program is, it is not the one that is looked for
        found = _VERSION.search(done.stdout)
        return tuple(int(part) for part in found.groups()) if done.code == 0 and found else None

    def _install(self, fetched: Path, download: Download, program: Path) -> None:
        """Put the checked file where programs are; it is executable only from here on."""
        program.parent.mkdir(parents=True, exist_ok=True)
        self.drafts.mkdir(parents=True, exist_ok=True)
        fresh = self.drafts / program.parent.name
        if download.member is None:
            shutil.copyfile(fetched, fresh)
        else:
            with tarfile.open(fetched, mode="r:gz") as archive:
                inside = archive.extractfile(download.member)
                if inside is None:
                    raise SupplyError(f"{download.url} holds no file {download.member}")
                with inside, fresh.open("wb") as out:
                    shutil.copyfileobj(inside, out)
        fresh.chmod(fresh.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        fresh.replace(program)
        fetched.unlink()


def needed_downloads(runner: Runner, cache_dir: Path) -> tuple[str, ...]:
    """URLs of the programs that the registry supply would have to download on this machine."""
    with httpx.Client() as nothing_is_sent:
        supply = ToolSupply(runner=runner, cache_dir=cache_dir, drafts=cache_dir, client=nothing_is_sent)
        return tuple(download.url for pin in pins().tools.values() if (download := supply.needs(pin)) is not None)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
