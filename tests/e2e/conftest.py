"""What is watched while the tests of this folder run, for `test_secrets.py` to look through at their end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.environment import Environment
from tests.contract.canary.watch import CommandLines
from tests.podwatch import PodWatch, watched


@pytest.fixture(scope="session", autouse=True)
def command_lines() -> Iterator[CommandLines]:
    """Those of every process of this machine, from before the environment comes up."""
    with CommandLines() as lines:
        yield lines


@pytest.fixture(scope="session", autouse=True)
def pod_watch(command_lines: CommandLines, environment: Environment) -> Iterator[PodWatch]:
    """The pods, from when the environment is up."""
    del command_lines  # begins first
    assert environment.cluster is not None
    with watched(environment.cluster) as watch:
        yield watch
