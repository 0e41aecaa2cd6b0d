"""The container engine: the one that answers, or one of our own.

An engine that answers is used as it is. Where none does, Docker is installed from the operating system's packages
(root on Debian only) and a daemon of our own is started: own socket, own data folder under the cache, no default
bridge, published ports on loopback only. Several runs share it: each holds a shared lock while it needs it, and the
last one stops it unless a cluster is kept. An engine that is there but slow is waited for: neither is a second one
started beside it, nor is it ever stopped by a run that did not find it answering.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness.errors import EngineError, HarnessError, WaitTimeout
from harness.model import Engine
from harness.process import Runner
from harness.supply.client import Answer, ask
from harness.supply.daemon import EngineFolders, OwnDaemon
from harness.supply.debian import install, lacking
from harness.wait import Waiter

__all__ = ["EngineFolders", "EngineSupply"]

# What an engine of our own is run with, and the Debian package of each.
_PROGRAMS: Mapping[str, str] = {"dockerd": "docker.io", "iptables": "iptables"}
_START_SECONDS = 60
_SLOW_SECONDS = 60
# Another run installs, starts or stops the engine at the longest.
_TURN_SECONDS = 900


class EngineSupply:
    """Finds or starts a container engine."""

    def __init__(
        self,
        *,
        folders: EngineFolders,
        runner: Runner,
        waiter: Waiter,
        status: Callable[[str], None] = lambda _text: None,
        proc_status: Path = Path("/proc/self/status"),
    ) -> None:
        self._folders = folders
        self._runner = runner
        self._waiter = waiter
        self._status = status
        self._daemon = OwnDaemon(folders, runner, waiter, proc_status)
        self._lease: IO[str] | None = None
        # Whether this run has started the engine: an interrupt may come before it holds it.
        self._started = False

    @property
    def own_host(self) -> str:
        """Address of an engine of our own, whether it runs or not."""
        return self._folders.host

    @property
    def runs(self) -> bool:
        """Whether an engine of our own runs, whoever uses it."""
        return self._daemon.pid() is not None

    @property
    def unclean(self) -> bool:
        """Whether an engine of our own was started and not stopped, running or not."""
        return self._daemon.unclean

    def answering(self) -> Engine | None:
        """The engine that answers now: the machine's own, else ours from an earlier run; None if there is none."""
        return self._ask("").engine or self._ask(self._folders.host).engine

    def acquire(self) -> Engine:
        """The engine for this run, started if none answers; hold it until `release`.

        Raises:
            EngineError: None answers and none can be started here, or one is there and does not answer.
        """
        with self._turn():
            engine = self._patiently("") or self._own()
            if engine is None:
                self._install()
                # Where services are started at their installation, Debian's package has started the machine's own.
                engine = self._patiently("") or self._start()
            self._hold(engine)
        return engine

    def acquire_at(self, host: str) -> Engine | None:
        """The very engine in which something was made; hold it until `release`.

        Args:
            host: Its address as `Engine.host` and journals have it; empty for the machine's own.

        Returns:
            None if it was ours and its data are gone, so that nothing made in it can be left.

        Raises:
            EngineError: It does not answer. One of our own is started for it.
        """
        with self._turn():
            if host == self._folders.host:
                engine = self._own()
                if engine is None and not self._folders.data.exists():
                    return None
                if engine is None:
                    self._install()
                    engine = self._start()
                self._hold(engine)
                return engine
            engine = self._patiently(host)
        if engine is None:
            named = f"the container engine at {host}" if host else "the machine's own container engine"
            raise EngineError(
                f"{named} does not answer, and what is to be removed was made in it",
                next_step="start it, then run the same command again",
            )
        return engine

    def release(self, *, keep: bool) -> bool:
        """Let go of the engine; its last user stops it, unless something that needs it is kept.

        Returns:
            Whether it was stopped.

        Raises:
            EngineError: It does not stop.
        """
        lease, self._lease = self._lease, None
        if lease is None and not self._started:
            return False
        self._started = False
        with lease or (self._folders.state / "lease").open("a+") as held:
            return self._stop_unless_used(held, keep=keep)

    def stop_unused(self, *, keep: bool) -> bool:
        """Stop an engine of our own that no run holds, such as one that a killed run left running.

        One that was killed itself is cleaned up after.

        Args:
            keep: Whether something that needs it is kept.

        Returns:
            Whether it was stopped.

        Raises:
            EngineError: It does not stop.
        """
        if not self.runs and not self.unclean:
            return False
        with (self._folders.state / "lease").open("a+") as lease:
            return self._stop_unless_used(lease, keep=keep)

    def _stop_unless_used(self, lease: IO[str], *, keep: bool) -> bool:
        with self._turn():
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False  # somebody else still uses it
            stops = self.runs and not keep
            if not keep:
                self._daemon.stop()
            return stops

    def _hold(self, engine: Engine) -> None:
        if engine.ours and self._lease is None:
            self._lease = (self._folders.state / "lease").open("a+")
            fcntl.flock(self._lease, fcntl.LOCK_SH)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Only one run at a time decides whether the engine starts or stops."""
        self._folders.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folders.state / "starting").open("a+") as lock:

            def taken() -> bool:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._status("another run is starting or stopping the container engine: waiting for it")
                    return False
                return True

            self._waiter.until(
                "another run that starts or stops the container engine",
                taken,
                ready=bool,
                describe=lambda ours: "done" if ours else "at work",
                timeout=_TURN_SECONDS,
                interval=0.1,
            )
            yield

    def _patiently(self, host: str) -> Engine | None:
        """The engine at that address; one that takes the question and is slow to answer is asked again.

        Raises:
            EngineError: It goes on not answering.
        """
        answer = self._ask(host)
        if not answer.silent:
            return answer.engine
        self._status("the container engine is slow to answer: waiting for it")
        try:
            return self._waiter.until(
                "the container engine to answer",
                lambda: self._ask(host),
                ready=lambda found: not found.silent,
                describe=lambda found: "silent" if found.silent else "answers",
                timeout=_SLOW_SECONDS,
            ).engine
        except WaitTimeout as error:
            raise EngineError(
                f"the container engine at {host or 'the address that this machine is set to'} takes questions and "
                "does not answer them",
                next_step="restart it (or unset DOCKER_HOST if it is not the one that is meant), then run again",
                evidence={"why": error.message},
            ) from error

    def _own(self) -> Engine | None:
        """Our own engine if it runs; None if it does not.

        Raises:
            EngineError: It runs and does not answer. It is left alone: other runs may have work in it.
        """
        host = self._folders.host
        engine = self._ask(host).engine
        pid = self._daemon.pid()
        if engine is not None or pid is None:
            return engine
        self._status(f"our container engine (process {pid}) is slow to answer: waiting for it")
        try:
            return self._waiter.until(
                "our container engine to answer",
                lambda: (self._ask(host).engine, self._daemon.pid()),
                ready=lambda found: found[0] is not None or found[1] is None,
                describe=lambda found: "answers" if found[0] else "does not answer" if found[1] else "has ended",
                timeout=_SLOW_SECONDS,
            )[0]
        except WaitTimeout as error:
            raise EngineError(
                f"the container engine of the harness runs (process {pid}) and does not answer; it is left alone, "
                "since other runs may use it",
                next_step=f"`harness sweep` stops it if no run uses it; or kill {pid}",
                evidence={"log": str(self._folders.log)},
            ) from error

    def _ask(self, host: str) -> Answer:
        """Who answers at that address."""
        ours = host == self._folders.host
        if ours and not self._folders.socket.exists():
            return Answer(None)
        return ask(self._runner, host, ours=ours)

    def _install(self) -> None:
        if packages := lacking(_PROGRAMS):
            install(packages, runner=self._runner, status=self._status, refused=_no_engine)

    def _start(self) -> Engine:
        """Start our own; the caller has made sure that it does not run, and holds the turn."""
        if os.geteuid() != 0:
            raise _no_engine("starting one needs root", {})
        self._status("starting a container engine of our own")
        self._started = True
        try:
            self._daemon.start()
            engine = self._waiter.until(
                "our container engine to answer",
                lambda: self._ask(self._folders.host).engine,
                ready=lambda found: found is not None,
                failed=lambda _found: self._daemon.gave_up(),
                describe=lambda found: "answers" if found else "does not answer yet",
                timeout=_START_SECONDS,
                interval=0.3,
            )
        except BaseException as error:
            # Also after an interrupt: nobody holds it yet, so nobody else would stop it.
            self._daemon.stop()
            self._started = False
            if not isinstance(error, HarnessError):
                raise
            raise EngineError(
                "the container engine that the harness started does not answer",
                evidence={"why": error.message, "log": str(self._folders.log)},
                next_step="read the log; on hosts that forbid containers use a machine with Docker",
            ) from error
        if engine is None:
            raise EngineError("the container engine vanished", evidence={"log": str(self._folders.log)})
        return engine


def _no_engine(why: str, evidence: Mapping[str, str]) -> EngineError:
    return EngineError(
        f"no container engine answers, and {why}",
        next_step="start Docker, or run as root on Debian so that the harness can install its own",
        evidence=evidence,
    )
