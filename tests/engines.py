"""The real container engine of the tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import platformdirs
import pytest

from harness.model import Engine
from harness.process import SubprocessRunner, which
from harness.settings import APP
from harness.supply.engine import EngineFolders, EngineSupply
from harness.wait import Waiter


def engine_environment() -> Mapping[str, str]:
    """The environment of programs that are to find the engine which CONTRACT_DOCKER_HOST names, if it names one."""
    named = os.environ.get("CONTRACT_DOCKER_HOST")
    return {**os.environ, **({"DOCKER_HOST": named} if named else {})}


@contextmanager
def real_engine(runner: SubprocessRunner) -> Iterator[Engine]:
    """The engine that answers, or the harness's own, started where Docker is installed and this is root."""
    state, cache = platformdirs.user_state_path(APP), platformdirs.user_cache_path(APP)
    supply = EngineSupply(folders=EngineFolders.below(state, cache), runner=runner, waiter=Waiter())
    installable = os.geteuid() == 0 and which("dockerd", path="/usr/sbin:/usr/bin") is not None
    if not installable and supply.answering() is None:
        pytest.skip("no container engine answers: start Docker, or run `make e2e` once as root, which installs it")
    # Also one that answers already is taken by `acquire`: another worker may have started it, and would stop it.
    yield supply.acquire()
    supply.release(keep=(state / "clusters").is_dir() and any((state / "clusters").glob("*/cluster.json")))
