"""Parameters against a shape of botocore's models: names, types, required members, and the shape's own constraints.

botocore's `ParamValidator` knows names, types, required members and lower bounds; AWS's servers also hold patterns,
enumerations and upper bounds, which is added here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

from harness.lookalike.errors import LookAlikeBroken

_SIZED: Final = (str, bytes, list, dict)
# Letters, separators and digits of any script, as tags may have them (botocore 1.43: sts and iam, tagKeyType).
_UNICODE_NAMES: Final = r"\p{L}\p{Z}\p{N}"
_WORDS: Final = r"\w\s"


def problems_of(value: Any, shape: Shape) -> list[str]:
    """What is wrong with a value, as boto3 takes or gives it, for a shape; empty if nothing is."""
    report = ParamValidator().validate(value, shape)
    found = report.generate_report().splitlines() if report.has_errors() else []
    return found or list(_constraints(value, shape, ""))


def hold(value: Any, shape: Shape | None, what: str) -> None:
    """Hold an answer of the look-alike to its shape.

    Raises:
        LookAlikeBroken: It is another.
    """
    if shape is None:
        if value:
            raise LookAlikeBroken(f"{what} has no output, and the look-alike gave {value!r}")
        return
    if found := problems_of(value, shape):
        raise LookAlikeBroken(f"the answer of {what} is not what botocore's model says: {'; '.join(found)}")


def _constraints(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, item in value.items():
            yield from _constraints(item, shape.members[name], f"{path}.{name}".lstrip("."))
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _constraints(item, shape.member, f"{path}[{number}]")
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _constraints(key, shape.key, f"{path} key {key!r}")
            yield from _constraints(item, shape.value, f"{path}[{key!r}]")
    yield from _own(value, shape, path)


def _own(value: Any, shape: Shape, path: str) -> Iterator[str]:
    most = shape.metadata.get("max")
    measured = len(value) if isinstance(value, _SIZED) else value
    if most is not None and isinstance(measured, (int, float)) and measured > most:
        yield f"{path}: at most {most}, this is {measured}"
    if not isinstance(shape, StringShape) or not isinstance(value, str):
        return
    if shape.enum and value not in shape.enum:
        yield f"{path}: {value!r} is not one of {', '.join(shape.enum)}"
    pattern = _pattern(str(shape.metadata.get("pattern", "")))
    if pattern is not None and not pattern.search(value):
        yield f"{path}: {value!r} does not match {pattern.pattern}"


@cache
def _pattern(text: str) -> re.Pattern[str] | None:
    """A pattern of a model, for all of a value. They are Java's; the models here use one class that Python lacks."""
    if not text:
        return None
    return re.compile(rf"(?s:\A(?:{text.replace(_UNICODE_NAMES, _WORDS)})\Z)")
