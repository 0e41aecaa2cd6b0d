"""The engine of a run is killed: one of the test's own, with nothing in it, beside whatever else runs here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.errors import ExitCode
from harness.process import SubprocessRunner, which
from harness.supply.client import ask
from harness.wait import Waiter
from tests.kills.driver import Driven

from .book import Book, parsed
from .cli import environment_variables
from .table import ENGINE

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of a Docker daemon that touches no packet filter and no network of this machine."""
    dockerd = which("dockerd", path=_PATH)
    if os.geteuid() != 0 or dockerd is None:
        pytest.skip("starting an engine of the test's own takes root and dockerd")
    # Short: the path of a socket has at most 107 characters.
    folder = tmp_path_factory.mktemp("engine")
    host, said = f"unix://{folder}/docker.sock", folder / "dockerd.log"
    command = [
        str(dockerd), "--host", host, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
        "--pidfile", f"{folder}/docker.pid", "--bridge", "none", "--iptables=false", "--ip6tables=false",
    ]  # fmt: skip
    env = {**os.environ, "PATH": _PATH}
    with said.open("wb") as log:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        try:
            Waiter().until(
                "the test's own engine",
                lambda: ask(SubprocessRunner(), host, ours=False).engine,
                ready=lambda found: found is not None,
                failed=lambda _found: None if daemon.poll() is None else said.read_text()[-500:],
                timeout=60,
            )
            yield host, daemon
        finally:
            daemon.terminate()
            daemon.wait(30)
            _end_its_containerd(folder)


def _end_its_containerd(folder: Path) -> None:
    """What a daemon that was killed leaves running: the containerd that it had started in its own folder."""
    file = folder / "exec" / "containerd" / "containerd.pid"
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        os.kill(int(file.read_text()), signal.SIGKILL)


def test_an_engine_that_is_killed_under_a_run_is_named(
    engine: tuple[str, subprocess.Popen[bytes]], book: Book, began: float, tmp_path: Path
) -> None:
    host, daemon = engine
    folders = {f"HARNESS_{name}_DIR": str(tmp_path / name.lower()) for name in ("STATE", "CACHE", "EVIDENCE")}
    env = {**environment_variables(), **folders, "DOCKER_HOST": host}
    # With an image of the user's own, which is looked for in the engine before anything is built.
    command = [sys.executable, "-m", "harness.cli", "run", "--worker-image", "team/dvc-worker:1"]
    log = tmp_path / "run.log"
    with Driven(command, cwd=tmp_path, env=env, log=log) as run:
        Waiter().until(
            "the run to have found the engine",
            lambda: "ok  container engine" in log.read_text(encoding="utf-8"),
            ready=bool,
            timeout=60,
            interval=0.02,
            transient=(FileNotFoundError,),
        )
        daemon.kill()
        ended = run.end(timeout=120)
    assert ended.code == ExitCode.ENVIRONMENT_FAILED, ended.lines
    book.check(ENGINE, parsed("\n".join(ended.lines)), since=began)
