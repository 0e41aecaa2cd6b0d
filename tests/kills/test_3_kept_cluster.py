"""A run that is killed on a kept cluster costs neither the cluster nor the next run on it."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .points import CHANGING_POINTS, KEPT_POINTS, SIGNALS, Point
from .stage import Stage

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def kept(stage: Stage) -> Iterator[str]:
    """The name of a kept cluster; afterwards it is taken down, and the machine is as it was."""
    before = stage.look()
    name = f"harness-kills-{secrets.token_hex(2)}"
    # With a run behind it: the first one on a cluster has nothing to empty.
    stage.harness("run", "--keep", "always", "--cluster", name)
    yield name
    stage.harness("down", "--cluster", name)
    left = stage.settled(before)
    assert not left, left


@pytest.mark.parametrize("point", KEPT_POINTS, ids=lambda point: point.name)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_kept_cluster_outlives_a_killed_run(stage: Stage, kept: str, point: Point, number: signal.Signals) -> None:
    stage.kill_on_kept(kept, point, number)


@pytest.mark.parametrize("point", CHANGING_POINTS, ids=lambda point: point.name)
def test_a_kept_cluster_outlives_a_run_that_is_killed_while_it_changes_it(
    stage: Stage, kept: str, point: Point, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(f"config: {{core: {{max_templated_field_length: {4096 + secrets.randbelow(999)}}}}}\n")
    stage.kill_on_kept(kept, point, signal.SIGKILL, "--values", values)
