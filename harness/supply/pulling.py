"""Pulling one image: what can go wrong, what is tried again, and what the reader is told.

Tried again, a bounded number of times and each time reported: a registry that limits the rate (HTTP 429), and, once, a
connection cut in the middle (what had arrived whole is kept by the engine, which also goes on inside a layer by
itself). Everything else fails at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_any, stop_when_event_set

from harness.errors import CommandFailed, CommandTimeout, SupplyError
from harness.imagenames import DOCKER_HUB
from harness.model import Engine
from harness.process import Runner
from harness.supply.pins import Reference
from harness.wait import SYSTEM_CLOCK, Clock

_PULL_SECONDS = 1800
_ATTEMPTS = 6
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 60.0
# A registry that asks for more (Docker Hub's limit is counted over six hours) is not waited for.
_LONGEST_RETRY_AFTER = 120.0
_RETRY_AFTER = re.compile(r"retry[- ]after:?\s*(\d+)", re.IGNORECASE)
_LAYER = re.compile(r"^[0-9a-f]{12}: (Pulling fs layer|Pull complete|Already exists)")


class Trouble(StrEnum):
    """Why an image could not be pulled."""

    RATE_LIMIT = "the registry limits the rate of pulls"
    CUT = "the connection was cut in the middle"
    AUTH = "the registry asks for a login"
    CONTENT = "what the registry sent does not match its digest"
    MISSING = "the registry has no such image"
    UNREACHABLE = "the registry cannot be reached"
    DISK = "the disk is full"
    OTHER = "the engine could not pull it"


# What the Docker engine and registries say, first match first. Wordings: moby/moby distribution/, docker/distribution
# registry/api/errcode, Go's net package.
_SAID: tuple[tuple[Trouble, re.Pattern[str]], ...] = tuple(
    (trouble, re.compile(pattern, re.IGNORECASE))
    for trouble, pattern in (
        (Trouble.RATE_LIMIT, r"toomanyrequests|too many requests|HTTP (?:response status |status: )?429|\b429\b"),
        (Trouble.DISK, r"no space left on device"),
        (
            Trouble.CONTENT,
            r"verification failed|digest (?:did|does) not match|unexpected commit digest|digest mismatch",
        ),
        (
            Trouble.AUTH,
            r"unauthorized|no basic auth|authentication required|access denied|\bdenied\b|\b401\b|403 Forbidden",
        ),
        (Trouble.MISSING, r"manifest unknown|not found|manifest for .* not found|name unknown|no matching manifest"),
        (Trouble.CUT, r"unexpected EOF|connection reset|short read|http2: .*closed"),
        (
            Trouble.UNREACHABLE,
            r"connection refused|no such host|i/o timeout|timeout|no route|unreachable|proxyconnect|x509|\bEOF\b",
        ),
    )
)


def trouble_of(said: str) -> Trouble:
    """What the engine's words mean."""
    return next((trouble for trouble, pattern in _SAID if pattern.search(said)), Trouble.OTHER)


class PullFailed(SupplyError):
    """An image could not be pulled.

    Attributes:
        trouble: Why.
        retry_after: Seconds that the registry asked to wait; None if it named none.
    """

    def __init__(self, reference: Reference, said: str, *, wanted: Reference | None = None) -> None:
        self.trouble = trouble_of(said)
        found = _RETRY_AFTER.search(said)
        self.retry_after = float(found[1]) if found else None
        evidence = {"registry": reference.host, "it said": _last_words(said)}
        if wanted is not None and wanted != reference:
            evidence["mirror of"] = str(wanted)
        super().__init__(
            f"the image {reference} could not be pulled: {self.trouble}",
            evidence=evidence,
            next_step=_next_step(self.trouble, reference.host, (wanted or reference).host),
        )


@dataclass(slots=True)
class Puller:
    """Pulls images by `docker pull`.

    Attributes:
        engine: Where they go.
        runner: Runs docker.
        status: Told of each retry and of progress.
        clock: Time for the pauses between retries.
        stop: Set when another pull has failed for good: no further retry is worth while.
        retries: How often something was tried again, by reference.
    """

    engine: Engine
    runner: Runner
    status: Callable[[str], None] = lambda _text: None
    clock: Clock = SYSTEM_CLOCK
    stop: Event = field(default_factory=Event)
    retries: dict[str, int] = field(default_factory=dict)

    def pull(self, reference: Reference, *, wanted: Reference | None = None) -> None:
        """Pull one image.

        Args:
            reference: What is pulled: by digest where it has one.
            wanted: The image that the reference is a mirror's copy of, for messages.

        Raises:
            PullFailed: It could not be had.
        """
        cuts = 0

        def again(error: BaseException) -> bool:
            nonlocal cuts
            if not isinstance(error, PullFailed):
                return False
            if error.trouble is Trouble.CUT:
                cuts += 1
                return cuts == 1
            return error.trouble is Trouble.RATE_LIMIT and (error.retry_after or 0) <= _LONGEST_RETRY_AFTER

        def report(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            why = error.trouble if isinstance(error, PullFailed) else Trouble.OTHER
            self.retries[str(reference)] = state.attempt_number
            self.status(f"{reference}: {why}; trying again in {state.upcoming_sleep:.0f} s ({state.attempt_number})")

        retrying = Retrying(
            retry=retry_if_exception(again),
            stop=stop_any(stop_after_attempt(_ATTEMPTS), stop_when_event_set(self.stop)),
            wait=_pause,
            sleep=self.clock.sleep,
            before_sleep=report,
            reraise=True,
        )
        retrying(self._once, reference, wanted)

    def _once(self, reference: Reference, wanted: Reference | None) -> None:
        started: set[str] = set()
        finished: set[str] = set()

        def on_line(line: str) -> None:
            if found := _LAYER.match(line):
                started.add(line[:12])
                if found[1] != "Pulling fs layer":
                    finished.add(line[:12])
                    self.status(f"{reference.path}: {len(finished)} of {len(started)} layers")

        command: list[str | Path] = [self.engine.docker, "pull", reference.to_pull]
        try:
            self.runner.run(command, env=self.engine.env, timeout=_PULL_SECONDS, on_line=on_line)
        except CommandFailed as error:
            raise PullFailed(reference, error.stderr or error.stdout, wanted=wanted) from error
        except CommandTimeout as error:
            raise PullFailed(reference, f"timeout: {error.message}", wanted=wanted) from error


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: what the registry asked for, else doubling."""
    error = state.outcome.exception() if state.outcome else None
    doubling = min(_FIRST_PAUSE * 2.0 ** (state.attempt_number - 1), _LONGEST_PAUSE)
    if isinstance(error, PullFailed) and error.retry_after is not None:
        return error.retry_after
    return doubling


def _last_words(said: str) -> str:
    """The lines that tell, without progress."""
    lines = [line for line in said.strip().splitlines() if line.strip()]
    return "\n".join(lines[-5:]) or "nothing"


def _next_step(trouble: Trouble, host: str, original: str) -> str:
    login = "docker login" if host == DOCKER_HUB else f"docker login {host}"
    # A mirror takes the place of the registry that the images name, also when it is a mirror that failed.
    other = f"--registry-mirror {original}=<{'mirror' if host == original else 'another mirror'}>, or --supply packages"
    steps = {
        Trouble.RATE_LIMIT: f"`{login}` raises the limit; or {other}",
        Trouble.CUT: f"run the same command again: what arrived is kept; or {other}",
        Trouble.AUTH: f"`{login}` with an account that may read it; or {other}",
        Trouble.CONTENT: f"do not use this registry or mirror until you know why it serves another image; or {other}",
        Trouble.MISSING: f"check the mirror or registry that {host} is; or {other}",
        Trouble.UNREACHABLE: f"check network, proxy and the engine's certificates; or {other}",
        Trouble.DISK: "`harness cache` shows what the caches hold; `harness cache --clear` empties them",
        Trouble.OTHER: f"try `docker pull` by hand; or {other}",
    }
    return steps[trouble]
