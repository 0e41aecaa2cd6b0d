"""What the services of the look-alike have in common: a caller, what its policies are asked for, operations by name."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from harness.lookalike.errors import AwsError
from harness.lookalike.policies import Context
from harness.lookalike.principals import PARTITION, Principal

Parameters = Mapping[str, Any]
Output = dict[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Account:
    """Where all of it is.

    Attributes:
        number: Twelve digits.
        region: The one region that there is.
        now: The time.
    """

    number: str
    region: str
    now: Callable[[], datetime]

    def moment(self) -> datetime:
        """Now, in whole seconds, as answers have it."""
        return self.now().replace(microsecond=0)

    def arn(self, service: str, resource: str) -> str:
        """Of a thing in this account; IAM has no region."""
        region = "" if service == "iam" else self.region
        return f"arn:{PARTITION}:{service}:{region}:{self.number}:{resource}"


@dataclass(frozen=True, slots=True)
class Check:
    """Something that the caller's policies must allow.

    Attributes:
        action: IAM action.
        resource: ARN.
        context: Condition keys of this request, besides those that every request has.
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        handle: Does it; gives the output as boto3 gives it to its caller.
        checks: What must be allowed first; an empty list for calls that anybody with keys may make.
    """

    handle: Callable[[Principal, Parameters], Output]
    checks: Callable[[Parameters], Sequence[Check]]


class Service:
    """A service by its operations.

    Attributes:
        name: As boto3 names it.
        operations: By name; one that is in AWS's model and not here is answered with 501.
    """

    name: str
    operations: Mapping[str, Operation]

    def find(self, operation: str) -> Operation:
        """An operation.

        Raises:
            AwsError: The look-alike does not speak it.
        """
        try:
            return self.operations[operation]
        except KeyError:
            message = f"the look-alike does not speak {self.name}'s {operation}; it is in AWS's model"
            raise AwsError("NotImplemented", message, status=501) from None


def tag_context(tags: Mapping[str, str], kind: str = "aws:RequestTag") -> dict[str, str | Sequence[str]]:
    """Condition keys of tags that come with a request, or stand on a resource."""
    keys: dict[str, str | Sequence[str]] = {f"{kind}/{name}": value for name, value in tags.items()}
    if kind == "aws:RequestTag" and tags:
        keys["aws:TagKeys"] = tuple(tags)
    return keys


def page(items: Sequence[Item], *, size: int | None, token: str | None, default: int = 100) -> tuple[list[Item], str]:
    """A page of a list and the token of the next; an empty token where there is none.

    Raises:
        AwsError: The token is not one that was given out.
    """
    try:
        start = int(base64.urlsafe_b64decode(token)) if token else 0
    except ValueError:
        raise AwsError("InvalidParameterException", "nextToken is not valid") from None
    end = start + (size or default)
    return list(items[start:end]), base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(items) else ""
