"""Who starts and stops an engine of our own: real processes in the place of docker and dockerd, no containers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import EngineError
from harness.process import SubprocessRunner
from harness.supply import client, debian, engine, firewall
from harness.supply.daemon import EngineFolders, OwnDaemon
from harness.supply.engine import EngineSupply
from harness.wait import Waiter

# Answers while the process of the pid file beside the socket lives; as late as the file `slow` there says, in seconds.
_DOCKER = """#!{python} -IS
import os, sys, time
from pathlib import Path
here = Path("{here}")
host = os.environ.get("DOCKER_HOST", "")
if sys.argv[1:] != ["version", "--format", "{{{{.Server.Version}}}}"]:
    sys.exit(0)
folder = Path(host.removeprefix("unix://")).parent if host else here / "machine"
if not (folder / "docker.pid").exists():
    sys.exit(1)
if (folder / "slow").exists():
    time.sleep(float((folder / "slow").read_text()))
print("20.10")
"""
_DOCKERD = """#!{python} -IS
import json, os, signal, sys, time
from pathlib import Path
here = Path("{here}")
with (here / "started").open("a") as out:
    out.write(f"{{os.getpid()}}\\n")
configuration = json.loads(Path(sys.argv[2]).read_text())
socket, pid_file = Path(configuration["hosts"][0].removeprefix("unix://")), Path(configuration["pidfile"])
def end(*_):
    socket.unlink(missing_ok=True)
    pid_file.unlink(missing_ok=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
if (here / "mute").exists():
    while True: time.sleep(60)
pid_file.write_text(str(os.getpid()))
socket.touch()
if (here / "broken").exists():
    pid_file.unlink()
    print("failed to start daemon: no cgroups", flush=True)
while True: time.sleep(60)
"""


class Machine:
    """A machine with Docker installed; its own engine runs if `machine/docker.pid` is there."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.folders = EngineFolders(here / "state" / "engine", here / "cache" / "engine" / "data")

    def supply(self, status: Callable[[str], None] = lambda _text: None) -> EngineSupply:
        return EngineSupply(folders=self.folders, runner=SubprocessRunner(), waiter=Waiter(), status=status)

    @property
    def started(self) -> list[int]:
        path = self.here / "started"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def running(self) -> int | None:
        return OwnDaemon(self.folders, SubprocessRunner(), Waiter()).pid()

    def own_is_slow(self, seconds: float | None) -> None:
        slow = self.folders.state / "slow"
        slow.unlink() if seconds is None else slow.write_text(str(seconds))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, source in {"docker": _DOCKER, "dockerd": _DOCKERD}.items():
        (programs / name).write_text(source.format(python=Path(sys.executable).resolve(), here=tmp_path))
    for name in ("iptables", "iptables-save", "iptables-restore"):
        (programs / name).write_text("#!/bin/sh\n")
    for path in programs.iterdir():
        path.chmod(0o755)
    for name in ("sh", "setsid"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    # Neither the machine's own Docker nor its packet filter may have a part in this.
    monkeypatch.setattr(firewall, "_PATH", {"PATH": str(programs)})
    monkeypatch.setattr(client, "program_path", lambda: str(programs))
    monkeypatch.setattr(client, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(engine, "_SLOW_SECONDS", 1.5)
    monkeypatch.setattr(engine, "_START_SECONDS", 3)
    machine = Machine(tmp_path)
    yield machine
    for pid in machine.started:
        if machine.running == pid:
            os.kill(pid, signal.SIGKILL)


def test_two_runs_share_one_engine_and_the_last_one_stops_it(machine: Machine) -> None:
    first, second = machine.supply(), machine.supply()
    assert first.acquire() == second.acquire()
    assert first.acquire().ours
    assert len(machine.started) == 1
    assert not first.release(keep=False)
    assert machine.running is not None
    assert second.release(keep=False)
    assert machine.running is None


def test_two_runs_at_once_start_one_engine_and_the_second_says_what_it_waits_for(machine: Machine) -> None:
    said: list[str] = []
    both = threading.Barrier(2)

    def acquire() -> EngineSupply:
        supply = machine.supply(said.append)
        both.wait()
        supply.acquire()
        return supply

    with ThreadPoolExecutor(2) as pool:
        supplies = [run.result() for run in [pool.submit(acquire) for _ in range(2)]]
    assert len(machine.started) == 1
    assert "another run is starting or stopping the container engine: waiting for it" in said
    for supply in supplies:
        supply.release(keep=False)
    assert machine.running is None


def test_an_engine_that_a_kept_cluster_needs_is_left_running(machine: Machine) -> None:
    supply = machine.supply()
    supply.acquire()
    assert not supply.release(keep=True)
    assert machine.running is not None
    assert not machine.supply().stop_unused(keep=True)
    assert machine.supply().stop_unused(keep=False)
    assert machine.running is None


def test_an_engine_in_use_is_not_stopped_as_unused(machine: Machine) -> None:
    user = machine.supply()
    user.acquire()
    assert not machine.supply().stop_unused(keep=False)
    assert machine.running is not None
    user.release(keep=False)


def test_a_slow_engine_of_ours_is_waited_for_not_started_again(machine: Machine) -> None:
    user, said = machine.supply(), list[str]()
    user.acquire()
    machine.own_is_slow(0.8)
    timer = threading.Timer(1.0, machine.own_is_slow, (None,))
    timer.start()
    late = machine.supply(said.append)
    assert late.acquire().ours
    timer.join()
    assert len(machine.started) == 1
    assert any("is slow to answer" in text for text in said)
    late.release(keep=False)
    user.release(keep=False)


def test_a_wedged_engine_of_ours_is_an_error_and_those_who_use_it_keep_it(machine: Machine) -> None:
    user = machine.supply()
    user.acquire()
    pid = machine.running
    machine.own_is_slow(60)
    late = machine.supply()
    with pytest.raises(EngineError, match=f"process {pid}") as caught:
        late.acquire()
    assert "does not answer; it is left alone" in str(caught.value)
    late.release(keep=False)
    assert machine.running == pid
    assert machine.started == [pid]
    machine.own_is_slow(None)
    user.release(keep=False)
    assert machine.running is None


def test_a_wedged_engine_of_the_machine_is_an_error_and_none_is_started_beside_it(machine: Machine) -> None:
    theirs = machine.here / "machine"
    theirs.mkdir()
    (theirs / "docker.pid").write_text("1")
    (theirs / "slow").write_text("60")
    with pytest.raises(EngineError, match="takes questions and does not answer them"):
        machine.supply().acquire()
    assert machine.started == []


def test_the_machines_own_engine_is_used_and_never_stopped(machine: Machine) -> None:
    theirs = machine.here / "machine"
    theirs.mkdir()
    (theirs / "docker.pid").write_text("1")
    supply = machine.supply()
    found = supply.acquire()
    assert (found.ours, found.host) == (False, "")
    assert not supply.release(keep=False)
    assert machine.started == []


@pytest.mark.parametrize("how", ["broken", "mute"])
def test_an_engine_that_fails_to_start_is_stopped_and_its_words_are_told(machine: Machine, how: str) -> None:
    (machine.here / how).touch()
    with pytest.raises(EngineError, match="does not answer") as caught:
        machine.supply().acquire()
    assert "no cgroups" in str(caught.value) or how == "mute"
    assert len(machine.started) == 1
    assert machine.running is None


def test_an_interrupt_while_the_engine_starts_leaves_none(machine: Machine) -> None:
    (machine.here / "mute").touch()

    def interrupt(text: str) -> None:
        if "starting a container engine" in text:
            threading.Timer(1.0, signal.raise_signal, (signal.SIGINT,)).start()

    with pytest.raises(KeyboardInterrupt):
        machine.supply(interrupt).acquire()
    assert len(machine.started) == 1
    assert machine.running is None


def test_a_process_that_has_the_number_of_a_killed_engine_is_not_taken_for_it(machine: Machine) -> None:
    machine.folders.state.mkdir(parents=True)
    machine.folders.pid_file.write_text(str(os.getpid()))
    supply = machine.supply()
    assert not supply.runs
    supply.acquire()
    assert supply.release(keep=False)


def test_what_was_made_in_our_engine_is_looked_for_in_it_though_the_machines_own_answers(machine: Machine) -> None:
    theirs = machine.here / "machine"
    theirs.mkdir()
    (theirs / "docker.pid").write_text("1")
    supply = machine.supply()
    assert supply.acquire_at(supply.own_host) is None  # its data are gone, and everything in them
    assert machine.started == []
    machine.folders.data.mkdir(parents=True)
    found = supply.acquire_at(supply.own_host)
    assert found is not None
    assert (found.ours, found.host) == (True, supply.own_host)
    assert supply.release(keep=False)
    assert machine.running is None


def test_what_was_made_in_the_machines_engine_is_not_looked_for_in_ours(machine: Machine) -> None:
    with pytest.raises(EngineError, match="the machine's own container engine does not answer"):
        machine.supply().acquire_at("")
    assert machine.started == []


@pytest.fixture
def bare(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without an engine's programs."""
    (machine.here / "bin" / "dockerd").unlink()
    monkeypatch.setattr(debian, "program_path", lambda: str(machine.here / "bin"))
    return machine


def test_no_engine_and_no_right_to_install_one_is_told(bare: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EngineError, match="no container engine answers, and installing one needs root"):
        bare.supply().acquire()


def test_no_engine_and_no_apt_is_told(bare: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(EngineError, match="this is not Debian"):
        bare.supply().acquire()


def test_an_engine_that_was_killed_is_cleaned_up_after_though_it_does_not_run(machine: Machine) -> None:
    killed = machine.supply()
    killed.acquire()
    os.kill(machine.started[0], signal.SIGKILL)
    Waiter().until("its end", lambda: machine.running, ready=lambda pid: pid is None, timeout=5)
    later = machine.supply()
    killed.release(keep=True)
    unclean = [later.unclean]
    for keep in (True, False):
        assert not later.stop_unused(keep=keep)
        unclean.append(later.unclean)
    assert unclean == [True, True, False]
    left = {path.name for path in machine.folders.state.iterdir()}
    assert left <= {"daemon.json", "dockerd.log", "lease", "starting", "runc-without-withheld-capabilities"}


def test_an_interrupt_between_the_start_and_the_hold_leaves_no_engine(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EngineSupply, "_hold", interrupted)
    supply = machine.supply()
    with pytest.raises(KeyboardInterrupt):
        supply.acquire()
    assert supply.release(keep=False)
    assert machine.running is None
