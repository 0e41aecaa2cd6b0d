"""Conditions of a policy's statement: "IAM JSON policy elements: Condition operators" in the IAM user guide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from harness.lookalike import condition_keys
from harness.lookalike.patterns import Context, MalformedPolicy, like, variables

_Test = Callable[[str, str, Context | None], bool]
# These alone take variables ("IAM policy elements: Variables and tags").
_TEXT: Final[Mapping[str, _Test]] = {
    "StringEquals": partial(like, wild=False),
    "StringEqualsIgnoreCase": partial(like, wild=False, any_case=True),
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
}
_POSITIVE: Final[Mapping[str, _Test]] = {
    **_TEXT,
    "Bool": lambda value, wanted, _: value.lower() == wanted.lower(),
    "NumericLessThanEquals": lambda value, wanted, _: float(value) <= float(wanted),
    "NumericEquals": lambda value, wanted, _: float(value) == float(wanted),
}
_NEGATIVE: Final = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}


@dataclass(frozen=True, slots=True)
class _Operator:
    test: _Test
    negated: bool
    if_exists: bool
    quantifier: str


def check(conditions: Any, *, with_variables: bool) -> None:
    """Hold what a statement has as Condition to be understood here.

    Args:
        conditions: What it has.
        with_variables: Whether `${` begins a variable in this policy.

    Raises:
        MalformedPolicy: It is not.
    """
    if not isinstance(conditions, dict):
        raise MalformedPolicy("Condition has operators, with keys and values")
    for name, keys in conditions.items():
        operator = _operator(name)
        if not isinstance(keys, dict):
            raise MalformedPolicy(f"{name} takes keys with values")
        for key, wanted in keys.items():
            check_key(key)
            for text in _texts(wanted) if with_variables else ():
                if check_variables(text) and not _takes_variables(operator):
                    raise MalformedPolicy(f"{name} takes no variables: {key}")


def check_key(key: str) -> None:
    """Hold a condition key to be one that requests have here.

    Raises:
        MalformedPolicy: It would never be there: the policy would mean less, or more, than it says.
    """
    if not condition_keys.given(key):
        raise MalformedPolicy(f"the look-alike's requests have no condition key {key}")


def check_variables(text: str) -> bool:
    """Hold a text's variables to stand for something; whether there are any.

    Raises:
        MalformedPolicy: One does not: it has no form that is known, its key is never there, or has many values.
    """
    for key in variables(text):
        check_key(key)
        if key.lower() in condition_keys.MULTIVALUED:
            raise MalformedPolicy(f"{key} has many values and is no variable")
    return "${" in text


def hold(conditions: Mapping[str, Any], context: Context, *, with_variables: bool) -> bool:
    """Whether all conditions of a statement hold.

    Args:
        conditions: By operator.
        context: Of the request, by lower-case key.
        with_variables: Whether `${` begins a variable in this policy.
    """
    given = context if with_variables else None
    return all(
        _holds(_operator(name), context.get(key.lower()), _texts(wanted), given)
        for name, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _operator(name: str) -> _Operator | None:
    """A condition operator; None for Null, which asks only whether a key is there."""
    quantifier, _, rest = name.rpartition(":")
    base = rest.removesuffix("IfExists")
    if base == "Null" and not quantifier:
        return None
    test = _POSITIVE.get(_NEGATIVE.get(base, base))
    if test is None or quantifier not in {"", "ForAllValues", "ForAnyValue"}:
        raise MalformedPolicy(f"condition operator {name} is not understood")
    return _Operator(test, base in _NEGATIVE, rest != base, quantifier)


def _takes_variables(operator: _Operator | None) -> bool:
    return operator is not None and operator.test in _TEXT.values()


def _texts(wanted: Any) -> list[str]:
    many = wanted if isinstance(wanted, list) else [wanted]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in many]


def _holds(
    operator: _Operator | None, found: str | Sequence[str] | None, texts: list[str], given: Context | None
) -> bool:
    if operator is None:
        return (found is None) is (texts == ["true"])
    if found is None:
        # A key that is not there is unlike anything, and nothing is like it ("IAM JSON policy elements: Condition").
        return operator.if_exists or operator.negated or operator.quantifier == "ForAllValues"
    values = [found] if isinstance(found, str) else list(found)
    matches = [any(operator.test(value, text, given) for text in texts) is not operator.negated for value in values]
    return all(matches) if operator.quantifier != "ForAnyValue" else any(matches)
