"""Downloads files with a pinned checksum: the official Airflow chart, and for `tools.py` programs."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from harness.errors import SupplyError, WaitAbandoned
from harness.supply.locks import KeyLocks
from harness.supply.pins import ChartPin, Download
from harness.wait import SYSTEM_CLOCK, Clock

_ATTEMPTS = 5
DOWNLOADS_FOLDER = "downloads"
_LONGEST_RETRY_AFTER = 120.0
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_TOO_MANY = 429
_GATEWAY = frozenset({502, 503, 504})


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
