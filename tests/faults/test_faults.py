"""Something breaks while the pipeline runs: the run ends as it may, what must hold holds, and then all is well."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .played import Played
from .table import FAULTS, GROUPS

pytestmark = pytest.mark.e2e
CLEAN = "clean-run"
# In the table's order, and behind each group its clean run; so `-k s3` plays one group whole.
STEPS = [
    pytest.param(group, name, id=f"{group}-{name}")
    for group in GROUPS
    for name in (*(row.name for row in FAULTS.values() if row.group == group), CLEAN)
]


@pytest.mark.parametrize(("group", "name"), STEPS)
def test_fault_is_survived(
    group: str, name: str, struck: Callable[[str], Played], clean: Callable[[str], None]
) -> None:
    if name == CLEAN:
        clean(group)
    else:
        assert not struck(name).problems
