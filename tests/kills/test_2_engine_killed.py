"""An engine of the harness's own that is killed, with or without its run, leaves nothing after a sweep."""

from __future__ import annotations

import signal

import pytest

from .points import ENGINE_POINTS, SIGNALS, Point, Victim
from .stage import Stage

pytestmark = pytest.mark.e2e


@pytest.fixture
def alone(stage: Stage) -> Stage:
    """The machine with an engine that runs only while a run needs it."""
    assert not stage.engines().runs
    if stage.engines().answering() is not None:
        pytest.skip("this machine has an engine of its own, which is not the harness's to kill")
    return stage


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_engine_that_is_being_started_goes_with_its_run(alone: Stage, number: signal.Signals) -> None:
    alone.kill(ENGINE_POINTS[0], number)


@pytest.mark.parametrize("victim", [Victim.BOTH, Victim.ENGINE], ids=str)
@pytest.mark.parametrize("point", ENGINE_POINTS, ids=lambda point: point.name)
def test_nothing_is_left_of_a_killed_engine(alone: Stage, point: Point, victim: Victim) -> None:
    alone.kill_engine(point, victim)
