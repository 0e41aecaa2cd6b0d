"""Text of a policy that stands for other text: wildcards, and variables whose values come with the request.

"IAM policy elements: Variables and tags" in the IAM user guide: `${key}`, `${key, 'default'}`, and `${*}`, `${?}`,
`${$}` for the character. What a variable stands for is no pattern; one without a value is like nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Context = Mapping[str, str | Sequence[str]]
_VARIABLE: Final = re.compile(r"\$\{([^{}]+)\}")
_NAMED: Final = re.compile(r"(?P<key>[^',]+)(?:, '(?P<default>[^']*)')?")
_CHARACTERS: Final = frozenset({"*", "?", "$"})
_WILD: Final = {"*": ".*", "?": "."}


class MalformedPolicy(ValueError):
    """A policy is not one, or has something that is not understood here."""


def like(value: str, text: str, context: Context | None, *, wild: bool = True, any_case: bool = False) -> bool:
    """Whether a value is what a policy's text stands for.

    Args:
        value: Of the request.
        text: Of the policy.
        context: What variables stand for, by lower-case key; None where `${` is text like any other.
        wild: Whether * and ? stand for others.
        any_case: Whether capitals make no difference.
    """
    expression = _expression(text, context, wild=wild)
    flags = re.DOTALL | (re.IGNORECASE if any_case else re.NOFLAG)
    return expression is not None and re.fullmatch(expression, value, flags) is not None


def variables(text: str) -> Iterator[str]:
    """The keys that a text's variables name.

    Raises:
        MalformedPolicy: It has a variable of no form that is known.
    """
    for number, piece in enumerate(_VARIABLE.split(text)):
        if number % 2 == 0:
            if "${" in piece:
                raise MalformedPolicy(f"not understood: the variable in {text}")
        elif piece not in _CHARACTERS:
            if (named := _NAMED.fullmatch(piece)) is None:
                raise MalformedPolicy(f"not understood: ${{{piece}}}")
            yield named["key"]


def _expression(text: str, context: Context | None, *, wild: bool) -> str | None:
    """The regular expression; None if a variable has no value."""
    if context is None:
        return _fixed(text, wild=wild)
    expression = ""
    for number, piece in enumerate(_VARIABLE.split(text)):
        if number % 2 == 0:
            expression += _fixed(piece, wild=wild)
        elif (value := _value(piece, context)) is None:
            return None
        else:
            expression += re.escape(value)
    return expression


def _fixed(text: str, *, wild: bool) -> str:
    return "".join(_WILD.get(one) or re.escape(one) for one in text) if wild else re.escape(text)


def _value(variable: str, context: Context) -> str | None:
    if variable in _CHARACTERS:
        return variable
    named = _NAMED.fullmatch(variable)
    if named is None:
        return None
    found = context.get(named["key"].lower())
    # A key of many values cannot be a variable.
    return found if isinstance(found, str) else named["default"]
