"""What a team prepares in AWS, changed for the length of a block and put back to what it was, word for word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT

from .account import Account

# All that can be given to a new one (botocore's model of EKS; the external ID of a target role is EKS's to give).
_KEPT = ("roleArn", "targetRoleArn", "disableSessionTags", "policy", "tags")


@contextmanager
def without_association(account: Account) -> Iterator[None]:
    """The service account of the DVC pods is associated with no role."""
    eks = account.administrator.client("eks")
    of = {"clusterName": account.cluster, "namespace": AIRFLOW_NAMESPACE, "serviceAccount": DVC_SERVICE_ACCOUNT}
    try:
        (listed,) = eks.list_pod_identity_associations(**of)["associations"]
        gone = eks.delete_pod_identity_association(clusterName=account.cluster, associationId=listed["associationId"])[
            "association"
        ]
        try:
            yield
        finally:
            eks.create_pod_identity_association(**of, **{name: gone[name] for name in _KEPT if gone.get(name)})
    finally:
        eks.close()


@contextmanager
def without_action(account: Account, action: str) -> Iterator[None]:
    """The role's own policies do not have an action that they name."""
    iam, role = account.administrator.client("iam"), account.role.rpartition("/")[2]
    try:
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        before = {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
        reduced = {name: _without(document, action) for name, document in before.items()}
        changed = [name for name in names if reduced[name] != before[name]]
        assert changed, f"no inline policy of {role} names {action}: these tests cannot take it away"
        try:
            for name in changed:
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(reduced[name]))
            yield
        finally:
            for name in changed:
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before[name]))
    finally:
        iam.close()


def _without(document: dict[str, Any], action: str) -> dict[str, Any]:
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    made = []
    for statement in statements:
        named = statement.get("Action", [])
        kept = [one for one in ([named] if isinstance(named, str) else named) if one.lower() != action.lower()]
        if statement["Effect"] != "Allow" or "Action" not in statement:
            made.append(statement)
        elif kept:
            made.append({**statement, "Action": kept})
    return {**document, "Statement": made}
