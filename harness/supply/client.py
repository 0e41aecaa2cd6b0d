"""Docker's client program: which one to use, and what the engine at an address answers to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import CommandTimeout, GuardError
from harness.model import Engine
from harness.process import Runner
from harness.supply.debian import program_path

_FIRST_CLIENT_WITHOUT_BUILDKIT = 23
_ANSWER_SECONDS = 15.0
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address said.

    Attributes:
        engine: What answers there; None if nothing does.
        silent: Whether something took the question and did not answer it in time.
    """

    engine: Engine | None
    silent: bool = False


def ask(runner: Runner, host: str, *, ours: bool) -> Answer:
    """Who answers at an address, asked with every client on PATH.

    Args:
        runner: Runs them.
        host: As DOCKER_HOST takes it; empty for a client's own default.
        ours: Whether that engine is the harness's own.

    Raises:
        GuardError: That is an engine on another machine. It is not asked anything.
    """
    engines: list[Engine] = []
    for docker in _clients():
        if not host:
            _refuse_another_machine(_default_host(runner, docker))
        try:
            version = _server_version(runner, docker, host)
        except CommandTimeout:
            # The next client would only ask the same silent engine.
            return Answer(None, silent=True)
        if version is not None:
            engines.append(Engine(docker=docker, host=host, ours=ours, version=version))
    if not engines:
        return Answer(None)
    # Several clients may be installed; one may lack BuildKit where the next has it.
    return Answer(next((engine for engine in engines if _has_buildkit(runner, engine.docker)), engines[0]))


def _default_host(runner: Runner, docker: Path) -> str:
    """Where a client would go by itself, by DOCKER_HOST or by its own context; empty where it cannot say.

    What cannot say has no contexts (podman's stand-in for docker), and goes to a socket of this machine.
    """
    command: list[str | Path] = [docker, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    return runner.run(command, timeout=_ANSWER_SECONDS, check=False).stdout.strip()


def _refuse_another_machine(host: str) -> None:
    """Privileged containers are made, and services reached on loopback: both on this machine or not at all."""
    where = urlsplit(host)
    if not host or where.scheme in {"unix", "npipe", "fd"} or where.hostname in _THIS_MACHINE:
        return
    raise GuardError(
        f"Docker is set to the engine at {host}, which is on another machine; the harness works on this one only",
        next_step="unset DOCKER_HOST, or `docker context use default`, then run again",
    )


def _server_version(runner: Runner, docker: Path, host: str) -> str | None:
    environment = {"DOCKER_HOST": host} if host else {}
    command: list[str | Path] = [docker, "version", "--format", "{{.Server.Version}}"]
    done = runner.run(command, env=environment, timeout=_ANSWER_SECONDS, check=False)
    return done.stdout.strip() if done.code == 0 and done.stdout.strip() else None


def _has_buildkit(runner: Runner, docker: Path) -> bool:
    """BuildKit is built into clients before 23.0 and a plug-in (buildx) from then on."""
    if runner.run([docker, "buildx", "version"], timeout=15, check=False).code == 0:
        return True
    client = runner.run([docker, "version", "--format", "{{.Client.Version}}"], timeout=15, check=False)
    major = client.stdout.split(".")[0]
    return major.isdigit() and int(major) < _FIRST_CLIENT_WITHOUT_BUILDKIT


def _clients() -> list[Path]:
    """Every `docker` on PATH, in order."""
    found: list[Path] = []
    for folder in program_path().split(os.pathsep):
        candidate = Path(folder) / "docker"
        if os.access(candidate, os.X_OK) and candidate.is_file() and candidate.resolve() not in found:
            found.append(candidate.resolve())
    return found
