from __future__ import annotations

import csv
import io
import itertools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.table import LONGEST_CELL, TableComparison, TableError, compare_tables

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\ufeff"), max_size=8)
TABLES = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8)


def written(rows: list[tuple[str, str]], end: str = "\n", quoting: Literal[0, 1] = csv.QUOTE_ALL) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


@given(TABLES, TABLES)
def test_appended_rows_leave_the_old_ones_in_place(old: list[tuple[str, str]], more: list[tuple[str, str]]) -> None:
    more = [row for row in more if any(cell.strip() for cell in row)]
    found = compare_tables([written(old)], [written([*old, *more], "\r\n", csv.QUOTE_MINIMAL)])
    assert found == TableComparison(len(old) - 1, len(old) + len(more) - 1, None, None)


@given(TABLES, st.data())
def test_a_changed_old_row_is_named(old: list[tuple[str, str]], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(old) - 1))
    new = [*old]
    new[index] = (f"{old[index][0]}x", old[index][1])
    difference = compare_tables([written(old)], [written(new)]).difference
    what = f"row {index}" if index else "the header"
    assert difference == f"{what} was {','.join(old[index])} and is {','.join(new[index])}"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("181", "181.0", True),
        ("1.2e5", "12E4", True),
        ("1e-07", "1.0e-7", True),
        ("12e4", "120000.0", False),
        ("12e4", "120000", False),
        ("120000", "12e4", True),
        ("0.00001", "1e-05", True),
        ("-0.10", "-0.1", True),
        (".5", "0.5", True),
        ("-0.50", "-.5", True),
        (".5e3", "500", False),
        (".", "0", False),
        ("00.5", ".5", False),
        ("+5", "5", False),
        ("00181", "181", False),
        ("181", "182", False),
        ("NA", "", False),
        ("1", "1.0x", False),
        ("0.1", "0.10000000000000001", False),
        ("1", "x", False),
        ("x", "1", False),
    ],
)
def test_a_number_may_change_its_form_but_not_its_value_or_kind(old: str, new: str, same: bool) -> None:  # noqa: FBT001
    found = compare_tables([f"a,b\n{old},x\n".encode()], [f"a,b\n{new},x\n".encode()])
    assert (found.difference is None) is same


def test_a_lost_row_is_named() -> None:
    assert compare_tables([b"a\n1\n2\n"], [b"a\n1\n"]).difference == "row 2 was 2 and is gone"


def test_a_half_written_row_is_named() -> None:
    assert compare_tables([b"a,b\n1,2\n"], [b"a,b\n1,2\n3"]).ragged == "row 2 has 1 cells, the header 2"


def test_chunks_may_cut_a_character() -> None:
    data = "name\nGrünau\n".encode()
    assert compare_tables([data], [data[:8], data[8:]]).difference is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a\n\xff\n", "'utf-8' codec can't decode byte 0xff in position 2: invalid start byte"),
        (b'a\n"open', "unexpected end of data"),
        (b'a\n"x"y\n', "',' expected after '\"'"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(TableError) as caught:
        compare_tables([b"a\n"], [data])
    assert str(caught.value) == f"the new data is not a CSV table in UTF-8 ({why})"
    with pytest.raises(TableError) as caught:
        compare_tables([data], [b"a\n"])
    assert str(caught.value) == f"the old data is not a CSV table in UTF-8 ({why})"


def test_a_table_lost_whole_has_no_rows() -> None:
    assert compare_tables([b"a\n1\n"], []) == TableComparison(1, 0, "the header was a and is gone", None)
    assert compare_tables([], [b"a\n1\n"]) == TableComparison(0, 1, None, None)


def test_of_several_differences_the_first_is_named() -> None:
    found = compare_tables([b"a\n1\n2\n"], [b"a\n3\n4,4\n5,5\n"])
    assert (found.difference, found.ragged) == ("row 1 was 1 and is 3", "row 2 has 2 cells, the header 1")


def test_a_long_row_is_cut() -> None:
    six, seven = b"1,2,3,4,5,6\n", b"1,2,3,4,5,6,7\n"
    assert compare_tables([six], [seven]).difference == "the header was 1,2,3,4,5,6 and is 1,2,3,4,5,6,..."


def test_a_byte_order_mark_is_form() -> None:
    assert compare_tables([b"a\n1\n"], [b"\xef\xbb\xbfa\n1\n"]).difference is None


def test_a_line_end_inside_a_cell_is_content() -> None:
    difference = compare_tables([b'a\n"x\r\ny"\n'], [b'a\n"x\ny"\n']).difference
    assert difference == "row 1 was x\r\ny and is x\ny"


def test_a_chunk_larger_than_any_buffer_is_read_whole() -> None:
    table = b"a\n" + b"".join(b"%d\n" % number for number in range(30_000))
    assert compare_tables([table], [table[:5], table[5:]]) == TableComparison(30_000, 30_000, None, None)


def test_a_cell_longer_than_the_standard_librarys_limit_is_read() -> None:
    """As texts and embeddings are: its limit of 128 KiB is the process's, and others may have set it."""
    long = b"x" * 200_000
    for limit in (131_072, 1):
        csv.field_size_limit(limit)
        assert compare_tables([b"a\n" + long], [b"a\n" + long + b"\n1\n"]) == TableComparison(1, 2, None, None)
    assert compare_tables([b"a\n" + long], [b"a\n" + long + b"y"]).difference


def test_a_higher_limit_of_the_process_stays() -> None:
    higher = LONGEST_CELL + 1
    before = csv.field_size_limit(higher)
    try:
        compare_tables([b"a\n"], [b"a\n"])
        assert csv.field_size_limit() == higher
    finally:
        csv.field_size_limit(before)


def test_a_cell_too_long_for_memory_is_refused_as_that() -> None:
    endless = (b"x" * 1_048_576 for _ in range(LONGEST_CELL // 1_048_576 + 1))
    with pytest.raises(TableError) as caught:
        compare_tables([b"a\n"], itertools.chain([b"a\n"], endless))
    assert str(caught.value) == f"the new data has a cell of more than {LONGEST_CELL} characters, which is not read"
