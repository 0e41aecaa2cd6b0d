"""The timeline as rows of text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.report.bars import Bar, bars
from harness.timeline import Phase


def test_bars_are_to_scale() -> None:
    first, second = bars([Phase("a", 0, 5, "done"), Phase("b", 5, 10, "done")], total=10)
    assert (first.text(10), second.text(10)) == ("━━━━━     ", "     ━━━━━")


def test_bars_are_in_order_of_their_beginning() -> None:
    assert [bar.phase.name for bar in bars([Phase("b", 5, 6), Phase("a", 1, 9)], total=10)] == ["a", "b"]


def test_a_phase_that_still_runs_reaches_to_the_end() -> None:
    (bar,) = bars([Phase("a", 5)], total=10)
    assert bar.text(10) == "     ━━━━━"


def test_a_phase_longer_than_the_run_stretches_the_scale() -> None:
    (bar,) = bars([Phase("a", 0, 20, "done")], total=10)
    assert bar.text(10) == "━" * 10


def test_no_phases_no_bars() -> None:
    assert bars([], total=0) == []


@given(
    left=st.floats(min_value=0, max_value=1),
    width=st.floats(min_value=0, max_value=1),
    cells=st.integers(min_value=1, max_value=80),
)
def test_every_bar_is_visible_and_as_wide_as_its_row(left: float, width: float, cells: int) -> None:
    text = Bar(Phase("a", 0, 1, "done"), left, width).text(cells)
    assert len(text) == cells
    assert text.strip()
