"""A run that is killed leaves nothing, by itself or after a sweep, and touches nothing that is not its own."""

from __future__ import annotations

import signal

import pytest

from .points import MAKE_POINTS, POINTS, SEEDING, SIGNALS, Point, Via
from .stage import Stage

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_nothing_is_left(accompanied: Stage, point: Point, number: signal.Signals) -> None:
    accompanied.kill(point, number)


def test_a_cluster_of_another_state_folder_is_neither_swept_nor_taken(accompanied: Stage) -> None:
    engines = accompanied.engines()
    try:
        accompanied.meet(engines.acquire())
    finally:
        engines.release(keep=False)


@pytest.mark.parametrize("point", MAKE_POINTS, ids=lambda point: point.name)
def test_nothing_is_left_of_make_e2e_after_a_terminals_interrupt(accompanied: Stage, point: Point) -> None:
    accompanied.kill(point, signal.SIGINT, via=Via.MAKE)


def test_nothing_is_left_of_a_suite_that_is_killed_while_it_seeds(accompanied: Stage) -> None:
    accompanied.kill(SEEDING, signal.SIGKILL, via=Via.MAKE)
