"""Programs: from PATH when they will do, else downloaded, checked, and only then executable."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from harness.errors import SupplyError, WaitAbandoned
from harness.process import SubprocessRunner
from harness.supply.pins import Download, ToolPin
from harness.supply.tools import ToolSupply
from harness.wait import SYSTEM_CLOCK
from tests.fakes import Clock

_BYTES = os.urandom(300_000)


def pin(content: bytes = _BYTES, member: str | None = None) -> ToolPin:
    download = Download("https://downloads.example/v1.5.0/kind", hashlib.sha256(content).hexdigest(), member)
    return ToolPin("kind", "1.5.0", at_least="1.4.0", below="2.0.0", downloads={"linux-amd64": download})


def supply(tmp_path: Path, answer: Callable[[httpx.Request], httpx.Response], clock: Clock | None = None) -> ToolSupply:
    return ToolSupply(
        runner=SubprocessRunner(),
        cache_dir=tmp_path / "cache",
        drafts=tmp_path / "cache" / "drafts",
        client=httpx.Client(transport=httpx.MockTransport(answer)),
        clock=clock or Clock(),
        platform="linux-amd64",
        path=str(tmp_path / "bin"),
    )


def on_path(tmp_path: Path, version: str, code: int = 0) -> Path:
    program = tmp_path / "bin" / "kind"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\necho 'kind {version} go1.24.0 linux/amd64'\nexit {code}\n")
    program.chmod(0o755)
    return program


def no_network(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"asked for {request.url}")


def whole(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=_BYTES)


@pytest.mark.parametrize("version", ["v1.4.0", "v1.5.3", "v1.99.0-alpha"])
def test_a_program_on_path_that_is_new_enough_is_used(tmp_path: Path, version: str) -> None:
    program = on_path(tmp_path, version)
    assert supply(tmp_path, no_network).get(pin()) == program


@pytest.mark.parametrize(("version", "code"), [("v1.3.9", 0), ("v2.0.0", 0), ("nonsense", 0), ("v1.5.0", 1)])
def test_a_program_on_path_that_will_not_do_is_replaced_by_a_download(tmp_path: Path, version: str, code: int) -> None:
    on_path(tmp_path, version, code)
    program = supply(tmp_path, whole).get(pin())
    assert program.read_bytes() == _BYTES
    assert os.access(program, os.X_OK)


def test_what_path_or_the_cache_has_needs_no_download(tmp_path: Path) -> None:
    tools = supply(tmp_path, whole)
    assert tools.needs(pin()) == pin().downloads["linux-amd64"]
    tools.get(pin())
    assert tools.needs(pin()) is None
    newer = replace(pin(), version="1.6.0")
    assert tools.needs(newer) is not None
    on_path(tmp_path, "v1.5.0")
    assert tools.needs(newer) is None


def test_a_download_is_made_once(tmp_path: Path) -> None:
    first = supply(tmp_path, whole).get(pin())
    assert supply(tmp_path, no_network).get(pin()) == first


def test_a_download_with_another_checksum_is_refused_and_never_executable(tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match="is not kind") as caught:
        supply(tmp_path, whole).get(pin(b"something else"))
    assert "found sha256" in caught.value.evidence
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_without_a_checksum_for_this_platform_the_program_must_come_from_path(tmp_path: Path) -> None:
    tools = supply(tmp_path, no_network)
    tools.platform = "plan9-mips"
    with pytest.raises(SupplyError, match="no checksum of it is pinned for plan9-mips") as caught:
        tools.get(pin())
    assert "put it on PATH" in caught.value.next_step


class _Cut(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield _BYTES[:100_000]
        raise httpx.ReadError("cut")


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    ranges: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        ranges.append(request.headers.get("range"))
        if len(ranges) == 1:
            return httpx.Response(200, stream=_Cut())
        return httpx.Response(206, content=_BYTES[100_000:])

    assert supply(tmp_path, answer).get(pin()).read_bytes() == _BYTES
    assert ranges == [None, "bytes=100000-"]


def test_a_server_without_ranges_sends_it_all_again(tmp_path: Path) -> None:
    answers = iter([httpx.Response(200, stream=_Cut()), httpx.Response(200, content=_BYTES)])
    assert supply(tmp_path, lambda _request: next(answers)).get(pin()).read_bytes() == _BYTES


def test_a_rate_limit_is_waited_out_as_long_as_the_server_asks(tmp_path: Path) -> None:
    clock = Clock()
    answers = iter([httpx.Response(429, headers={"retry-after": "7"}), httpx.Response(200, content=_BYTES)])
    supply(tmp_path, lambda _request: next(answers), clock).get(pin())
    assert clock.slept == [7.0]


def test_a_server_that_cannot_be_reached_is_an_error_after_bounded_retries(tmp_path: Path) -> None:
    clock = Clock()

    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(SupplyError, match="could not be downloaded") as caught:
        supply(tmp_path, answer, clock).get(pin())
    assert len(clock.slept) == 4
    assert "PATH" in caught.value.next_step


def test_a_refusal_is_an_error_at_once(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(SupplyError, match="HTTP 404"):
        supply(tmp_path, lambda _request: httpx.Response(404), clock).get(pin())
    assert clock.slept == []


def test_a_program_inside_an_archive_is_taken_out(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("linux-amd64/helm")
        entry.size = len(_BYTES)
        archive.addfile(entry, io.BytesIO(_BYTES))
    helm = replace(pin(packed.getvalue(), "linux-amd64/helm"), name="helm")
    answer = httpx.Response(200, content=packed.getvalue())
    assert supply(tmp_path, lambda _request: answer).get(helm).read_bytes() == _BYTES


def test_two_runs_that_lack_a_program_download_it_once(tmp_path: Path) -> None:
    asked = threading.Semaphore(0)
    go = threading.Event()

    def slow(request: httpx.Request) -> httpx.Response:
        asked.release()
        assert go.wait(10)
        return whole(request)

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(replace(supply(tmp_path, slow), clock=SYSTEM_CLOCK).get, pin()) for _ in range(2)]
        assert asked.acquire(timeout=10)
        assert not asked.acquire(timeout=0.5)
        go.set()
        assert len({run.result() for run in runs}) == 1
    assert not asked.acquire(blocking=False)
    assert list((tmp_path / "cache" / "locks").iterdir()) == []


def test_a_download_ends_when_it_is_not_needed_any_more_and_goes_on_at_the_next_run(tmp_path: Path) -> None:
    given_up = threading.Event()
    pieces = [_BYTES[:10], _BYTES[10:]]

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield pieces[0]
            given_up.set()
            yield pieces[1]

    first = replace(supply(tmp_path, lambda _request: httpx.Response(200, stream=Body())), given_up=given_up.is_set)
    with pytest.raises(WaitAbandoned):
        first.get(pin())

    def rest(request: httpx.Request) -> httpx.Response:
        assert request.headers["range"] == "bytes=10-"
        return httpx.Response(206, content=pieces[1])

    assert supply(tmp_path, rest).get(pin()).read_bytes() == _BYTES
