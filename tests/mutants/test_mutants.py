"""The pipeline done wrong, on the cluster: each mutant is red by its own check and for its own reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mutations.played import Played, assert_green, assert_killed
from tests.mutations.table import Row

from .table import CONTROL, MUTANTS, PLAYABLE

pytestmark = pytest.mark.e2e


def test_the_pipeline_run_in_the_same_way_is_green(play: Callable[[Row], Played]) -> None:
    """Without it a red mutant proves nothing: the way in which they are run might be what is red."""
    assert_green(CONTROL.name, {CONTROL.name: play(CONTROL)})


@pytest.mark.parametrize("name", PLAYABLE)
def test_mutant_is_caught(play: Callable[[Row], Played], name: str) -> None:
    assert_killed(name, {name: play(MUTANTS[name])})
