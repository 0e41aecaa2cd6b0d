"""Run ids that pods carry unchanged, and logical dates that no other run has."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.airflow.runids import LONGEST, checked_run_id, new_logical_date, new_run_id, safe_label
from harness.errors import UsageError

NOW = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)


def test_a_run_id_tells_when_and_is_a_pod_label() -> None:
    made = new_run_id(now=NOW, token=lambda size: "ab" * size)
    assert made == "harness-20260131T120000-abababab"
    assert checked_run_id(made) == made


def test_run_ids_of_one_moment_differ() -> None:
    assert len({new_run_id(now=NOW) for _ in range(100)}) == 100


@pytest.mark.parametrize("good", ["a", "A.b_c-9", "x" * LONGEST])
def test_what_a_label_takes_is_a_run_id(good: str) -> None:
    assert checked_run_id(good) == good


@pytest.mark.parametrize(
    "bad", ["", "x" * (LONGEST + 1), "a b", "a/b", "manual__2026-01-31T12:00:00+00:00", "-a", "a."]
)
def test_what_a_label_does_not_take_is_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        checked_run_id(bad)


def test_a_prefix_that_makes_it_too_long_is_refused() -> None:
    with pytest.raises(UsageError):
        new_run_id("p" * 50, now=NOW)


def test_a_logical_date_is_now_with_microseconds_of_its_own() -> None:
    made = new_logical_date(now=NOW, token=lambda below: below - 1)
    assert made == NOW.replace(microsecond=999_999)
    assert made.tzinfo is UTC


def test_logical_dates_of_one_moment_differ() -> None:
    assert len({new_logical_date(now=NOW) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("dataset_pipeline", "dataset_pipeline"),
        ("scheduled__2026-01-31T00:00:00+00:00", "scheduled__2026-01-31T0000000000-c7a4d0e4e"),
        ("x" * 70, "x" * 53 + "-7d56c0f83"),
    ],
)
def test_other_texts_become_labels_as_the_executor_makes_them(text: str, label: str) -> None:
    """Expected values: apache-airflow-providers-cncf-kubernetes 10.25.0, make_safe_label_value, by hand."""
    assert safe_label(text) == label
    assert len(label) <= LONGEST
