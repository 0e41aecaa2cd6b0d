"""Policies: may this principal do this to that.

The evaluation of one account ("Policy evaluation logic" in the IAM user guide): an explicit Deny anywhere wins; then a
resource's own policy may allow; else the identity policies must allow, and a permissions boundary and a session policy,
where there are any, must allow too. What is not understood is refused when a policy is put, never passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from typing import Any, Final

Policy = Mapping[str, Any]
Context = Mapping[str, str | Sequence[str]]
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_KEYS: Final = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"})


class MalformedPolicy(ValueError):
    """A policy is not one, or has something that is not understood here."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants.

    Attributes:
        action: Such as "s3:PutObject".
        resource: ARN.
        context: Condition keys and their values, such as "aws:PrincipalArn".
        principals: What a resource's policy may call the caller: "AWS:arn..." or "Service:...".
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)
    principals: frozenset[str] = frozenset()


def parse(text: str, *, resource_based: bool = False) -> Policy:
    """A policy document.

    Raises:
        MalformedPolicy: It is none, or has an element or operator that is not understood.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise MalformedPolicy(f"this policy is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise MalformedPolicy("a policy is an object with Version 2012-10-17")
    for statement in _statements(document):
        _check(statement, resource_based=resource_based)
    return document


def _check(statement: Any, *, resource_based: bool) -> None:
    if not isinstance(statement, dict) or statement.get("Effect") not in {"Allow", "Deny"}:
        raise MalformedPolicy("a statement is an object with the Effect Allow or Deny")
    if unknown := statement.keys() - _KEYS:
        raise MalformedPolicy(f"not understood: {', '.join(sorted(unknown))}")
    if ("Action" in statement) == ("NotAction" in statement):
        raise MalformedPolicy("a statement has Action or NotAction")
    if ("Principal" in statement) != resource_based:
        raise MalformedPolicy("Principal belongs to policies of resources and of trust, and to no other")
    for operator, keys in statement.get("Condition", {}).items():
        _operator(operator)
        if not isinstance(keys, dict):
            raise MalformedPolicy(f"{operator} takes keys with values")


def allowed(
    request: Request,
    *,
    identity: Iterable[Policy],
    boundary: Policy | None = None,
    session: Policy | None = None,
    resource: Policy | None = None,
) -> bool:
    """Whether a request is allowed.

    Args:
        request: What is wanted.
        identity: Policies of the caller, or of its role.
        boundary: Its permissions boundary.
        session: What its session was narrowed to.
        resource: Policy of the resource itself.
    """
    identities = list(identity)
    limits = [policy for policy in (boundary, session) if policy is not None]
    if resource is not None and _says("Deny", resource, request, by_principal=True):
        return False
    if any(_says("Deny", policy, request) for policy in (*identities, *limits)):
        return False
    if resource is not None and _says("Allow", resource, request, by_principal=True):
        return True
    return any(_says("Allow", policy, request) for policy in identities) and all(
        _says("Allow", policy, request) for policy in limits
    )


def trusts(policy: Policy, request: Request) -> bool:
    """Whether a role's trust policy lets the caller do this (sts:AssumeRole, sts:TagSession)."""
    return _says("Allow", policy, request, by_principal=True) and not _says("Deny", policy, request, by_principal=True)


def _says(effect: str, policy: Policy, request: Request, *, by_principal: bool = False) -> bool:
    return any(
        statement["Effect"] == effect
        and (not by_principal or _names_principal(statement, request))
        and _names(statement, "Action", request.action, any_case=True)
        and _names(statement, "Resource", request.resource)
        and all(_holds(name, keys, request.context) for name, keys in statement.get("Condition", {}).items())
        for statement in _statements(policy)
    )


def _statements(policy: Policy) -> list[dict[str, Any]]:
    return _many(policy.get("Statement", []))


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _names(statement: Mapping[str, Any], element: str, value: str, *, any_case: bool = False) -> bool:
    """Whether Action or Resource, or what they leave out, is meant; trust policies have no Resource."""
    for key, wanted in ((element, True), (f"Not{element}", False)):
        if key in statement:
            return any(_like(value, pattern, any_case=any_case) for pattern in _many(statement[key])) is wanted
    return True


def _names_principal(statement: Mapping[str, Any], request: Request) -> bool:
    principal = statement["Principal"]
    if principal == "*":
        return True
    named = {f"{kind}:{name}" for kind, names in principal.items() for name in _many(names)}
    return bool(named & request.principals) or "AWS:*" in named


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    # fnmatch also knows [...], which policies do not.
    return re.compile(translate(pattern.replace("[", "[[]")), re.DOTALL)


def _like(value: str, pattern: str, *, any_case: bool = False) -> bool:
    if any_case:
        value, pattern = value.lower(), pattern.lower()
    return _glob(pattern).match(value) is not None


_Test = Callable[[str, str], bool]
_POSITIVE: Final[Mapping[str, _Test]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "NumericLessThanEquals": lambda value, wanted: float(value) <= float(wanted),
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
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


def _holds(name: str, keys: Mapping[str, Any], context: Context) -> bool:
    known = {key.lower(): value for key, value in context.items()}
    operator = _operator(name)
    return all(_holds_for(operator, known.get(key.lower()), _many(wanted)) for key, wanted in keys.items())


def _holds_for(operator: _Operator | None, found: str | Sequence[str] | None, wanted: list[Any]) -> bool:
    texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in wanted]
    if operator is None:
        return (found is None) is (texts == ["true"])
    if found is None:
        # A key that is not there is unlike anything, and nothing is like it ("IAM JSON policy elements: Condition").
        return operator.if_exists or operator.negated or operator.quantifier == "ForAllValues"
    values = [found] if isinstance(found, str) else list(found)
    matches = [any(operator.test(value, text) for text in texts) is not operator.negated for value in values]
    return all(matches) if operator.quantifier != "ForAnyValue" else any(matches)
