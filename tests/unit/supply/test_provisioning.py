"""The packages supply with real processes in the place of Docker's: ended at once, and each thing made once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from harness.wait import Waiter


class FakeEngine(Protocol):
    """See conftest.py."""

    folder: Path
    docker: Path

    def said(self, name: str) -> list[str]: ...


# Seconds: more than a busy machine needs, less than what is ended here would take (fake_docker.sh).
_AT_ONCE = 30

# A run that only provisions, in a process of its own, as the front doors do it: SIGTERM counts as Ctrl-C.
_RUN = """
import sys, time
from contextlib import ExitStack
from pathlib import Path

from harness.errors import HarnessError
from harness.journal import Journal
from harness.model import Engine
from harness.process import SubprocessRunner
from rich.console import Console
from harness.settings import Settings
from harness.signals import interrupted_once
from harness.supply import provision as module
from harness.supply.host import HostConfiguration
from harness.timeline import Timeline

root, run, docker = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
module.read_host = lambda: HostConfiguration("http://mirror.invalid/debian", None, docker, {})
scratch = root / run
scratch.mkdir()
with ExitStack() as until_end, interrupted_once(Console(stderr=True)):
    try:
        module.provision(
            Settings(supply="packages", cache_dir=root / "cache", state_dir=root / "state", cache_limit_gb=100),
            Engine(docker=docker, host="", ours=False, version="20.10"),
            run_id=run,
            scratch=scratch,
            until_end=until_end,
            runner=SubprocessRunner(),
            timeline=Timeline(),
            journal=Journal(scratch / "journal.jsonl"),
            status=lambda text: print("status:", text, flush=True),
        )
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    except HarnessError as error:
        print("error:", error, flush=True)
print("scratch:", sorted(path.name for path in scratch.iterdir() if path.name != "journal.jsonl"), flush=True)
"""


@contextmanager
def started(tmp_path: Path, fake_engine: FakeEngine, run: str = "run-1") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(tmp_path), run, str(fake_engine.docker)],
        env={**os.environ, "FAKE_ENGINE": str(fake_engine.folder), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def building(fake_engine: FakeEngine, names: tuple[str, ...]) -> list[int]:
    """Process ids of the builds of these images, leaders and grandchildren, once all of them run."""
    paths = [fake_engine.folder / f"building-{name}.{who}" for name in names for who in ("leader", "child")]
    Waiter().until(
        "the builds", lambda: all(path.exists() and path.read_text() for path in paths), ready=bool, timeout=30
    )
    return [int(path.read_text()) for path in paths]


def running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_builds_within_seconds(
    tmp_path: Path, fake_engine: FakeEngine, number: signal.Signals
) -> None:
    names = ("go-tools", "airflow", "localstack")
    for name in names:
        (fake_engine.folder / f"slow-{name}").touch()
    with started(tmp_path, fake_engine) as run:
        pids = building(fake_engine, names)
        run.send_signal(number)
        said = run.communicate(timeout=_AT_ONCE)[0]
    assert "interrupted\nscratch: []\n" in said
    assert [pid for pid in pids if running(pid)] == []


def test_a_failed_build_ends_the_others_and_is_the_one_that_is_told_of(tmp_path: Path, fake_engine: FakeEngine) -> None:
    for name in ("go-tools", "airflow"):
        (fake_engine.folder / f"slow-{name}").touch()
    (fake_engine.folder / "fail-localstack").write_text("wait")
    with started(tmp_path, fake_engine) as run:
        pids = building(fake_engine, ("go-tools", "airflow"))
        (fake_engine.folder / "fail-localstack").write_text("now")
        said = run.communicate(timeout=_AT_ONCE)[0]
    assert "error: the image localstack could not be built" in said
    assert "no space left on device" in said
    assert [pid for pid in pids if running(pid)] == []


def test_an_interrupt_while_the_node_image_is_filled_removes_its_container(
    tmp_path: Path, fake_engine: FakeEngine
) -> None:
    (fake_engine.folder / "slow-run").touch()
    with started(tmp_path, fake_engine) as run:
        Waiter().until("the container", (fake_engine.folder / "running").exists, ready=bool, timeout=60)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=_AT_ONCE)[0]
    assert "interrupted" in said
    journal = [json.loads(line) for line in (tmp_path / "run-1" / "journal.jsonl").read_text().splitlines()]
    assert [(line["op"], line.get("name")) for line in journal] == [
        ("create", "airflow-dvc-harness-preload-run-1"),
        ("remove", None),
    ]
    assert fake_engine.said("containers") == fake_engine.said("removed") == ["airflow-dvc-harness-preload-run-1"]


def test_two_runs_on_empty_caches_make_everything_once(tmp_path: Path, fake_engine: FakeEngine) -> None:
    (fake_engine.folder / "slow-run").touch()
    (fake_engine.folder / "fail-go-tools").write_text("wait")  # until both runs have begun
    with started(tmp_path, fake_engine, "one") as one, started(tmp_path, fake_engine, "two") as two:
        Waiter().until(
            "both to be at work",
            lambda: sorted(path.stem for path in (tmp_path / "cache" / "in-use").glob("*.json")),
            ready=lambda live: live == ["one", "two"],
            timeout=30,
        )
        (fake_engine.folder / "fail-go-tools").unlink()
        Waiter().until("the container", (fake_engine.folder / "running").exists, ready=bool, timeout=60)
        holder = json.loads(next((tmp_path / "cache" / "locks").glob("*node-full*")).read_text())["run"]
        filling, waiting = (one, two) if holder == "one" else (two, one)
        # The one that waits says so before it is ended, with the id and the process of the other.
        assert waiting.stdout is not None
        wanted = f"status: another run is filling the node image (run {holder}, process {filling.pid}): waiting for it"
        said = iter(waiting.stdout.readline, "")
        assert any(line.strip() == wanted for line in said)
        for run in (waiting, filling):
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=30)
    builds = fake_engine.said("builds")
    assert "go-tools" in builds
    assert sorted(builds) == sorted(set(builds))
    assert len([call for call in fake_engine.said("calls") if "--output" in call]) == 1
    assert fake_engine.said("containers") == [f"airflow-dvc-harness-preload-{holder}"]
    assert list((tmp_path / "cache" / "in-use").iterdir()) == []
    assert list((tmp_path / "cache" / "locks").iterdir()) == []
