"""The first signal ends a run wherever the kernel delivers it; no further one breaks off what follows."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from harness.signals import interrupted_once, undisturbed

# Seconds: more than a busy machine needs, far less than the main thread there would wait.
_AT_ONCE = 30

# The main thread sleeps in a lock when another thread takes the signal: CPython alone would leave it there.
_ASLEEP = """
import os, signal, sys, threading, time
from pathlib import Path
from rich.console import Console
from harness.signals import interrupted_once

def main_thread_sleeps() -> bool:
    stat = Path(f"/proc/self/task/{os.getpid()}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"

def take_the_signal():
    while not main_thread_sleeps():
        time.sleep(0.01)
    signal.pthread_kill(threading.get_ident(), getattr(signal, sys.argv[1]))

never = threading.Lock()
never.acquire()
with interrupted_once(Console(stderr=True)):
    threading.Thread(target=take_the_signal).start()
    try:
        never.acquire()
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_only_the_first_signal_interrupts(number: signal.Signals) -> None:
    said = io.StringIO()
    unwound = False
    with interrupted_once(Console(file=said)):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        unwound = True
    assert unwound
    assert said.getvalue().count("taking everything down first") == 2


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_another_thread_takes_wakes_the_main_thread(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASLEEP, name], capture_output=True, text=True, timeout=_AT_ONCE, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_a_clean_up_is_not_broken_off_and_says_so() -> None:
    said = io.StringIO()
    with undisturbed(Console(file=said)):
        os.kill(os.getpid(), signal.SIGTERM)
    assert said.getvalue().count("taking everything down first") == 1


def test_afterwards_signals_are_handled_as_before() -> None:
    def state() -> list[object]:
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup)
        return [wakeup, *(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGURG))]

    before, threads = state(), threading.active_count()
    with interrupted_once(Console(file=io.StringIO())), undisturbed(Console(file=io.StringIO())):
        assert state() != before
    assert state() == before
    assert threading.active_count() == threads


def test_in_another_thread_nothing_is_handled() -> None:
    entered: list[bool] = []

    def work() -> None:
        with interrupted_once(Console(file=io.StringIO())), undisturbed(Console(file=io.StringIO())):
            entered.append(signal.getsignal(signal.SIGTERM) is handler)

    handler = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]
