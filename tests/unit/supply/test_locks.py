"""One thing is made by one run at a time: real processes that contend for a key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import WaitAbandoned
from harness.supply.locks import KeyLocks
from harness.wait import Waiter

# A run that makes a thing unless it is there, as the supply does; it takes its time, so that both want to.
_RUN = """
import sys, time
from pathlib import Path
from harness.supply.locks import KeyLocks

folder, run = Path(sys.argv[1]), sys.argv[2]
locks = KeyLocks(folder / "locks", run, status=lambda text: print(text, flush=True))
print("ready", flush=True)
sys.stdin.readline()
with locks.holding("image:1/key", "building the image worker"):
    if not (folder / "made").exists():
        with (folder / "builds").open("a") as builds:
            builds.write(run + "\\n")
        time.sleep(1)
        (folder / "made").touch()
print("over", flush=True)
"""


def start(folder: Path, run: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(folder), run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_of_two_runs_one_makes_it_and_the_other_says_what_it_waits_for_and_finds_it(tmp_path: Path) -> None:
    runs = [start(tmp_path, "one"), start(tmp_path, "two")]
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("go\n")
        run.stdin.flush()
    said = [run.communicate(timeout=30)[0] for run in runs]
    builder = (tmp_path / "builds").read_text().splitlines()
    assert len(builder) == 1
    first, second = (0, 1) if builder == ["one"] else (1, 0)
    assert said[first] == "over\n"
    waited = f"another run is building the image worker (run {builder[0]}, process {runs[first].pid}): waiting for it"
    assert said[second].splitlines() == [waited, "over"]
    assert [run.returncode for run in runs] == [0, 0]
    assert list((tmp_path / "locks").iterdir()) == []


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    run = start(tmp_path, "killed")
    assert run.stdin is not None
    run.stdin.write("go\n")
    run.stdin.flush()
    Waiter().until("the build to begin", (tmp_path / "builds").exists, ready=bool, timeout=10)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=10)
    with KeyLocks(tmp_path / "locks").holding("image:1/key", "building the image worker"):
        assert not (tmp_path / "made").exists()


def test_a_key_is_held_by_one_thread_at_a_time_though_its_file_goes_each_time(tmp_path: Path) -> None:
    inside = 0
    most = 0
    guard = threading.Lock()

    def contend() -> None:
        nonlocal inside, most
        for _ in range(5):
            with KeyLocks(tmp_path).holding("key", "counting"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                threading.Event().wait(0.01)
                with guard:
                    inside -= 1

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(contend) for _ in range(4)]:
            future.result()
    assert most == 1


def test_different_keys_do_not_wait_for_each_other(tmp_path: Path) -> None:
    locks = KeyLocks(tmp_path)
    with locks.holding("one", "building"), locks.holding("two", "building"):
        assert len(list(tmp_path.iterdir())) == 2


def test_a_run_that_gave_up_waits_no_longer(tmp_path: Path) -> None:
    given_up = threading.Event()
    said: list[str] = []
    locks = KeyLocks(tmp_path, "second", Waiter(given_up=given_up.is_set), said.append)
    with KeyLocks(tmp_path, "first").holding("key", "building"), ThreadPoolExecutor(1) as pool:

        def wait() -> None:
            with locks.holding("key", "building"):
                raise RuntimeError("got what the other has")

        waiting = pool.submit(wait)
        given_up.set()
        with pytest.raises(WaitAbandoned):
            waiting.result(timeout=30)
    assert said == []  # both in this process: no other run is to be told of


def test_a_lock_file_says_who_holds_it(tmp_path: Path) -> None:
    with KeyLocks(tmp_path, "run-1").holding("a/b:c", "building the image worker"):
        (path,) = tmp_path.iterdir()
        assert path.name == "a_b_c.lock"
        assert json.loads(path.read_text()) == {
            "pid": os.getpid(),
            "run": "run-1",
            "what": "building the image worker",
        }
