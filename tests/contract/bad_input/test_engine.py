"""What is wrong around the engine: registries out of reach, a name that somebody else has."""

from __future__ import annotations

import io
import os
import secrets
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import ExitCode
from harness.model import Engine
from harness.process import SubprocessRunner
from harness.supply.pins import pins

from .front_door import FrontDoor


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on loopback that is held but not listened on: connections are refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Programs that only know their versions, so that none is downloaded."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, tool in pins().tools.items():
        (folder / name).write_text(f"#!/bin/sh\necho {name} v{tool.version} go1.24.0\n")
        (folder / name).chmod(0o755)
    return folder


def docker(engine: Engine, runner: SubprocessRunner, *arguments: str, stdin: bytes | None = None) -> str:
    return runner.run([engine.docker, *arguments], env=engine.env, stdin=stdin, timeout=60).stdout.strip()


def everything(engine: Engine, runner: SubprocessRunner, name: str) -> list[str]:
    """Containers and networks of that name."""
    listed = [
        docker(engine, runner, "container", "ls", "--all", "--filter", f"name={name}", "--format", "{{.Names}}"),
        docker(engine, runner, "network", "ls", "--filter", f"name={name}", "--format", "{{.Name}}"),
    ]
    return [line for text in listed for line in text.splitlines()]


def test_a_registry_out_of_reach_is_named_with_what_to_do(
    door_with_engine: FrontDoor, engine: Engine, runner: SubprocessRunner, closed_port: int, programs: Path
) -> None:
    door_with_engine.env = {**door_with_engine.env, "PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}
    name = f"test-{secrets.token_hex(4)}"
    mirrors = [f"{host}=127.0.0.1:{closed_port}" for host in ("docker.io", "registry.k8s.io")]
    flags = [part for mirror in mirrors for part in ("--registry-mirror", mirror)]
    ended = door_with_engine.run("--supply", "registry", "--cluster", name, *flags)
    ended.says(f"127.0.0.1:{closed_port}", "could not be pulled", "cannot be reached", "--registry-mirror docker.io=")
    ended.ended_as(ExitCode.ENVIRONMENT_FAILED)
    assert everything(engine, runner, name) == []


@pytest.fixture
def somebody_elses(engine: Engine, runner: SubprocessRunner) -> Iterator[str]:
    """A cluster name whose node's name is that of a container which the harness did not make."""
    name = f"test-{secrets.token_hex(4)}"
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    docker(engine, runner, "import", "-", f"{name}:1", stdin=empty.getvalue())
    try:
        docker(engine, runner, "create", "--name", f"{name}-control-plane", f"{name}:1", "never-started")
        yield name
        docker(engine, runner, "rm", f"{name}-control-plane")
    finally:
        docker(engine, runner, "image", "rm", "--force", f"{name}:1")


def test_a_name_that_somebody_else_has_is_refused_before_anything_is_built_and_left_alone(
    door_with_engine: FrontDoor, engine: Engine, runner: SubprocessRunner, somebody_elses: str
) -> None:
    before = docker(engine, runner, "container", "inspect", f"{somebody_elses}-control-plane")
    ended = door_with_engine.run("--supply", "packages", "--cluster", somebody_elses)
    ended.says(f"{somebody_elses} is in use", f"{somebody_elses}-control-plane, Created", "--cluster")
    ended.ended_as(ExitCode.ENVIRONMENT_FAILED)
    assert "image " not in ended.text
    assert everything(engine, runner, somebody_elses) == [f"{somebody_elses}-control-plane"]
    assert docker(engine, runner, "container", "inspect", f"{somebody_elses}-control-plane") == before
