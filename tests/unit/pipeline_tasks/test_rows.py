from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.rows import with_new_rows
from hypothesis import given
from hypothesis import strategies as st

PENGUINS = (Path(__file__).parents[3] / "fixtures" / "data" / "penguins.csv").read_bytes()

words = st.text(alphabet=st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=8)
tables = st.lists(st.tuples(words, st.integers(-999, 999).map(str), words), min_size=1, max_size=12)


def parse(table: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.decode(), newline="")))


@given(rows=tables, count=st.integers(0, 5), ending=st.sampled_from(["\n", "\r\n"]), ended=st.booleans(), seed=words)
def test_new_rows_come_after_untouched_bytes(
    *, rows: list[tuple[str, str, str]], count: int, ending: str, ended: bool, seed: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=ending).writerows([("name", "size", "kind"), *rows, ("complete", "1", "row")])
    table = text.getvalue().encode()
    if not ended:
        table = table.removesuffix(ending.encode())

    result = with_new_rows(table, count=count, seed=seed)

    assert result.startswith(table)
    assert len(parse(result)) == len(parse(table)) + count
    assert parse(result)[: len(parse(table))] == parse(table)
    assert result == with_new_rows(table, count=count, seed=seed)
    if count:
        assert result.endswith(ending.encode()) == ended
        assert (b"\r\n" in result[len(table) :]) == (ending == "\r\n")


@given(seed=words)
def test_a_new_penguin_is_one_that_could_have_been_seen(seed: str) -> None:
    header, *before = parse(PENGUINS)
    row = parse(with_new_rows(PENGUINS, count=1, seed=seed))[-1]

    alike = [old for old in before if (old[0], old[1], old[6]) == (row[0], row[1], row[6])]
    assert len(row) == len(header)
    assert "NA" not in row
    for column in (2, 3, 4, 5, 7):
        assert row[column] in {old[column] for old in alike}


def test_different_runs_draw_different_rows() -> None:
    assert len({with_new_rows(PENGUINS, count=1, seed=f"run-{number}") for number in range(20)}) > 15


def test_an_identifier_goes_on_counting() -> None:
    table = b"Employee ID,name\n7,Ann\n12,Ben\n9,Eve\n"
    assert [row[0] for row in parse(with_new_rows(table, count=2, seed="x"))[-2:]] == ["13", "14"]


def test_no_rows_leave_every_byte_of_even_a_strange_file() -> None:
    assert with_new_rows(b"\xff not a table", count=0, seed="x") == b"\xff not a table"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"", "empty"),
        (b"a,b\n", "no complete row"),
        (b"a,b\n1,NA\n", "no complete row"),
        (b"a,b\n1,2,3\n", "has 3 fields"),
        (b"a,b\n\xff,2\n", "UTF-8"),
        (b'a,b\n"1,2\n', "not a CSV table"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(table: bytes, reason: str) -> None:
    with pytest.raises(PipelineError, match=reason):
        with_new_rows(table, count=1, seed="x")
