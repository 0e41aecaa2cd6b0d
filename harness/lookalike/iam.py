"""IAM: roles, with their trust, inline and managed policies, permissions boundary and tags.

Codes and conflicts are those of the IAM API reference: a name that is taken, a role that still has policies, a document
that is no policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from harness.lookalike import policies
from harness.lookalike.errors import AwsError
from harness.lookalike.iam_policies import ManagedPolicies, policy_document
from harness.lookalike.iam_providers import Providers
from harness.lookalike.policies import Policy
from harness.lookalike.principals import Principal, unique_id
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, Service, tag_context

_DEFAULT_SESSION = 3600


@dataclass(slots=True)
class Role:
    """A role.

    Attributes:
        trust: Its trust policy, as text.
        inline: Inline policies by name, as text.
        attached: ARNs of managed policies.
        boundary: ARN of the managed policy that bounds it; empty for none.
    """

    name: str
    path: str
    arn: str
    role_id: str
    created: datetime
    trust: str
    description: str = ""
    longest_session: int = _DEFAULT_SESSION
    inline: dict[str, str] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    boundary: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def described(self) -> Output:
        """As `GetRole` answers."""
        role: Output = {
            "Path": self.path,
            "RoleName": self.name,
            "RoleId": self.role_id,
            "Arn": self.arn,
            "CreateDate": self.created,
            "AssumeRolePolicyDocument": quote(self.trust),
            "MaxSessionDuration": self.longest_session,
        }
        if self.description:
            role["Description"] = self.description
        if self.boundary:
            role["PermissionsBoundary"] = {
                "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
                "PermissionsBoundaryArn": self.boundary,
            }
        if self.tags:
            role["Tags"] = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return role


class Iam(Service):
    """The service, and what others ask of it."""

    name = "iam"

    def __init__(self, account: Account) -> None:
        self._account = account
        self._roles: dict[str, Role] = {}
        self.managed = ManagedPolicies(account)
        self.providers = Providers(account)
        self.operations = {
            **self.managed.operations(self._attachments),
            **self.providers.operations(),
            "CreateRole": Operation(self._create, self._create_checks),
            "GetRole": Operation(lambda _p, q: {"Role": self._role(q).described()}, self._on_role("GetRole")),
            "DeleteRole": Operation(self._delete, self._on_role("DeleteRole")),
            "ListRoles": Operation(self._list, lambda _q: [Check("iam:ListRoles", self._arn("*"))]),
            "UpdateAssumeRolePolicy": Operation(self._update_trust, self._on_role("UpdateAssumeRolePolicy")),
            "PutRolePolicy": Operation(self._put_inline, self._on_role("PutRolePolicy")),
            "GetRolePolicy": Operation(self._get_inline, self._on_role("GetRolePolicy")),
            "DeleteRolePolicy": Operation(self._delete_inline, self._on_role("DeleteRolePolicy")),
            "ListRolePolicies": Operation(
                lambda _p, q: {"PolicyNames": sorted(self._role(q).inline), "IsTruncated": False},
                self._on_role("ListRolePolicies"),
            ),
            "AttachRolePolicy": Operation(self._attach, self._on_role("AttachRolePolicy")),
            "DetachRolePolicy": Operation(self._detach, self._on_role("DetachRolePolicy")),
            "ListAttachedRolePolicies": Operation(self._list_attached, self._on_role("ListAttachedRolePolicies")),
            "ListInstanceProfilesForRole": Operation(
                self._instance_profiles,
                self._on_role("ListInstanceProfilesForRole"),
            ),
            "PutRolePermissionsBoundary": Operation(self._bound, self._on_role("PutRolePermissionsBoundary")),
            "DeleteRolePermissionsBoundary": Operation(self._unbound, self._on_role("DeleteRolePermissionsBoundary")),
            "TagRole": Operation(self._tag, self._on_role("TagRole")),
            "UntagRole": Operation(self._untag, self._on_role("UntagRole")),
            "ListRoleTags": Operation(
                lambda _p, q: {
                    "Tags": [{"Key": k, "Value": v} for k, v in self._role(q).tags.items()],
                    "IsTruncated": False,
                },
                self._on_role("ListRoleTags"),
            ),
        }

    def role(self, name: str) -> Role | None:
        """A role by name."""
        return self._roles.get(name)

    def role_by_arn(self, arn: str) -> Role | None:
        """A role by ARN."""
        return next((role for role in self._roles.values() if role.arn == arn), None)

    def identity_policies(self, name: str) -> list[Policy]:
        """What a role's policies say, inline and managed; nothing for one that is gone."""
        role = self._roles.get(name)
        if role is None:
            return []
        texts = [*role.inline.values(), *(self.managed.document(arn) for arn in role.attached)]
        return [policies.parse(text) for text in texts]

    def boundary(self, name: str) -> Policy | None:
        """What bounds a role."""
        role = self._roles.get(name)
        return policies.parse(self.managed.document(role.boundary)) if role is not None and role.boundary else None

    def _arn(self, name: str, path: str = "/") -> str:
        return self._account.arn("iam", f"role{path}{name}")

    def _role(self, q: Parameters) -> Role:
        if (role := self._roles.get(q["RoleName"])) is None:
            raise AwsError("NoSuchEntity", f"The role with name {q['RoleName']} cannot be found.", status=404)
        return role

    def _on_role(self, operation: str) -> Callable[[Parameters], Sequence[Check]]:
        def checks(q: Parameters) -> Sequence[Check]:
            role = self._roles.get(q["RoleName"])
            context: dict[str, str | Sequence[str]] = tag_context(_tags(q))
            if role is not None:
                context |= tag_context(role.tags, "aws:ResourceTag") | tag_context(role.tags, "iam:ResourceTag")
                if role.boundary:
                    context["iam:PermissionsBoundary"] = role.boundary
            if "PermissionsBoundary" in q:
                context["iam:PermissionsBoundary"] = q["PermissionsBoundary"]
            if "PolicyArn" in q:
                context["iam:PolicyARN"] = q["PolicyArn"]
            return [Check(f"iam:{operation}", role.arn if role else self._arn(q["RoleName"]), context)]

        return checks

    def _create_checks(self, q: Parameters) -> Sequence[Check]:
        context = tag_context(_tags(q))
        if "PermissionsBoundary" in q:
            context["iam:PermissionsBoundary"] = q["PermissionsBoundary"]
        arn = self._arn(q["RoleName"], q.get("Path", "/"))
        tagging = [Check("iam:TagRole", arn, context)] if q.get("Tags") else []
        return [Check("iam:CreateRole", arn, context), *tagging]

    def _create(self, _caller: Principal, q: Parameters) -> Output:
        name, path = q["RoleName"], q.get("Path", "/")
        # Names are one, whatever their case ("IAM name requirements").
        if any(name.lower() == taken.lower() for taken in self._roles):
            raise AwsError("EntityAlreadyExists", f"Role with name {name} already exists.", status=409)
        policy_document(q["AssumeRolePolicyDocument"], kind="trust")
        if boundary := q.get("PermissionsBoundary", ""):
            self.managed.document(boundary)
        role = Role(
            name, path, self._arn(name, path), unique_id("AROA"), self._account.moment(),
            q["AssumeRolePolicyDocument"], q.get("Description", ""), q.get("MaxSessionDuration", _DEFAULT_SESSION),
            boundary=boundary, tags=_tags(q),
        )  # fmt: skip
        self._roles[name] = role
        return {"Role": role.described()}

    def _delete(self, _caller: Principal, q: Parameters) -> Output:
        role = self._role(q)
        if role.inline or role.attached:
            raise AwsError(
                "DeleteConflict",
                "Cannot delete entity, must detach all policies first."
                if role.attached
                else "Cannot delete entity, must delete policies first.",
                status=409,
            )
        del self._roles[role.name]
        return {}

    def _list(self, _caller: Principal, q: Parameters) -> Output:
        prefix = q.get("PathPrefix", "/")
        found = [role.described() for role in self._roles.values() if role.path.startswith(prefix)]
        # ListRoles leaves tags and boundaries out ("ListRoles" in the API reference).
        for role in found:
            role.pop("Tags", None)
            role.pop("PermissionsBoundary", None)
        return {"Roles": found, "IsTruncated": False}

    def _update_trust(self, _caller: Principal, q: Parameters) -> Output:
        policy_document(q["PolicyDocument"], kind="trust")
        self._role(q).trust = q["PolicyDocument"]
        return {}

    def _put_inline(self, _caller: Principal, q: Parameters) -> Output:
        role = self._role(q)
        policy_document(q["PolicyDocument"])
        role.inline[q["PolicyName"]] = q["PolicyDocument"]
        return {}

    def _get_inline(self, _caller: Principal, q: Parameters) -> Output:
        text = self._inline(q)
        return {"RoleName": q["RoleName"], "PolicyName": q["PolicyName"], "PolicyDocument": quote(text)}

    def _delete_inline(self, _caller: Principal, q: Parameters) -> Output:
        self._inline(q)
        del self._role(q).inline[q["PolicyName"]]
        return {}

    def _inline(self, q: Parameters) -> str:
        try:
            return self._role(q).inline[q["PolicyName"]]
        except KeyError:
            message = f"The role policy with name {q['PolicyName']} cannot be found."
            raise AwsError("NoSuchEntity", message, status=404) from None

    def _attach(self, _caller: Principal, q: Parameters) -> Output:
        role = self._role(q)
        self.managed.document(q["PolicyArn"])
        if q["PolicyArn"] not in role.attached:
            role.attached.append(q["PolicyArn"])
        return {}

    def _detach(self, _caller: Principal, q: Parameters) -> Output:
        role = self._role(q)
        if q["PolicyArn"] not in role.attached:
            raise AwsError("NoSuchEntity", f"Policy {q['PolicyArn']} was not found.", status=404)
        role.attached.remove(q["PolicyArn"])
        return {}

    def _list_attached(self, _caller: Principal, q: Parameters) -> Output:
        attached = [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in self._role(q).attached]
        return {"AttachedPolicies": attached, "IsTruncated": False}

    def _instance_profiles(self, _caller: Principal, q: Parameters) -> Output:
        self._role(q)
        return {"InstanceProfiles": [], "IsTruncated": False}

    def _bound(self, _caller: Principal, q: Parameters) -> Output:
        role = self._role(q)
        self.managed.document(q["PermissionsBoundary"])
        role.boundary = q["PermissionsBoundary"]
        return {}

    def _unbound(self, _caller: Principal, q: Parameters) -> Output:
        role = self._role(q)
        if not role.boundary:
            raise AwsError("NoSuchEntity", f"Role {role.name} has no permissions boundary.", status=404)
        role.boundary = ""
        return {}

    def _tag(self, _caller: Principal, q: Parameters) -> Output:
        self._role(q).tags.update(_tags(q))
        return {}

    def _untag(self, _caller: Principal, q: Parameters) -> Output:
        role = self._role(q)
        for key in q["TagKeys"]:
            role.tags.pop(key, None)
        return {}

    def _attachments(self, arn: str) -> list[str]:
        return [role.name for role in self._roles.values() if arn in {*role.attached, role.boundary}]


def _tags(q: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in q.get("Tags", [])}
