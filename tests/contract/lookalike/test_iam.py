"""IAM by boto3: roles and what hangs on them; names that are taken, documents that are none, roles still in use."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from tests.contract.lookalike.conftest import ACCOUNT, ROLE, TRUST, Client
from tests.contract.lookalike.test_signatures import refusal_of

NAME = "Airflow-DVCS3Role"
S3_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::dvc/*"}
        ],
    }
)


@pytest.fixture
def iam(client: Client) -> Any:
    return client("iam")


@pytest.fixture
def role(iam: Any) -> Any:
    made = iam.create_role(
        RoleName=NAME,
        AssumeRolePolicyDocument=json.dumps(TRUST),
        Tags=[{"Key": "harness/run", "Value": "r1"}],
        Description="DVC",
        MaxSessionDuration=7200,
    )
    return made["Role"]


def test_a_role_is_given_back_as_it_was_made(iam: Any, role: Any) -> None:
    found = iam.get_role(RoleName=NAME)["Role"]
    assert found == role
    assert found["Arn"] == ROLE
    assert found["RoleId"].startswith("AROA")
    assert found["AssumeRolePolicyDocument"] == TRUST, "boto3 decodes the URL-encoded document"
    assert found["MaxSessionDuration"] == 7200
    assert iam.list_role_tags(RoleName=NAME)["Tags"] == [{"Key": "harness/run", "Value": "r1"}]
    assert [one["RoleName"] for one in iam.list_roles()["Roles"]] == [NAME]


def test_a_name_is_taken_whatever_its_case(iam: Any, role: Any) -> None:
    given = {"RoleName": NAME.lower(), "AssumeRolePolicyDocument": json.dumps(TRUST)}
    assert refusal_of(iam.create_role, **given) == ("EntityAlreadyExists", 409)


def test_policies_come_and_go_and_hold_their_role(iam: Any, role: Any) -> None:
    iam.put_role_policy(RoleName=NAME, PolicyName="s3", PolicyDocument=S3_POLICY)
    assert iam.list_role_policies(RoleName=NAME)["PolicyNames"] == ["s3"]
    assert iam.get_role_policy(RoleName=NAME, PolicyName="s3")["PolicyDocument"] == json.loads(S3_POLICY)
    assert refusal_of(iam.delete_role, RoleName=NAME) == ("DeleteConflict", 409)
    iam.delete_role_policy(RoleName=NAME, PolicyName="s3")
    iam.delete_role(RoleName=NAME)
    assert refusal_of(iam.get_role, RoleName=NAME) == ("NoSuchEntity", 404)


def test_a_managed_policy_is_attached_and_bounds(iam: Any, role: Any) -> None:
    arn = iam.create_policy(PolicyName="boundary", PolicyDocument=S3_POLICY)["Policy"]["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    iam.put_role_permissions_boundary(RoleName=NAME, PermissionsBoundary=arn)
    bound = iam.get_role(RoleName=NAME)["Role"]["PermissionsBoundary"]
    assert bound["PermissionsBoundaryArn"] == arn
    iam.attach_role_policy(RoleName=NAME, PolicyArn=arn)
    assert iam.list_attached_role_policies(RoleName=NAME)["AttachedPolicies"] == [
        {"PolicyName": "boundary", "PolicyArn": arn}
    ]
    assert refusal_of(iam.delete_policy, PolicyArn=arn) == ("DeleteConflict", 409)
    assert refusal_of(iam.delete_role, RoleName=NAME) == ("DeleteConflict", 409)
    iam.detach_role_policy(RoleName=NAME, PolicyArn=arn)
    iam.delete_role_permissions_boundary(RoleName=NAME)
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == json.loads(S3_POLICY)
    iam.delete_policy(PolicyArn=arn)
    assert refusal_of(iam.get_policy, PolicyArn=arn) == ("NoSuchEntity", 404)


@pytest.mark.parametrize(
    "document",
    [
        "no json",
        '{"Version": "2020-01-01", "Statement": []}',
        '{"Statement": {"Effect": "Permit", "Action": "*", "Resource": "*"}}',
        '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}}',
        '{"Statement": {"Effect": "Allow", "Action": "*"}}',
        '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringSortOf": {"a": "b"}}}}',
    ],
)
def test_what_is_no_policy_is_not_put(iam: Any, role: Any, document: str) -> None:
    given = {"RoleName": NAME, "PolicyName": "s3", "PolicyDocument": document}
    assert refusal_of(iam.put_role_policy, **given) == ("MalformedPolicyDocument", 400)
    assert iam.list_role_policies(RoleName=NAME)["PolicyNames"] == []


def test_a_trust_with_a_resource_is_not_put(iam: Any, role: Any) -> None:
    one = {**TRUST["Statement"][0], "Resource": "*"}
    given = {"RoleName": NAME, "PolicyDocument": json.dumps({**TRUST, "Statement": one})}
    assert refusal_of(iam.update_assume_role_policy, **given) == ("MalformedPolicyDocument", 400)
    assert iam.get_role(RoleName=NAME)["Role"]["AssumeRolePolicyDocument"] == TRUST


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("iam:GetRole", "get_role", {"RoleName": NAME}),
    ("iam:DeleteRole", "delete_role", {"RoleName": NAME}),
    ("iam:PutRolePolicy", "put_role_policy", {"RoleName": NAME, "PolicyName": "s3", "PolicyDocument": S3_POLICY}),
    ("iam:UpdateAssumeRolePolicy", "update_assume_role_policy",
     {"RoleName": NAME, "PolicyDocument": json.dumps(TRUST)}),
    ("iam:TagRole", "tag_role", {"RoleName": NAME, "Tags": [{"Key": "a", "Value": "b"}]}),
    ("iam:UntagRole", "untag_role", {"RoleName": NAME, "TagKeys": ["a"]}),
    ("iam:ListRolePolicies", "list_role_policies", {"RoleName": NAME}),
    ("iam:ListRoles", "list_roles", {}),
    ("iam:CreatePolicy", "create_policy", {"PolicyName": "b", "PolicyDocument": S3_POLICY}),
]  # fmt: skip


@pytest.mark.parametrize(("action", "operation", "parameters"), CALLS, ids=[one[0] for one in CALLS])
def test_each_call_needs_its_own_permission(
    cloud: Cloud, client: Client, limited: Callable[..., Credentials], role: Any, action: str, operation: str,
    parameters: dict[str, Any],
) -> None:  # fmt: skip
    nothing = limited("sts:GetCallerIdentity")
    assert refusal_of(getattr(client("iam", nothing), operation), **parameters) == ("AccessDenied", 403)
    last = cloud.log.calls("iam")[-1]
    assert (last.outcome, last.checked[0][0]) == ("denied", action)
    getattr(client("iam", limited(action)), operation)(**parameters)


def test_a_role_with_tags_needs_leave_to_tag(client: Client, limited: Callable[..., Credentials]) -> None:
    given = {"RoleName": "r", "AssumeRolePolicyDocument": json.dumps(TRUST), "Tags": [{"Key": "a", "Value": "b"}]}
    assert refusal_of(client("iam", limited("iam:CreateRole")).create_role, **given) == ("AccessDenied", 403)
    client("iam", limited("iam:CreateRole", "iam:TagRole")).create_role(**given)


def test_leave_may_depend_on_the_boundary(iam: Any, client: Client, limited: Callable[..., Credentials]) -> None:
    arn = iam.create_policy(PolicyName="boundary", PolicyDocument=S3_POLICY)["Policy"]["Arn"]
    keys = limited("iam:CreateRole", Condition={"StringEquals": {"iam:PermissionsBoundary": arn}})
    given = {"RoleName": NAME, "AssumeRolePolicyDocument": json.dumps(TRUST)}
    assert refusal_of(client("iam", keys).create_role, **given) == ("AccessDenied", 403)
    client("iam", keys).create_role(**given, PermissionsBoundary=arn)


def test_what_the_model_does_not_allow_is_refused(client: Client, cloud: Cloud) -> None:
    iam = client("iam", parameter_validation=False)
    given = {"RoleName": "a b", "AssumeRolePolicyDocument": json.dumps(TRUST)}
    assert refusal_of(iam.create_role, **given) == ("ValidationError", 400)
    assert refusal_of(iam.get_role) == ("ValidationError", 400)
    too_long = {"RoleName": "r", "AssumeRolePolicyDocument": json.dumps(TRUST), "MaxSessionDuration": 50_000}
    assert refusal_of(iam.create_role, **too_long) == ("ValidationError", 400)

    def add(params: dict[str, Any], **_: Any) -> None:
        params["body"]["Surplus"] = "1"

    iam.meta.events.register("before-call.iam.ListRoles", add)
    assert refusal_of(iam.list_roles) == ("ValidationError", 400)
    assert cloud.log.calls("iam")[-1].outcome == "refused"


def test_an_operation_that_is_not_spoken_says_so(iam: Any) -> None:
    assert refusal_of(iam.create_user, UserName="u") == ("NotImplemented", 501)


def test_an_operation_that_is_none_is_refused(iam: Any) -> None:
    def change(params: dict[str, Any], **_: Any) -> None:
        params["body"]["Action"] = "ListRolls"

    iam.meta.events.register("before-call.iam.ListRoles", change)
    assert refusal_of(iam.list_roles) == ("InvalidAction", 400)


def test_throttling_is_retried_by_boto3_and_recorded(cloud: Cloud, client: Client) -> None:
    cloud.gateway.faults.throttle("iam", "ListRoles", 1)
    assert refusal_of(client("iam").list_roles) == ("Throttling", 400)
    cloud.gateway.faults.throttle("iam", "ListRoles", 1)
    answer = client("iam", retries={"total_max_attempts": 2, "mode": "standard"}).list_roles()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert [call.outcome for call in cloud.log.calls("iam", "ListRoles")] == ["throttled", "throttled", "allowed"]
