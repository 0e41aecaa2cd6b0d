"""A policy against recorded calls: what of them it would refuse, and what of it none of them needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.lookalike import policies
from harness.lookalike.calls import Call
from harness.lookalike.policies import Request

# What the record does not have: the condition keys of a request.
_PASSED = {"iam:PassedToService": "pods.eks.amazonaws.com"}


def actions_of(statement: Mapping[str, Any]) -> list[str]:
    """What a statement allows."""
    found = statement["Action"]
    return found if isinstance(found, list) else [found]


def refused(policy: Mapping[str, Any], calls: list[Call]) -> list[tuple[str, str]]:
    """What of these calls a policy would not allow."""
    asked = {check for call in calls for check in call.checked}
    return sorted(
        (action, resource)
        for action, resource in asked
        if not policies.allowed(
            Request(action, resource, _PASSED if action == "iam:PassRole" else {}), identity=[policy]
        )
    )


def without_one(policy: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The policy without one action of one statement, each in turn."""
    for number, statement in enumerate(policy["Statement"]):
        actions = actions_of(statement)
        for action in actions:
            left = [one for one in actions if one != action]
            rest = [*policy["Statement"]]
            rest[number : number + 1] = [{**statement, "Action": left}] if left else []
            yield f"{statement['Sid']}: {action}", {**policy, "Statement": rest}


def needless(policy: Mapping[str, Any], calls: list[Call]) -> list[str]:
    """What of a policy no recorded call needs."""
    return [name for name, less in without_one(policy) if not refused(less, calls)]
