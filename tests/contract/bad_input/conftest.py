"""Folders and an engine for runs of the front door."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from harness.model import Engine
from harness.process import SubprocessRunner, which
from harness.settings import APP
from harness.supply.engine import EngineFolders, EngineSupply
from harness.wait import Waiter

from .front_door import FrontDoor


@pytest.fixture
def door(tmp_path: Path) -> FrontDoor:
    return FrontDoor(tmp_path)


@pytest.fixture(scope="session")
def runner() -> SubprocessRunner:
    named = os.environ.get("CONTRACT_DOCKER_HOST")
    return SubprocessRunner(env={**os.environ, **({"DOCKER_HOST": named} if named else {})})


@pytest.fixture(scope="session")
def engine(runner: SubprocessRunner) -> Iterator[Engine]:
    """The engine that answers, or the harness's own, started where Docker is installed and this is root."""
    state, cache = platformdirs.user_state_path(APP), platformdirs.user_cache_path(APP)
    supply = EngineSupply(folders=EngineFolders.below(state, cache), runner=runner, waiter=Waiter())
    installable = os.geteuid() == 0 and which("dockerd", path="/usr/sbin:/usr/bin") is not None
    if not installable and supply.answering() is None:
        pytest.skip("no container engine answers: start Docker, or run `make e2e` once as root, which installs it")
    yield supply.acquire()
    supply.release(keep=(state / "clusters").is_dir() and any((state / "clusters").glob("*/cluster.json")))


@pytest.fixture
def door_with_engine(door: FrontDoor, engine: Engine) -> FrontDoor:
    """A run that finds that engine answering, as if it were the machine's own."""
    named = os.environ.get("CONTRACT_DOCKER_HOST")
    host = engine.host or named
    door.env = {"DOCKER_HOST": host} if host else {}
    return door
