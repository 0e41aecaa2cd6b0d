"""Folders and an engine for runs of the front door."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model import Engine
from harness.process import SubprocessRunner
from tests.engines import engine_environment, real_engine
from tests.preloaded import HARNESS, preloaded

from .front_door import FrontDoor


@pytest.fixture(scope="session")
def loaded() -> Iterator[Path]:
    """The harness, loaded once for all calls of it."""
    with preloaded(HARNESS) as program:
        yield program


@pytest.fixture
def door(tmp_path: Path, loaded: Path) -> FrontDoor:
    return FrontDoor(tmp_path, program=(loaded,))


@pytest.fixture(scope="session")
def runner() -> SubprocessRunner:
    return SubprocessRunner(env=engine_environment())


@pytest.fixture(scope="session")
def engine(runner: SubprocessRunner) -> Iterator[Engine]:
    with real_engine(runner) as found:
        yield found


@pytest.fixture
def door_with_engine(door: FrontDoor, engine: Engine) -> FrontDoor:
    """A run that finds that engine answering, as if it were the machine's own."""
    named = os.environ.get("CONTRACT_DOCKER_HOST")
    host = engine.host or named
    door.env = {"DOCKER_HOST": host} if host else {}
    return door
