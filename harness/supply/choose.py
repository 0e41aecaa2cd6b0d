"""Which supply a run takes its parts from.

*auto* asks once, at the start, whether everything that *registry* needs answers: the registries of the pinned images,
and where the programs are that this machine lacks. It says what it chose, why, and roughly how long it takes. An
explicit choice is not asked about and not changed: what fails later is an error.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import httpx

from harness.errors import EnvironmentFailed
from harness.imagenames import DOCKER_HUB
from harness.model import Engine
from harness.process import Runner
from harness.settings import SupplyKind
from harness.supply.images import REPOSITORY
from harness.supply.pins import checked_mirrors, pins
from harness.supply.registry_images import PULLED_FILE, Ledger

Chosen = Literal[SupplyKind.REGISTRY, SupplyKind.PACKAGES]
_PROBE_SECONDS = 3.0
# 401 is how a registry with a login answers its base URL:
# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#determining-support
_ANSWERS = frozenset({httpx.codes.OK, httpx.codes.UNAUTHORIZED})
# The API of Docker Hub is not at the host that its references name.
_HUB_API = "registry-1.docker.io"
# Measured on two cores: everything from packages, nothing cached. Pulling: about 2.5 GB at 10 MB/s, and small builds.
_MINUTES_PACKAGES = 10.0
_MINUTES_REGISTRY = 7.0
_MINUTES_READY = 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """Which supply, and what to tell the user.

    Attributes:
        kind: Registry or packages, never auto.
        why: One clause.
        expected_minutes: Roughly, until all parts are here.
    """

    kind: Chosen
    why: str
    expected_minutes: float

    def __str__(self) -> str:
        minutes = self.expected_minutes
        time = f"about {minutes:.0f} min" if minutes >= 1 else "under a minute"
        return f"{self.kind} supply ({self.why}); {time} until all parts are here"


# Of getaddrinfo(3): EAI_NONAME, EAI_AGAIN, EAI_NODATA.
_UNRESOLVED = re.compile(r"\[Errno -[235]\]")
# Host to what is wrong with it; None where it answers.
Answers = Mapping[str, str | None]


def choose(wanted: SupplyKind, probe: Callable[[], Answers], *, minutes: Callable[[Chosen], float]) -> Choice:
    """Choose.

    Args:
        wanted: The setting.
        probe: Asks everything that the registry supply needs; called once, and only for auto.
        minutes: Roughly how long a supply takes here and now.
    """
    if wanted is SupplyKind.REGISTRY:
        return Choice(SupplyKind.REGISTRY, "as asked", minutes(SupplyKind.REGISTRY))
    if wanted is SupplyKind.PACKAGES:
        return Choice(SupplyKind.PACKAGES, "as asked", minutes(SupplyKind.PACKAGES))
    answers = probe()
    silent = {host: problem for host, problem in answers.items() if problem is not None}
    if not silent:
        why = f"{', '.join(sorted(answers))} answered"
        return Choice(SupplyKind.REGISTRY, why, minutes(SupplyKind.REGISTRY))
    # One reason is often that of all: a machine without a resolver, or without a way out.
    hosts: dict[str, list[str]] = {}
    for host, problem in sorted(silent.items()):
        hosts.setdefault(problem, []).append(host)
    why = "; ".join(f"{', '.join(named)}: {problem}" for problem, named in hosts.items())
    return Choice(SupplyKind.PACKAGES, why, minutes(SupplyKind.PACKAGES))


def _pinned_hosts() -> tuple[str, ...]:
    return tuple(sorted({reference.host for reference in pins().images.values()}))


@dataclass(frozen=True, slots=True)
class RegistryProbe:
    """Asks the registries of the pinned images, or their mirrors, and where programs are, whether they answer.

    Attributes:
        mirrors: Registry host to mirror.
        ca_bundle: Certificate authorities; None for the system's.
        seconds: Until a registry counts as silent, name resolution included.
        hosts: Which registries; the pinned images' by default.
        downloads: URLs of programs that would have to be downloaded.
        transport: For tests; None for the machine's network and proxies.
    """

    mirrors: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None
    seconds: float = _PROBE_SECONDS
    hosts: tuple[str, ...] = field(default_factory=_pinned_hosts)
    downloads: tuple[str, ...] = ()
    transport: httpx.BaseTransport | None = None

    def __call__(self) -> Answers:
        """Ask them all at once.

        Returns:
            What is wrong by host asked; None where it answers.
        """
        mirrors = checked_mirrors(self.mirrors)
        registries = sorted({mirrors.get(host, host).partition("/")[0] for host in self.hosts})
        asked = {httpx.URL(url).netloc.decode(): partial(self._no_download, url) for url in sorted(self.downloads)}
        asked |= {host: partial(self._no_registry, host) for host in registries}
        answers: dict[str, str | None] = {}

        def ask(host: str) -> None:
            answers[host] = asked[host]()

        # Daemons, since a name resolver cannot be interrupted and must not hold up the end of the program.
        threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.seconds)
        silent = f"no answer within {self.seconds:.0f} s"
        return {host: answers.get(host, silent) for host in asked}

    def _no_registry(self, host: str) -> str | None:
        status = self._status("GET", f"{_scheme(host)}://{_HUB_API if host == DOCKER_HUB else host}/v2/")
        return status if isinstance(status, str) else None if status in _ANSWERS else f"HTTP {status} at /v2/"

    def _no_download(self, url: str) -> str | None:
        status = self._status("HEAD", url)
        if isinstance(status, str):
            return status
        # A release page sends one on to where its files are.
        well = httpx.codes.is_success(status) or httpx.codes.is_redirect(status)
        return None if well else f"HTTP {status} at {httpx.URL(url).path}"

    def _status(self, method: str, url: str) -> int | str:
        """What it answers, or why it does not."""
        try:
            context = ssl.create_default_context(cafile=str(self.ca_bundle) if self.ca_bundle else None)
            with httpx.Client(timeout=self.seconds, verify=context, transport=self.transport) as client:
                return client.request(method, url).status_code
        except httpx.TimeoutException:
            return f"no answer within {self.seconds:.0f} s"
        except (httpx.HTTPError, OSError) as error:
            said = str(error) or type(error).__name__
            return "the name does not resolve" if _UNRESOLVED.search(said) else said


@dataclass(frozen=True, slots=True)
class ExpectedMinutes:
    """Roughly how long a supply takes, by what the engine already has.

    Attributes:
        engine: Where images are; None if no engine answers yet.
        runner: Runs docker.
        cache_dir: Where the registry supply notes what it pulled.
    """

    engine: Engine | None
    runner: Runner
    cache_dir: Path

    def __call__(self, kind: Chosen) -> float:
        """Minutes."""
        full = _MINUTES_REGISTRY if kind is SupplyKind.REGISTRY else _MINUTES_PACKAGES
        if self.engine is None:
            return full
        try:
            ready = self._share(self.engine, kind)
        except EnvironmentFailed:
            return full  # an estimate is not worth an error; the supply itself will meet it
        return max(full * (1.0 - ready), _MINUTES_READY)

    def _share(self, engine: Engine, kind: Chosen) -> float:
        """The share of the work that is done."""
        if kind is SupplyKind.REGISTRY:
            names = set(Ledger(self.cache_dir / PULLED_FILE).read())
            there = names & _listed(engine, self.runner, names)
            return min(len(there) / len(pins().images), 1.0)
        if _listed(engine, self.runner, [f"{REPOSITORY}/node-full"]):
            return 1.0
        # Compiling Kubernetes is half of the time.
        return 0.5 if _listed(engine, self.runner, [f"{REPOSITORY}/go-tools"]) else 0.0


def _listed(engine: Engine, runner: Runner, names: Iterable[str]) -> set[str]:
    """Which of the images, by name with or without a tag, the engine has."""
    command: list[str | Path] = [engine.docker, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    lines = runner.run(command, env=engine.env, timeout=30).stdout.split()
    present = {*lines, *(line.rpartition(":")[0] for line in lines)}
    return {name for name in names if name in present}


def _scheme(host: str) -> str:
    """The Docker engine, too, speaks plain HTTP with registries on loopback."""
    name = host.rpartition(":")[0] or host
    return "http" if name == "localhost" or name.startswith("127.") else "https"
