from __future__ import annotations

import csv
import io
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.table import TableComparison, TableError, compare_tables

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\ufeff"), max_size=8)
TABLES = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8)


def written(rows: list[tuple[str, str]], end: str = "\n", quoting: Literal[0, 1] = csv.QUOTE_ALL) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


@given(TABLES, TABLES)
def test_appended_rows_leave_the_old_ones_in_place(old: list[tuple[str, str]], more: list[tuple[str, str]]) -> None:
    found = compare_tables([written(old)], [written([*old, *more], "\r\n", csv.QUOTE_MINIMAL)])
    assert found == TableComparison(len(old) - 1, len(old) + len(more) - 1, None, None)


@given(TABLES, st.data())
def test_a_changed_old_row_is_named(old: list[tuple[str, str]], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(old) - 1))
    new = [*old]
    new[index] = (f"{old[index][0]}x", old[index][1])
    difference = compare_tables([written(old)], [written(new)]).difference
    assert difference is not None
    assert difference.startswith(f"row {index}" if index else "the header")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("181", "181.0", True),
        ("1e3", "1000", True),
        ("-0.10", "-0.1", True),
        ("00181", "181", False),
        ("181", "182", False),
        ("NA", "", False),
        ("1", "1.0x", False),
        ("0.1", "0.10000000000000001", False),
    ],
)
def test_a_number_may_change_its_form_but_not_its_value(old: str, new: str, same: bool) -> None:  # noqa: FBT001
    found = compare_tables([f"a,b\n{old},x\n".encode()], [f"a,b\n{new},x\n".encode()])
    assert (found.difference is None) is same


def test_a_lost_row_is_named() -> None:
    assert compare_tables([b"a\n1\n2\n"], [b"a\n1\n"]).difference == "row 2 was 2 and is gone"


def test_a_half_written_row_is_named() -> None:
    assert compare_tables([b"a,b\n1,2\n"], [b"a,b\n1,2\n3"]).ragged == "row 2 has 1 cells, the header 2"


def test_chunks_may_cut_a_character() -> None:
    data = "name\nGrünau\n".encode()
    assert compare_tables([data], [data[:8], data[8:]]).difference is None


@pytest.mark.parametrize("data", [b"a\n\xff\n", b'a\n"open', b'a\n"x"y\n'])
def test_what_is_no_table_is_refused(data: bytes) -> None:
    with pytest.raises(TableError, match="the new data"):
        compare_tables([b"a\n"], [data])
