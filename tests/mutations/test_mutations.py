"""Each mutation is killed, by its own check and for its own reason; each legal variation stays green.

What cannot be judged is neither.
"""

from __future__ import annotations

import pytest

from . import mutations as _mutations  # noqa: F401 - fills the table
from . import variations as _variations  # noqa: F401 - fills the table
from .played import Played, assert_green, assert_killed, assert_undecided
from .table import MUTATIONS, UNDECIDED, VARIATIONS

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_is_killed(mutations: dict[str, Played], name: str) -> None:
    assert_killed(name, mutations)


@pytest.mark.parametrize("name", UNDECIDED)
def test_run_that_was_not_seen_has_no_verdict(mutations: dict[str, Played], name: str) -> None:
    assert_undecided(name, mutations)


@pytest.mark.parametrize("name", VARIATIONS)
def test_legal_variation_stays_green(variations: dict[str, Played], name: str) -> None:
    assert_green(name, variations)
