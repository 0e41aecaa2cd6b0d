"""What the registry supply downloads, each with a pinned checksum.

That is the official Airflow chart, and kind, helm and kubectl where PATH has none that is new enough.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import ssl
import stat
import tarfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from harness.errors import CommandFailed, CommandTimeout, SupplyError, UsageError, WaitAbandoned
from harness.process import Runner, which
from harness.supply.locks import LOCKS_FOLDER, KeyLocks
from harness.supply.pins import ChartPin, Download, ToolName, ToolPin, pins
from harness.wait import SYSTEM_CLOCK, Clock

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_VERSION_COMMANDS: dict[ToolName, tuple[str, ...]] = {
    "kind": ("version",),
    "helm": ("version", "--short"),
    "kubectl": ("version", "--client"),
}
# Not the "go1.24.0" that follows in what kind says.
_VERSION = re.compile(r"(?<![\w.])v?(\d+)\.(\d+)\.(\d+)")
_ATTEMPTS = 5
DOWNLOADS_FOLDER = "downloads"
_LONGEST_RETRY_AFTER = 120.0
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_TOO_MANY = 429
_GATEWAY = frozenset({502, 503, 504})


def this_platform() -> str:
    """This machine as `registry-images.toml` names it, such as "linux-amd64"."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


def default_client(ca_bundle: Path | None = None) -> httpx.Client:
    """A client with the machine's proxies and certificate authorities."""
    context = ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)
    return httpx.Client(follow_redirects=True, timeout=_TIMEOUT, verify=context)


class DownloadFailed(SupplyError):
    """A file could not be had from where it is: unlike one that is not what was expected, nothing is wrong with it."""


class _Interrupted(Exception):
    """A download that may go on where it stopped."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Downloader:
    """Downloads files whose checksum is known.

    Attributes:
        folder: Where files are put.
        client: Downloads.
        status: Told how far a download is.
        clock: Time for the pauses between retries.
        given_up: Whether the file is not needed any more; ends a download within seconds.
    """

    folder: Path
    client: httpx.Client
    status: Callable[[str], None] = lambda _text: None
    clock: Clock = SYSTEM_CLOCK
    given_up: Callable[[], bool] = lambda: False

    def fetch(self, download: Download, name: str, *, title: str, advice: str) -> Path:
        """The file, whole and checked; an interrupted one goes on where it stopped.

        Args:
            download: What.
            name: Of it, for the reader.
            title: Name and version.
            advice: What to do where it cannot be had.

        Raises:
            DownloadFailed: It cannot be had from there.
            SupplyError: What came is something else.
            WaitAbandoned: It is not needed any more.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{download.sha256}.part"

        def report(state: RetryCallState) -> None:
            why = state.outcome.exception() if state.outcome else None
            self.status(f"{name}: {why}; trying again in {state.upcoming_sleep:.0f} s ({state.attempt_number})")

        retrying = Retrying(
            retry=retry_if_exception_type(_Interrupted),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_pause,
            sleep=self.clock.sleep,
            before_sleep=report,
            reraise=True,
        )
        try:
            retrying(self._transfer, download, part, name, advice)
        except _Interrupted as error:
            raise DownloadFailed(
                f"{name} could not be downloaded: {error}", evidence={"from": download.url}, next_step=advice
            ) from error
        found = hashlib.sha256(part.read_bytes()).hexdigest()
        if found != download.sha256:
            part.unlink()
            raise SupplyError(
                f"what {download.url} sent is not {title}",
                evidence={"expected sha256": download.sha256, "found sha256": found},
                next_step=f"find out what stands between here and there; or {advice}",
            )
        return part

    def _transfer(self, download: Download, part: Path, name: str, advice: str) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            with self.client.stream("GET", download.url, headers=headers) as answer:
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return  # it was whole already; the checksum tells
                self._refused(answer, download, name, advice)
                # A server without ranges sends it all again.
                resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
                total = int(answer.headers.get("content-length", 0)) + (have if resumed else 0)
                done = have if resumed else 0
                with part.open("ab" if resumed else "wb") as out:
                    for chunk in answer.iter_bytes():
                        if self.given_up():
                            raise WaitAbandoned(what=f"the download of {name}", reason="something else has failed")
                        out.write(chunk)
                        done += len(chunk)
                        self.status(f"{name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")
        except httpx.TransportError as error:
            raise _Interrupted(f"{type(error).__name__}: {error}") from error

    def _refused(self, answer: httpx.Response, download: Download, name: str, advice: str) -> None:
        if answer.status_code == _TOO_MANY or answer.status_code in _GATEWAY:
            asked = answer.headers.get("retry-after", "")
            after = float(asked) if asked.isdigit() else None
            if after is None or after <= _LONGEST_RETRY_AFTER:
                raise _Interrupted(f"HTTP {answer.status_code}", after)
        if not answer.is_success:
            raise DownloadFailed(
                f"{name} could not be downloaded: HTTP {answer.status_code}",
                evidence={"from": download.url},
                next_step=advice,
            )


@dataclass(slots=True)
class ToolSupply:
    """Has programs.

    Attributes:
        runner: Asks programs for their version.
        cache_dir: `tools/` and `downloads/` are below it.
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
        fresh = program.with_name(f"{program.name}.{uuid.uuid4().hex}.new")
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
        supply = ToolSupply(runner=runner, cache_dir=cache_dir, client=nothing_is_sent)
        return tuple(download.url for pin in pins().tools.values() if (download := supply.needs(pin)) is not None)


@dataclass(frozen=True, slots=True)
class ChartSupply:
    """Has the official Airflow chart.

    Attributes:
        downloader: Downloads it; kept in its folder.
        locks: One per file.
    """

    downloader: Downloader
    locks: KeyLocks

    def get(self, pin: ChartPin) -> Path:
        """Its archive.

        Raises:
            DownloadFailed: It cannot be had from where it is.
            SupplyError: What came is something else.
            WaitAbandoned: It is not needed any more.
        """
        title = f"the official Airflow chart {pin.version}"
        archive = self.downloader.folder / f"airflow-{pin.version}.tgz"
        with self.locks.holding(f"download-{pin.download.sha256}", f"downloading {title}"):
            if not archive.is_file():
                fetched = self.downloader.fetch(
                    pin.download, "the Airflow chart", title=title, advice="give the chart with --airflow-chart"
                )
                fetched.replace(archive)
        return archive


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Interrupted) and error.retry_after is not None:
        return error.retry_after
    return float(2 ** (state.attempt_number - 1))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
