"""Every difference between two documents of `document.py`, at the deepest place that both have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# What a document says of itself.
_OF_THE_DOCUMENT: Final = frozenset({"schema", "run", "target"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two documents differ.

    Attributes:
        path: Of the place, from the top.
        left: What one has there, as JSON with sorted keys; None where it has nothing.
        right: The other, likewise.
    """

    path: tuple[str, ...]
    left: str | None
    right: str | None

    @property
    def place(self) -> str:
        """The path in one line."""
        return " / ".join(self.path)

    def __str__(self) -> str:
        """One line for the reader."""
        return f"{self.place}: {self.change}"

    @property
    def change(self) -> str:
        """What it is on either side, in one line."""
        return f"{_shown(self.left)} -> {_shown(self.right)}"


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What of two documents is not the same, in the order of their places; what a document says of itself left out."""
    return tuple(
        _within(
            {name: part for name, part in left.items() if name not in _OF_THE_DOCUMENT},
            {name: part for name, part in right.items() if name not in _OF_THE_DOCUMENT},
            (),
        )
    )


def _within(left: Any, right: Any, path: tuple[str, ...]) -> Iterator[Difference]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            where = (*path, key)
            if key in left and key in right:
                yield from _within(left[key], right[key], where)
            else:
                yield Difference(
                    where, _text(left[key]) if key in left else None, _text(right[key]) if key in right else None
                )
    elif _is_list(left) and _is_list(right) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _within(one, other, (*path, str(number)))
    elif _text(left) != _text(right):
        # By their text: to Python, 1 and True are the same.
        yield Difference(path, _text(left), _text(right))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _shown(text: str | None) -> str:
    return "nothing" if text is None else text
