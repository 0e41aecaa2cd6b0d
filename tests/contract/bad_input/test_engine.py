"""What is wrong around the engine: registries out of reach, a name that somebody else has."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import ExitCode
from harness.journal import Journal
from harness.model import Engine
from harness.names import LABEL_RUN
from harness.process import SubprocessRunner
from harness.supply.pins import pins
from harness.targets.ownership import KIND_LABEL

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


@pytest.mark.waits
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
def image(engine: Engine, runner: SubprocessRunner) -> Iterator[str]:
    """One with nothing in it; its name is free for anything else."""
    name = f"test-{secrets.token_hex(4)}"
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    docker(engine, runner, "import", "-", f"{name}:1", stdin=empty.getvalue())
    yield name
    docker(engine, runner, "image", "rm", "--force", f"{name}:1")


@pytest.fixture
def somebody_elses(engine: Engine, runner: SubprocessRunner, image: str) -> Iterator[str]:
    """A cluster name whose node's name is that of a container which the harness did not make."""
    docker(engine, runner, "create", "--name", f"{image}-control-plane", f"{image}:1", "never-started")
    yield image
    docker(engine, runner, "rm", f"{image}-control-plane")


@pytest.fixture
def another_states(engine: Engine, runner: SubprocessRunner, image: str) -> Iterator[str]:
    """A cluster as a run of the harness with another state folder makes it."""
    docker(engine, runner, "network", "create", "--label", f"{LABEL_RUN}=of-theirs", image)
    node = f"{image}-control-plane"
    words = ["--name", node, "--network", image, "--label", f"{KIND_LABEL}={image}", f"{image}:1", "never-started"]
    docker(engine, runner, "create", *words)
    yield image
    docker(engine, runner, "rm", "--force", node)
    docker(engine, runner, "network", "rm", image)


def test_a_name_that_somebody_else_has_is_refused_before_anything_is_built_and_left_alone(
    door_with_engine: FrontDoor, engine: Engine, runner: SubprocessRunner, somebody_elses: str
) -> None:
    before = docker(engine, runner, "container", "inspect", f"{somebody_elses}-control-plane")
    ended = door_with_engine.run("--supply", "packages", "--cluster", somebody_elses)
    ended.says(f"{somebody_elses} is in use", f"{somebody_elses}-control-plane (Created)", "--cluster")
    ended.ended_as(ExitCode.ENVIRONMENT_FAILED)
    assert "image " not in ended.text
    assert everything(engine, runner, somebody_elses) == [f"{somebody_elses}-control-plane"]
    assert docker(engine, runner, "container", "inspect", f"{somebody_elses}-control-plane") == before


def of_a_killed_run(door: FrontDoor, engine: Engine, name: str, *, described: bool) -> None:
    """What a run of this state folder leaves that meant to make a cluster of that name."""
    folder = door.home / "state" / "clusters" / name
    Journal(door.home / "state/runs/of-ours/journal.jsonl").record(
        "cluster", name, host=door.env.get("DOCKER_HOST", engine.host), folder=str(folder)
    )
    if described:
        folder.mkdir(parents=True)
        (folder / "cluster.json").write_text(json.dumps({"run": "of-ours", "host": door.env.get("DOCKER_HOST", "")}))


def test_a_cluster_of_another_state_folder_is_not_taken(
    door_with_engine: FrontDoor, engine: Engine, runner: SubprocessRunner, another_states: str
) -> None:
    ended = door_with_engine.run("--supply", "packages", "--cluster", another_states)
    ended.says(f"{another_states} is in use", f"network {another_states} (of run of-theirs)", "--cluster")
    ended.ended_as(ExitCode.ENVIRONMENT_FAILED)
    assert everything(engine, runner, another_states) == [f"{another_states}-control-plane", another_states]


@pytest.mark.parametrize("described", [False, True], ids=["killed before it made it", "it made one once"])
def test_a_cluster_of_another_state_folder_is_not_swept_by_a_journal_that_has_its_name(
    door_with_engine: FrontDoor,
    engine: Engine,
    runner: SubprocessRunner,
    another_states: str,
    described: bool,  # noqa: FBT001
) -> None:
    of_a_killed_run(door_with_engine, engine, another_states, described=described)
    ended = door_with_engine.verb("sweep")
    assert ended.code == ExitCode.GREEN, ended.text
    assert f"left network {another_states} (of run of-theirs): no run here has made it" in ended.text
    assert everything(engine, runner, another_states) == [f"{another_states}-control-plane", another_states]


def test_down_leaves_a_cluster_of_another_state_folder_that_took_the_place_of_the_kept_one(
    door_with_engine: FrontDoor, engine: Engine, runner: SubprocessRunner, another_states: str
) -> None:
    of_a_killed_run(door_with_engine, engine, another_states, described=True)
    shutil.rmtree(door_with_engine.home / "state/runs")
    ended = door_with_engine.verb("down", "--cluster", another_states)
    assert ended.code == ExitCode.GREEN, ended.text
    assert f"left network {another_states} (of run of-theirs): no run here has made it" in ended.text
    assert everything(engine, runner, another_states) == [f"{another_states}-control-plane", another_states]


def test_a_cluster_of_a_killed_run_is_removed_by_its_journal(
    door_with_engine: FrontDoor, engine: Engine, runner: SubprocessRunner, image: str
) -> None:
    docker(engine, runner, "network", "create", "--label", f"{LABEL_RUN}=of-ours", image)
    words = ["--network", image, "--label", f"{KIND_LABEL}={image}", f"{image}:1", "never-started"]
    docker(engine, runner, "create", "--name", f"{image}-control-plane", *words)
    of_a_killed_run(door_with_engine, engine, image, described=True)
    ended = door_with_engine.verb("sweep")
    assert ended.code == ExitCode.GREEN, ended.text
    assert everything(engine, runner, image) == []
