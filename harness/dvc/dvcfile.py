"""The YAML of DVC's own files, read as strictly as DVC reads it; every refusal is a sentence for the reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml


class PointerError(ValueError):
    """These bytes are no usable pointer; the message is the reason, as it reads after "the pointer is unusable:"."""


_BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float"))


class _StrictLoader(yaml.SafeLoader):
    """Reads YAML 1.2, as DVC does, and refuses duplicate keys, as its loader does: a half-resolved merge leaves them.

    PyYAML reads YAML 1.1, where `no`, `on` and `12:30` are no text. DVC writes files of such names without quotes
    (dvc 3.67.1 with ruamel.yaml 0.18, `resolver.py`: `implicit_resolvers`).
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here each mapping comes by once, and before a merge (`<<`) has filled it.
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise PointerError(f"a key is not a plain word (line {key.start_mark.line + 1})")
            if (key.tag, key.value) in seen:
                raise PointerError(f"{key.value!r} is given twice (line {key.start_mark.line + 1})")
            seen.add((key.tag, key.value))
        return node


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in {_BOOL, _INT, _FLOAT}]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    (_BOOL, r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    (_INT, r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$", "-+0123456789"),
    (_FLOAT, r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.nan)$",
     "-+0123456789."),
):  # fmt: skip
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


def load_any(data: bytes) -> object:
    """The document in a file of DVC's; None in an empty one.

    Raises:
        PointerError: It is no YAML of one document.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PointerError(f"it is not UTF-8 text ({error.reason} at byte {error.start})") from None
    try:
        # A subclass of SafeLoader, so it builds plain values only.
        document: object = yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except PointerError:
        raise
    except yaml.YAMLError as error:
        raise PointerError(f"it is not YAML ({_one_line(error)})") from None
    except (ValueError, RecursionError) as error:
        # PyYAML builds dates and integers with Python's own constructors, which refuse some that look like them.
        raise PointerError(f"it is not YAML ({error})") from None
    return document


def load(data: bytes) -> object:
    """The same, of a file that must hold something.

    Raises:
        PointerError: It is no YAML of one document, or an empty one.
    """
    document = load_any(data)
    if document is None:
        raise PointerError("it is empty")
    return document


def mapping(value: object, what: str) -> Mapping[str, object]:
    """The value, which must be a mapping of names.

    Raises:
        PointerError: It is none.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise PointerError(f"{what} is {kind(value)}, not a mapping of names")
    return value


def flag(entry: Mapping[str, object], key: str, path: str) -> bool:
    """What a switch of an output says; true where it is not given.

    Raises:
        PointerError: It is no switch.
    """
    value = entry.get(key, True)
    if not isinstance(value, bool):
        raise PointerError(f"{path}: {key!r} is {kind(value)}, not true or false")
    return value


def kind(value: object) -> str:
    """What a value is, for the reader."""
    names = {
        type(None): "empty",
        bool: "true/false",
        int: "a number",
        float: "a decimal number",
        str: "text",
        list: "a list",
    }
    return names.get(type(value), "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}")


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem}, line {error.problem_mark.line + 1}"
    return " ".join(str(error).split())
