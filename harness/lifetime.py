"""How long a run may last: when that is over it ends as at a SIGTERM, and is told apart from one."""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType
from typing import Final, Self

from harness.errors import LifetimeOver

_SECONDS_AN_HOUR: Final = 3600


class Lifetime:
    """Ends a run that lasts longer than it may, while its block runs.

    By a signal, because that ends whatever the main thread is at, and all programs with it; whoever handles the signals
    of a run (`harness.signals`) does so here, too. Where nobody does, as in another thread, nothing is ended: a SIGTERM
    would kill the process with all that it has made.

    Args:
        hours: That it may last; None for as long as it takes.
        target: Whose setting says so.
    """

    def __init__(self, hours: float | None, *, target: str = "eks") -> None:
        self._hours = hours
        self._setting = f"{target}.max_lifetime"
        self._over = threading.Event()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        if self._hours is not None:
            self._timer = threading.Timer(self._hours * _SECONDS_AN_HOUR, self._end)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the run last from here on: what it has made is being taken down. Safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()  # once it has begun, its signal comes before what follows

    @property
    def over(self) -> bool:
        """Whether it has ended the run."""
        return self._over.is_set()

    def error(self) -> LifetimeOver:
        """What the run ended with."""
        return LifetimeOver(
            f"the run has lasted the {self._hours:g} h that it may ({self._setting}), and was ended",
            next_step="see above which phase took so long; give --max-lifetime HOURS if it needs more",
        )

    def _end(self) -> None:
        if callable(signal.getsignal(signal.SIGTERM)):
            self._over.set()
            os.kill(os.getpid(), signal.SIGTERM)
