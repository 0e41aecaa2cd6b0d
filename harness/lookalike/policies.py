"""Policies: may this principal do this to that.

The evaluation of one account ("Policy evaluation logic" in the IAM user guide): an explicit Deny anywhere wins; then
the identity policies must allow, and a permissions boundary and a session policy, where there are any, must allow too.
A resource's own policy that names the session or the user stands for all of these, one that names the role for the
identity policies, and one that names the account leaves it to them. What is not understood is refused when a policy is
put, never passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from harness.lookalike import conditions
from harness.lookalike.patterns import Context, MalformedPolicy, like

__all__ = ["Context", "Kind", "MalformedPolicy", "Policy", "Request", "allowed", "parse", "trusts"]

Policy = Mapping[str, Any]
# The first alone knows variables ("IAM JSON policy elements: Version" in the IAM user guide).
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
Kind = Literal["identity", "bucket", "trust"]
_ELEMENTS: Final = frozenset({"Version", "Id", "Statement"})
_KEYS: Final = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"})
_ACTION: Final = re.compile(r"\*|[\w-]+:[\w*?]+", re.ASCII)
_RESOURCE: Final = re.compile(r"\*|arn(:[^:]*){4}:.+", re.DOTALL)
_PRINCIPAL: Final = re.compile(r"\*|\d{12}|arn:[^*?]+")


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants.

    Attributes:
        action: Such as "s3:PutObject".
        resource: ARN.
        context: Condition keys and their values, such as "aws:PrincipalArn".
        principals: What a resource's policy may call the caller itself: "AWS:arn..." or "Service:...".
        role: What it may call the role that the caller is a session of.
        account: What it may call the caller's account.
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)
    principals: frozenset[str] = frozenset()
    role: frozenset[str] = frozenset()
    account: frozenset[str] = frozenset()

    @property
    def anybody(self) -> frozenset[str]:
        """By all that may be meant by the caller."""
        return self.principals | self.role | self.account


def parse(text: str, kind: Kind = "identity") -> Policy:
    """A policy document.

    Args:
        text: JSON.
        kind: What it is put to: elements differ ("Grammar of the IAM JSON policy language" in the IAM user guide).

    Raises:
        MalformedPolicy: It is none, or has an element, operator or form that is not understood.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise MalformedPolicy(f"this policy is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise MalformedPolicy("a policy is an object with Version 2012-10-17")
    if "Statement" not in document or document.keys() - _ELEMENTS:
        raise MalformedPolicy(f"a policy has a Statement, and of {', '.join(sorted(_ELEMENTS))} no more")
    for statement in _statements(document):
        _check(statement, kind)
        _check_texts(statement, with_variables=_has_variables(document))
    return document


def _check(statement: Any, kind: Kind) -> None:
    if not isinstance(statement, dict) or statement.get("Effect") not in {"Allow", "Deny"}:
        raise MalformedPolicy("a statement is an object with the Effect Allow or Deny")
    if unknown := statement.keys() - _KEYS:
        raise MalformedPolicy(f"not understood: {', '.join(sorted(unknown))}")
    _check_one_of(statement, "Action", _ACTION, "a service, a colon and an action, or *")
    if ("Principal" in statement) != (kind != "identity"):
        raise MalformedPolicy("Principal belongs to policies of resources and of trust, and to no other")
    _check_principal(statement.get("Principal", "*"))
    if kind != "trust":
        _check_one_of(statement, "Resource", _RESOURCE, "an ARN, or *")
    elif not statement.keys().isdisjoint({"Resource", "NotResource"}):
        raise MalformedPolicy("a trust policy has no Resource: it is its role's")


def _check_one_of(statement: Mapping[str, Any], element: str, form: re.Pattern[str], words: str) -> None:
    """Hold a statement to have an element or what it leaves out, and its texts to their form."""
    if (element in statement) == (f"Not{element}" in statement):
        raise MalformedPolicy(f"a statement has {element} or Not{element}")
    texts = _many(statement.get(element, statement.get(f"Not{element}")))
    if not texts or not all(isinstance(text, str) and form.fullmatch(text) for text in texts):
        raise MalformedPolicy(f"{element} is {words}: {texts}")


def _check_principal(principal: Any) -> None:
    if principal == "*":
        return
    if not isinstance(principal, dict) or not principal or principal.keys() - {"AWS", "Service", "Federated"}:
        raise MalformedPolicy("Principal is * or has AWS, Service or Federated")
    for name in _many(principal.get("AWS", [])):
        # "You cannot use a wildcard to match part of a principal name or ARN."
        if not isinstance(name, str) or not _PRINCIPAL.fullmatch(name):
            raise MalformedPolicy(f"a principal of AWS is an account, an ARN without wildcards, or *: {name}")


def _check_texts(statement: Mapping[str, Any], *, with_variables: bool) -> None:
    conditions.check(statement.get("Condition", {}), with_variables=with_variables)
    if not with_variables:
        return
    for element in ("Resource", "NotResource"):
        for arn in _many(statement.get(element, [])):
            # "only in the resource portion of the ARN", "after the fifth colon".
            if conditions.check_variables(arn) and "${" in ":".join(arn.split(":")[:5]):
                raise MalformedPolicy(f"a variable stands after the fifth colon of {element}: {arn}")


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
    if resource is not None and _says("Deny", resource, request, request.anybody):
        return False
    if any(_says("Deny", policy, request) for policy in (*identities, *limits)):
        return False
    if resource is not None and _says("Allow", resource, request, request.principals):
        return True
    by_role = resource is not None and _says("Allow", resource, request, request.role)
    return (by_role or any(_says("Allow", policy, request) for policy in identities)) and all(
        _says("Allow", policy, request) for policy in limits
    )


def trusts(policy: Policy, request: Request) -> bool:
    """Whether a role's trust policy lets the caller do this (sts:AssumeRole, sts:TagSession)."""
    return _says("Allow", policy, request, request.anybody) and not _says("Deny", policy, request, request.anybody)


def _says(effect: str, policy: Policy, request: Request, names: frozenset[str] | None = None) -> bool:
    """Whether a statement of this effect is about a request and, in a resource's policy, about one of these names."""
    context = {key.lower(): value for key, value in request.context.items()}
    with_variables = _has_variables(policy)
    return any(
        statement["Effect"] == effect
        and (names is None or _names_principal(statement, names))
        and _names(statement, "Action", request.action, None, any_case=True)
        and _names(statement, "Resource", request.resource, context if with_variables else None)
        and conditions.hold(statement.get("Condition", {}), context, with_variables=with_variables)
        for statement in _statements(policy)
    )


def _has_variables(policy: Policy) -> bool:
    return policy.get("Version") == _VERSIONS[0]


def _statements(policy: Policy) -> list[dict[str, Any]]:
    return _many(policy.get("Statement", []))


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _names(
    statement: Mapping[str, Any], element: str, value: str, context: Context | None, *, any_case: bool = False
) -> bool:
    """Whether Action or Resource, or what they leave out, is meant; trust policies have no Resource."""
    for key, wanted in ((element, True), (f"Not{element}", False)):
        if key in statement:
            return any(like(value, text, context, any_case=any_case) for text in _many(statement[key])) is wanted
    return True


def _names_principal(statement: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Everybody is also each session, by which no boundary limits it ("AWS JSON policy elements: Principal")."""
    principal = statement["Principal"]
    if principal == "*":
        return True
    named = {f"{kind}:{name}" for kind, of_kind in principal.items() for name in _many(of_kind)}
    return bool(named & names) or "AWS:*" in named
