"""Threads that read streams until they are told to stop, also where they are blocked in a read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from harness.kubeapi import LogStream

_log = logging.getLogger(__name__)
_STOP_ROUNDS, _STOP_ROUND_SECONDS = 50, 0.2


class Readers:
    """Threads that end together.

    Attributes:
        error: What ended one of them early, the first if several did.
    """

    def __init__(self, what: str) -> None:
        """Nothing runs yet.

        Args:
            what: What they follow, for messages.
        """
        self.error: Exception | None = None
        self._what: Final = what
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._streams: set[LogStream] = set()
        self._threads: list[threading.Thread] = []

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Work in a thread of that name; what it raises becomes `error`."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - handed to whoever asks next, by `error`
                if not self.stopping:
                    self.error = self.error or error

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    @property
    def stopping(self) -> bool:
        """Whether they are to end."""
        return self._stopping.is_set()

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt; ends early when they are to end."""
        self._stopping.wait(seconds)

    @contextmanager
    def opened(self, stream: LogStream) -> Iterator[None]:
        """A stream while it is read, so that `stop` can close it; closed when left."""
        with self._lock:
            self._streams.add(stream)
        try:
            yield
        finally:
            with self._lock:
                self._streams.discard(stream)
            stream.__exit__()

    def stop(self) -> None:
        """End all threads, also those that are blocked in a read."""
        self._stopping.set()
        for _ in range(_STOP_ROUNDS):
            with self._lock:
                alive = [thread for thread in self._threads if thread.is_alive()]
                streams = list(self._streams)
            if not alive:
                return
            # Again each round: a thread may just have been about to open its stream.
            for stream in streams:
                stream.close()
            alive[0].join(_STOP_ROUND_SECONDS)
        _log.warning("the threads that follow %s did not end", self._what)
