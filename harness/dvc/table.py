"""Two versions of a CSV table: are the old rows still there, in order, and what came after them?

Both are read as streams, in step, so a large table never stands in memory. Line ends and quoting are form, not
content: pandas and spreadsheets rewrite them. So is a number's form (`181` and `181.0`, `.5` and `0.5`), since pandas
turns a column of whole numbers with a gap into floats. A code with leading zeros (`00181`) or a plus (`+4930`, a
telephone's) is no number, and one such as `12e4` must not become `120000.0`; a plain number may be written with an
exponent, as pandas does with `0.00001`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any

_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?P<exponent>[eE][-+]?[0-9]{1,3})?")
_SHOWN_CELLS = 6
# In characters. A quote that is never closed makes one cell of the rest of the table, which must not fill the memory.
LONGEST_CELL = 16 * 1024 * 1024
_TOO_LONG = "field larger than field limit"


class TableError(ValueError):
    """These bytes are no table; the message is the reason."""


@dataclass(frozen=True, slots=True)
class TableComparison:
    """How the new table differs from the old one. Rows are counted without the header.

    Attributes:
        old_rows: Rows of the old table.
        new_rows: Rows of the new table.
        difference: The first old row, or the header, that is not in its place; None if all are.
        ragged: The first new row whose number of cells is not the header's, or that comes after the old ones and holds
            nothing; None if there is none.
    """

    old_rows: int
    new_rows: int
    difference: str | None
    ragged: str | None


def compare_tables(old: Iterable[bytes], new: Iterable[bytes]) -> TableComparison:
    """Compare two CSV tables, each given as chunks of UTF-8 bytes.

    Raises:
        TableError: One of them is not a CSV table.
    """
    counts = [0, 0]
    difference = ragged = None
    width: int | None = None
    for number, (before, after) in enumerate(zip_longest(_rows(old, "old"), _rows(new, "new"))):
        what = f"row {number}" if number else "the header"
        if before is not None:
            counts[0] += 1
            if difference is None and (after is None or not _same(before, after)):
                difference = f"{what} was {_shown(before)} and is {_shown(after)}"
        if after is not None:
            counts[1] += 1
            width = len(after) if width is None else width
            if ragged is None and len(after) != width:
                ragged = f"{what} has {len(after)} cells, the header {width}"
            if ragged is None and before is None and not any(cell.strip() for cell in after):
                ragged = f"{what} is blank"
    return TableComparison(max(counts[0] - 1, 0), max(counts[1] - 1, 0), difference, ragged)


class _Chunks(io.RawIOBase):
    """Chunks as a file, for the standard library's text decoding."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._held = chunk
        taken = self._held[: len(buffer)]
        buffer[: len(taken)] = taken
        self._held = self._held[len(taken) :]
        return len(taken)


def _rows(chunks: Iterable[bytes], which: str) -> Iterator[list[str]]:
    text = io.TextIOWrapper(io.BufferedReader(_Chunks(chunks)), encoding="utf-8-sig", newline="")
    # The limit is the process's, and asked for at each character: raised only, so that no other thread is in the way.
    if csv.field_size_limit() < LONGEST_CELL:
        csv.field_size_limit(LONGEST_CELL)
    try:
        yield from (row for row in csv.reader(text, strict=True) if row)
    except (csv.Error, UnicodeDecodeError) as error:
        if str(error).startswith(_TOO_LONG):
            most = csv.field_size_limit()
            raise TableError(f"the {which} data has a cell of more than {most} characters, which is not read") from None
        raise TableError(f"the {which} data is not a CSV table in UTF-8 ({error})") from None


def _same(before: list[str], after: list[str]) -> bool:
    return len(before) == len(after) and all(map(_same_cell, before, after))


def _same_cell(left: str, right: str) -> bool:
    if left == right:
        return True
    one, other = _NUMBER.fullmatch(left), _NUMBER.fullmatch(right)
    if one is None or other is None or (one["exponent"] and not other["exponent"]):
        return False
    return Decimal(left) == Decimal(right)


def _shown(row: list[str] | None) -> str:
    if row is None:
        return "gone"
    return ",".join(row[:_SHOWN_CELLS]) + (",..." if len(row) > _SHOWN_CELLS else "")
