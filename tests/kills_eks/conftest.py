"""An EKS look-alike on which run after run is killed; a table of them at the end.

The look-alike is the one of `tests/lookalike`, brought up once; it stays, and only what runs make comes and goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from harness.kubeapi import KubeApi
from tests.kills.points import table
from tests.lookalike.conftest import LookAlike, administrator, entered, kube, lookalike

from .stage import Stage

__all__ = ["administrator", "entered", "kube", "lookalike"]

_STAGE = pytest.StashKey[Stage]()


@pytest.fixture(scope="session")
def stage(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    entered: LookAlike,
    kube: KubeApi,
    administrator: boto3.Session,
) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("kills-eks")
    made = Stage(entered, kube, administrator, folder)
    pytestconfig.stash[_STAGE] = made
    yield made
    # A table that is broken off has a run of its own left; without the look-alike nobody could remove it.
    made.harness("sweep")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    stage = config.stash.get(_STAGE, None)
    if stage is not None and stage.rows:
        terminalreporter.section("kill points on EKS")
        terminalreporter.write(table(stage.rows))
