"""The simulated ETL step: rows appended to a CSV table. Pure: the same table and seed give the same bytes."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from collections.abc import Sequence

from dvc_pipeline.errors import PipelineError

_MISSING = frozenset({"", "NA", "NaN", "nan", "null", "None"})


def with_new_rows(table: bytes, *, count: int, seed: str) -> bytes:
    """The table with `count` new rows at its end; what was there stays byte for byte, line endings included.

    A new row is drawn from the table itself: a complete row chosen by the seed gives the words, rows with the same
    words give the numbers (so that a Gentoo penguin weighs what Gentoo penguins weigh), and a column of distinct
    whole numbers is an identifier and goes on counting.

    Args:
        table: A CSV file in UTF-8 with a header line, separated by commas.
        count: How many rows to append.
        seed: What decides the draw, such as the run's id.

    Raises:
        PipelineError: It is no such table, or has no complete row to draw from.
    """
    if count == 0:
        return table
    header, rows = _parse(table)
    complete = [row for row in rows if not _MISSING.intersection(row)]
    if not complete:
        raise PipelineError("the table has no complete row that a new one could be drawn from")
    numeric = [all(_is_number(row[column]) for row in complete) for column in range(len(header))]
    identifiers = {
        column: last for column in range(len(header)) if (last := _last_identifier(rows, column)) is not None
    }
    material = seed.encode() + b"\0" + hashlib.sha256(table).digest()
    draw = random.Random(int.from_bytes(hashlib.sha256(material).digest()))  # noqa: S311 - data, not a secret
    added = []
    for number in range(1, count + 1):
        row = _draw_row(complete, numeric, draw)
        for column, last in identifiers.items():
            row[column] = str(last + number)
        added.append(row)
    return _append(table, added)


def _parse(table: bytes) -> tuple[list[str], list[list[str]]]:
    try:
        lines = list(csv.reader(io.StringIO(table.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(f"the data file is not a CSV table in UTF-8: {error}") from None
    filled = [line for line in lines if line]
    if not filled:
        raise PipelineError("the data file is empty: it has no header line")
    header, *rows = filled
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise PipelineError(f"row {number} of the data file has {len(row)} fields, its header {len(header)}")
    return header, rows


def _draw_row(complete: Sequence[list[str]], numeric: Sequence[bool], draw: random.Random) -> list[str]:
    model = draw.choice(complete)

    def words(row: list[str]) -> list[str]:
        return [value for value, number in zip(row, numeric, strict=True) if not number]

    alike = [row for row in complete if words(row) == words(model)]
    return [draw.choice(alike)[column] if number else model[column] for column, number in enumerate(numeric)]


def _last_identifier(rows: Sequence[list[str]], column: int) -> int | None:
    values = [row[column] for row in rows]
    if not all(value.isascii() and value.isdigit() for value in values) or len(set(values)) != len(values):
        return None
    return max(map(int, values))


def _append(table: bytes, rows: Sequence[Sequence[str]]) -> bytes:
    first = table.split(b"\n", 1)[0]
    ending = "\r\n" if first.endswith(b"\r") else "\n"
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=ending).writerows(rows)
    text = out.getvalue().encode()
    if table.endswith((b"\n", b"\r")):
        return table + text
    # A table whose last line is not ended stays one.
    return table + ending.encode() + text.removesuffix(ending.encode())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
