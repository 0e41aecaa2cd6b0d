"""What Ctrl-C and SIGTERM do to a run: the first ends it, no further one breaks off what follows.

CPython runs a handler in the main thread only, and only when that thread next runs bytecode. A signal that the kernel
gives to another thread, as it does while the main thread starts a program with all signals blocked, or that comes
just before the main thread goes to sleep in a lock, would wait there until the lock is free: for as long as an image
takes to build. So whoever handles signals here has the main thread woken after each.
Source: https://docs.python.org/3.11/library/signal.html#execution-of-python-signal-handlers and `trip_signal` in
CPython's Modules/signalmodule.c.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType

from rich.console import Console

_ENDING = (signal.SIGINT, signal.SIGTERM)
_FIRST_DOWN = "taking everything down first; kill -9 leaves the rest to `harness sweep`"
# Ignored by default, so that one that comes late does no harm.
_WAKING = signal.SIGURG
# One would do, but for one that itself comes just before the main thread goes to sleep.
_WAKE_TIMES = 5
_WAKE_SECONDS = 0.1

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def interrupted_once(console: Console) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the block, and no further one break off what follows from it.

    Only in the main thread. SIGINT stays ignored where it was, as in a shell's background job.
    """
    came = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if came:
            console.print(_FIRST_DOWN, highlight=False)
            return
        came = True
        raise KeyboardInterrupt

    with handled(interrupt, [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]):
        yield


@contextmanager
def undisturbed(console: Console) -> Iterator[None]:
    """Let a second Ctrl-C not break off the clean-up that the first one asked for; only in the main thread."""

    def note(_number: int, _frame: FrameType | None) -> None:
        console.print(_FIRST_DOWN, highlight=False)

    with handled(note, _ENDING):
        yield


@contextmanager
def handled(handler: Handler, numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Handle these signals while the block runs, also while the main thread waits for another; only in that thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _woken(numbers):
        before = {number: signal.signal(number, handler) for number in numbers}
        try:
            yield
        finally:
            for number, handled_before in before.items():
                signal.signal(number, handled_before)


@contextmanager
def _woken(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Have the main thread, which is this one, woken after each of these signals while the block runs."""
    main = threading.get_ident()
    told, tells = socket.socketpair()
    over = threading.Event()

    def wake() -> None:
        # The interpreter writes the number of each signal, in whichever thread that comes, after it has noted it.
        while came := told.recv(1):
            if came[0] not in numbers:
                continue
            for _ in range(_WAKE_TIMES):
                if over.wait(_WAKE_SECONDS):
                    return
                signal.pthread_kill(main, _WAKING)

    waker = threading.Thread(target=wake, name="signals", daemon=True)
    with closing(told), closing(tells):
        tells.setblocking(False)
        waking_before = signal.signal(_WAKING, lambda _number, _frame: None)
        written_before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
        try:
            waker.start()
            yield
        finally:
            over.set()
            signal.set_wakeup_fd(written_before)
            tells.shutdown(socket.SHUT_RDWR)
            if waker.ident is not None:  # an interrupt may come before it has started
                waker.join()
            signal.signal(_WAKING, waking_before)
