"""IAM's managed policies: what roles are bounded by and may have attached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from harness.lookalike import policies
from harness.lookalike.errors import AwsError
from harness.lookalike.policies import Kind, MalformedPolicy
from harness.lookalike.principals import Principal, unique_id
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, tag_context


def policy_document(text: str, *, kind: Kind = "identity") -> None:
    """Hold a text to be a policy.

    Raises:
        AwsError: It is none.
    """
    try:
        policies.parse(text, kind)
    except MalformedPolicy as error:
        raise AwsError("MalformedPolicyDocument", str(error)) from None


@dataclass(frozen=True, slots=True)
class ManagedPolicy:
    """A managed policy; it has one version here."""

    name: str
    path: str
    arn: str
    policy_id: str
    created: datetime
    document: str
    tags: dict[str, str]


class ManagedPolicies:
    """Those of the account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[str, ManagedPolicy] = {}

    def document(self, arn: str) -> str:
        """What a policy says.

        Raises:
            AwsError: There is none.
        """
        return self._find(arn).document

    def operations(self, attachments: Callable[[str], list[str]]) -> dict[str, Operation]:
        """IAM's operations on them.

        Args:
            attachments: Names of the roles that have or are bounded by a policy, by its ARN.
        """

        def described(policy: ManagedPolicy) -> Output:
            return {
                "PolicyName": policy.name,
                "PolicyId": policy.policy_id,
                "Arn": policy.arn,
                "Path": policy.path,
                "DefaultVersionId": "v1",
                "AttachmentCount": len(attachments(policy.arn)),
                "IsAttachable": True,
                "CreateDate": policy.created,
                "UpdateDate": policy.created,
            }

        def delete(_caller: Principal, q: Parameters) -> Output:
            if roles := attachments(self._find(q["PolicyArn"]).arn):
                message = f"Cannot delete a policy attached to entities: {', '.join(roles)}."
                raise AwsError("DeleteConflict", message, status=409)
            del self._known[q["PolicyArn"]]
            return {}

        def version(_caller: Principal, q: Parameters) -> Output:
            policy = self._find(q["PolicyArn"])
            if q["VersionId"] != "v1":
                raise AwsError(
                    "NoSuchEntity", f"Policy {policy.arn} version {q['VersionId']} does not exist.", status=404
                )
            document = quote(policy.document)
            return {
                "PolicyVersion": {
                    "Document": document, "VersionId": "v1", "IsDefaultVersion": True, "CreateDate": policy.created
                }
            }  # fmt: skip

        def listed(_caller: Principal, _q: Parameters) -> Output:
            return {"Policies": [described(policy) for policy in self._known.values()], "IsTruncated": False}

        def on(operation: str) -> Callable[[Parameters], list[Check]]:
            return lambda q: [Check(f"iam:{operation}", q["PolicyArn"])]

        return {
            "CreatePolicy": Operation(lambda _c, q: {"Policy": described(self._create(q))}, self._create_checks),
            "GetPolicy": Operation(lambda _c, q: {"Policy": described(self._find(q["PolicyArn"]))}, on("GetPolicy")),
            "GetPolicyVersion": Operation(version, on("GetPolicyVersion")),
            "DeletePolicy": Operation(delete, on("DeletePolicy")),
            "ListPolicies": Operation(listed, lambda _q: [Check("iam:ListPolicies", "*")]),
        }

    def _arn(self, q: Parameters) -> str:
        return self._account.arn("iam", f"policy{q.get('Path', '/')}{q['PolicyName']}")

    def _create_checks(self, q: Parameters) -> list[Check]:
        context = tag_context({tag["Key"]: tag["Value"] for tag in q.get("Tags", [])})
        tagging = [Check("iam:TagPolicy", self._arn(q), context)] if q.get("Tags") else []
        return [Check("iam:CreatePolicy", self._arn(q), context), *tagging]

    def _create(self, q: Parameters) -> ManagedPolicy:
        arn = self._arn(q)
        if arn in self._known:
            message = f"A policy called {q['PolicyName']} already exists. Duplicate names are not allowed."
            raise AwsError("EntityAlreadyExists", message, status=409)
        policy_document(q["PolicyDocument"])
        tags = {tag["Key"]: tag["Value"] for tag in q.get("Tags", [])}
        policy = ManagedPolicy(
            q["PolicyName"],
            q.get("Path", "/"),
            arn,
            unique_id("ANPA"),
            self._account.moment(),
            q["PolicyDocument"],
            tags,
        )
        self._known[arn] = policy
        return policy

    def _find(self, arn: str) -> ManagedPolicy:
        if (policy := self._known.get(arn)) is None:
            raise AwsError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", status=404)
        return policy
