"""Whether a caller may: its policies, its boundary, its session's policy, and what every request tells conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.lookalike import condition_keys, policies
from harness.lookalike.errors import LookAlikeBroken, Problem, Refused
from harness.lookalike.iam import Iam
from harness.lookalike.policies import Policy, Request
from harness.lookalike.principals import PARTITION, Principal
from harness.lookalike.service import Account, Check, tag_context


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Asks policies."""

    iam: Iam
    account: Account

    def request(self, caller: Principal, check: Check) -> Request:
        """What policies are asked, with the condition keys that every request has."""
        common = {
            "aws:PrincipalArn": caller.iam_arn,
            "aws:PrincipalAccount": caller.account,
            "aws:PrincipalType": "AssumedRole" if caller.role_name else "User",
            "aws:userid": caller.user_id,
            "aws:RequestedRegion": self.account.region,
            "aws:ResourceAccount": self.account.number,
            **tag_context(caller.tags, "aws:PrincipalTag"),
        }
        if not caller.role_name:
            # Sessions of roles have none ("AWS global condition context keys" in the IAM user guide).
            common["aws:username"] = caller.iam_arn.rpartition("/")[2]
        context = {**common, **check.context}
        if unknown := [key for key in context if not condition_keys.given(key)]:
            raise LookAlikeBroken(f"policies with {', '.join(unknown)} would be refused, and requests have it")
        return Request(
            check.action,
            check.resource,
            context,
            frozenset({f"AWS:{caller.arn}"}),
            frozenset({f"AWS:{caller.iam_arn}"}) if caller.role_name else frozenset(),
            frozenset({f"AWS:{caller.account}", f"AWS:arn:{PARTITION}:iam::{caller.account}:root"}),
        )

    def hold(self, caller: Principal, checks: Sequence[Check], *, resource: Policy | None = None) -> None:
        """Hold a caller to its policies.

        Args:
            caller: Who.
            checks: What must be allowed, each.
            resource: The policy of the resource itself.

        Raises:
            Refused: Something is not allowed; in AWS's words.
        """
        identity = self.iam.identity_policies(caller.role_name) if caller.role_name else caller.policies
        boundary = self.iam.boundary(caller.role_name) if caller.role_name else None
        for check in checks:
            request = self.request(caller, check)
            may = policies.allowed(
                request, identity=identity, boundary=boundary, session=caller.session_policy, resource=resource
            )
            if not may:
                raise Refused(
                    Problem.DENIED,
                    f"User: {caller.arn} is not authorized to perform: {check.action} on resource: {check.resource}",
                )
