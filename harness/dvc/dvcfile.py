"""The YAML of DVC's own files, read as strictly as DVC reads it; every refusal is a sentence for the reader."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import yaml


class PointerError(ValueError):
    """These bytes are no usable pointer; the message is the reason, as it reads after "the pointer is unusable:"."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses duplicate keys, as DVC's own loader does: they are what a half-resolved merge leaves."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if not isinstance(key, Hashable):
                raise PointerError(f"a key is not a plain word (line {key_node.start_mark.line + 1})")
            if key in seen:
                raise PointerError(f"{key!r} is given twice (line {key_node.start_mark.line + 1})")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


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
