"""What the check on the run's commits tells, word for word."""

from __future__ import annotations

import pytest

from harness.dvc import judge
from harness.dvc.evidence import Exposure

from .conftest import NEW, Told, given, told

NONE = "no secret in the run's commits"
WHY = "a secret of this run can be read by whoever may clone the repository: it stands in "
PLACES = tuple(Exposure(NEW, f"file {name}") for name in "abcd")
ROWS: dict[str, tuple[tuple[Exposure, ...], Told]] = {
    "none": ((), (True, NONE, "none", "")),
    "one": (PLACES[:1], (False, NONE, "1 place with one", f"{WHY}file a, commit bbbbbbbbbb.")),
    "four": (
        PLACES,
        (False, NONE, "4 places with one",
         (f"{WHY}file a, commit bbbbbbbbbb; file b, commit bbbbbbbbbb; file c, commit bbbbbbbbbb; and 1 more.")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_check_tells_what_it_expected_and_found_and_what_is_wrong(name: str) -> None:
    exposures, expected = ROWS[name]
    assert told("commit.no-secrets", given(exposures=exposures)) == expected


def test_a_run_that_is_to_change_nothing_may_not_commit_one_either() -> None:
    checks = {check.id: check.passed for check in judge(*given(changes=False, exposures=PLACES)).checks}
    assert checks["commit.no-secrets"] is False
