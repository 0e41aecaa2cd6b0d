"""The role of the DVC pods: its trust, its one inline policy, its permissions boundary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.eks_admin.things import ADOPTED_BY, Found, Marks, State, Taken, listed
from harness.eks_policies import differences
from harness.errors import CleanupFailed
from harness.targets.eks.aws import AwsRefused, explained

_GONE: Final = "NoSuchEntity"
_TAKEN: Final = "EntityAlreadyExists"
# In the ARN of a provider, before its issuer.
_PROVIDER: Final = ":oidc-provider/"


@dataclass(frozen=True, slots=True)
class Role:
    """A role.

    Attributes:
        iam: A client of IAM.
        name: Of the role.
        policy_name: Of its inline policy.
        trust: Its trust policy.
        policy: Its inline policy.
        boundary: ARN of its permissions boundary; empty for whichever it has.
        marks: Its tags.
    """

    iam: Any
    name: str
    policy_name: str
    trust: Mapping[str, Any]
    policy: Mapping[str, Any]
    boundary: str
    marks: Marks
    kind: str = "aws-role"

    @property
    def what(self) -> str:
        """For the reader."""
        return f"role {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        role = self._get()
        if role is None:
            return Found(State.ABSENT)
        if (path := role["Path"]) != "/":
            # Ours has none, and the association and the policies of whoever prepares name it without.
            return Found(State.FOREIGN, note=f"its path is {path}, and one with a path is not used", adoptable=False)
        tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
        found = self.marks.read(tags, tuple(self._differences(role)))
        bound = _boundary(role)
        if found.state is State.OURS and bound and not self.boundary:
            return replace(found, note=f"permissions boundary {bound}, which was not asked for")
        return found

    def make(self) -> None:
        """See `Thing`."""
        bound = {"PermissionsBoundary": self.boundary} if self.boundary else {}
        try:
            with explained(f"create the role {self.name}"):
                self.iam.create_role(
                    RoleName=self.name,
                    AssumeRolePolicyDocument=json.dumps(self.trust),
                    Description="S3 for the DVC pods of Airflow, by airflow-dvc-harness",
                    Tags=listed(self.marks.tags),
                    **bound,
                )
        except AwsRefused as refused:
            if refused.code == _TAKEN:
                raise Taken from refused
            raise
        self._put_policy()

    def mend(self) -> None:
        """See `Thing`; what somebody has added to it is left, and goes on being told, and so is a boundary."""
        role = self._get() or {}
        with explained(f"mend the role {self.name}"):
            self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(self.trust))
            if self.boundary and _boundary(role) != self.boundary:
                self.iam.put_role_permissions_boundary(RoleName=self.name, PermissionsBoundary=self.boundary)
            self.iam.tag_role(RoleName=self.name, Tags=listed(self.marks.tags))
        self._put_policy()

    def adopt(self) -> None:
        """See `Thing`."""
        with explained(f"tag the role {self.name}"):
            self.iam.tag_role(RoleName=self.name, Tags=listed(self.marks.adopting))

    def release(self) -> None:
        """See `Thing`."""
        with explained(f"take our tag off the role {self.name}"):
            self.iam.untag_role(RoleName=self.name, TagKeys=[ADOPTED_BY])

    def remove(self) -> None:
        """See `Thing`; whole or not at all.

        Raises:
            CleanupFailed: It has a policy that is not ours, with which IAM deletes no role.
        """
        with explained(f"read the policies of the role {self.name}"):
            inline = self._policies()
            others = [*(name for name in inline if name != self.policy_name), *self._attached()]
        if others:
            raise CleanupFailed(
                f"the role {self.name} has policies that were added to it: {', '.join(others)}",
                next_step="take them off it, if nobody needs them",
            )
        with explained(f"delete the role {self.name}"):
            if self.policy_name in inline:
                self.iam.delete_role_policy(RoleName=self.name, PolicyName=self.policy_name)
            self.iam.delete_role(RoleName=self.name)

    def trusted(self) -> list[str]:
        """Issuers whose providers it trusts, if it is ours: by its trust as it stands.

        Raises:
            AwsRefused: It may not be asked.
        """
        role = self._get()
        if role is None or self.look().state is not State.OURS:
            return []
        statements = role["AssumeRolePolicyDocument"]["Statement"]
        principals = [one["Principal"] for one in (statements if isinstance(statements, list) else [statements])]
        federated = [one.get("Federated", "") for one in principals if isinstance(one, dict)]
        return [one.partition(_PROVIDER)[2] for one in federated if isinstance(one, str) and _PROVIDER in one]

    def _get(self) -> dict[str, Any] | None:
        try:
            with explained(f"look for the role {self.name}"):
                found: dict[str, Any] = self.iam.get_role(RoleName=self.name)["Role"]
        except AwsRefused as refused:
            if refused.code == _GONE:
                return None
            raise
        return found

    def _put_policy(self) -> None:
        with explained(f"put the policy {self.policy_name} on the role {self.name}"):
            self.iam.put_role_policy(
                RoleName=self.name, PolicyName=self.policy_name, PolicyDocument=json.dumps(self.policy)
            )

    def _policies(self) -> list[str]:
        found: list[str] = []
        for page in self.iam.get_paginator("list_role_policies").paginate(RoleName=self.name):
            found += page["PolicyNames"]
        return found

    def _attached(self) -> list[str]:
        listed = self.iam.list_attached_role_policies(RoleName=self.name)["AttachedPolicies"]
        return [str(one["PolicyArn"]) for one in listed]

    def _differences(self, role: Mapping[str, Any]) -> list[str]:
        told = [f"trust: {line}" for line in differences(self.trust, role["AssumeRolePolicyDocument"])]
        with explained(f"read the policies of the role {self.name}"):
            names = self._policies()
            if self.policy_name in names:
                found = self.iam.get_role_policy(RoleName=self.name, PolicyName=self.policy_name)["PolicyDocument"]
                told += [f"policy: {line}" for line in differences(self.policy, found)]
            else:
                told.append(f"no policy {self.policy_name}")
            attached = self._attached()
        told += [f"a further policy: {name}" for name in names if name != self.policy_name]
        told += [f"attached: {arn}" for arn in attached]
        if self.boundary and (bound := _boundary(role)) != self.boundary:
            told.append(f"permissions boundary: {bound or 'none'}, expected {self.boundary}")
        return told


def _boundary(role: Mapping[str, Any]) -> str:
    return str((role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn", ""))
