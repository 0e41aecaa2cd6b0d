"""EKS by boto3: the cluster, its add-ons, associations, access entries and tags."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from tests.contract.lookalike.conftest import ACCOUNT, CLUSTER, REGION, ROLE, TRUST, Client
from tests.contract.lookalike.test_signatures import refusal_of

PAIR = {"clusterName": CLUSTER, "namespace": "airflow", "serviceAccount": "airflow-dvc-sa"}
ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"


@pytest.fixture
def eks(client: Client) -> Any:
    return client("eks")


def test_a_cluster_is_described_as_boto3_expects_it(eks: Any) -> None:
    cluster = eks.describe_cluster(name=CLUSTER)["cluster"]
    assert (cluster["arn"], cluster["status"], cluster["endpoint"]) == (ARN, "ACTIVE", "https://127.0.0.1:6443")
    assert base64.b64decode(cluster["certificateAuthority"]["data"]) == b"PEM"
    assert eks.list_clusters()["clusters"] == [CLUSTER]


def test_a_cluster_that_is_not_there(eks: Any) -> None:
    with pytest.raises(eks.exceptions.ResourceNotFoundException, match="No cluster found for name: other"):
        eks.describe_cluster(name="other")


def test_an_addon_is_active_or_missing(eks: Any, cloud: Cloud) -> None:
    addon = eks.describe_addon(clusterName=CLUSTER, addonName="eks-pod-identity-agent")["addon"]
    assert addon["status"] == "ACTIVE"
    del cloud.eks.cluster(CLUSTER).addons["eks-pod-identity-agent"]
    with pytest.raises(eks.exceptions.ResourceNotFoundException) as caught:
        eks.describe_addon(clusterName=CLUSTER, addonName="eks-pod-identity-agent")
    assert caught.value.response["addonName"] == "eks-pod-identity-agent", "a member of the error's own shape"


def test_an_association_is_listed_described_changed_and_deleted(eks: Any, client: Client, associated: str) -> None:
    assert eks.list_pod_identity_associations(**PAIR)["associations"][0]["associationId"] == associated
    one = eks.describe_pod_identity_association(clusterName=CLUSTER, associationId=associated)["association"]
    assert one["roleArn"] == ROLE
    assert one["associationArn"] == f"arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/{CLUSTER}/{associated}"
    client("iam").create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(TRUST))
    changed = eks.update_pod_identity_association(
        clusterName=CLUSTER, associationId=associated, roleArn=ROLE.replace("Airflow-DVCS3Role", "other")
    )["association"]
    assert changed["roleArn"].endswith("role/other")
    eks.delete_pod_identity_association(clusterName=CLUSTER, associationId=associated)
    assert eks.list_pod_identity_associations(clusterName=CLUSTER)["associations"] == []
    gone = {"clusterName": CLUSTER, "associationId": associated}
    assert refusal_of(eks.describe_pod_identity_association, **gone) == ("ResourceNotFoundException", 404)


def test_a_service_account_has_one_association(eks: Any, associated: str) -> None:
    with pytest.raises(eks.exceptions.ResourceInUseException, match=associated):
        eks.create_pod_identity_association(**PAIR, roleArn=ROLE)


def test_the_same_request_token_makes_one_association(eks: Any, client: Client) -> None:
    client("iam").create_role(RoleName="Airflow-DVCS3Role", AssumeRolePolicyDocument=json.dumps(TRUST))
    first, second = (
        eks.create_pod_identity_association(**PAIR, roleArn=ROLE, clientRequestToken="one") for _ in range(2)
    )
    assert first["association"] == second["association"]


def test_an_association_needs_a_role_that_is_there(eks: Any) -> None:
    given = {**PAIR, "roleArn": ROLE}
    assert refusal_of(eks.create_pod_identity_association, **given) == ("InvalidParameterException", 400)


@pytest.mark.parametrize(
    ("principal", "actions"),
    [
        ({"Service": "ec2.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"]),
        ({"Service": "pods.eks.amazonaws.com"}, ["sts:AssumeRole"]),
        ({"Service": "pods.eks.amazonaws.com"}, ["sts:TagSession"]),
    ],
)
def test_an_association_needs_a_role_that_trusts_pods(
    eks: Any, client: Client, principal: dict[str, str], actions: list[str]
) -> None:
    trust = {"Statement": {"Effect": "Allow", "Principal": principal, "Action": actions}}
    client("iam").create_role(RoleName="Airflow-DVCS3Role", AssumeRolePolicyDocument=json.dumps(trust))
    given = {**PAIR, "roleArn": ROLE}
    assert refusal_of(eks.create_pod_identity_association, **given) == ("InvalidParameterException", 400)


def test_associations_come_in_pages(eks: Any, client: Client, associated: str) -> None:
    for number in range(4):
        eks.create_pod_identity_association(**{**PAIR, "serviceAccount": f"sa{number}"}, roleArn=ROLE)
    pages = list(eks.get_paginator("list_pod_identity_associations").paginate(
        clusterName=CLUSTER, PaginationConfig={"PageSize": 2}
    ))  # fmt: skip
    assert [len(page["associations"]) for page in pages] == [2, 2, 1]
    assert len({one["associationId"] for page in pages for one in page["associations"]}) == 5


def test_tags_are_read_put_and_taken_by_arn(eks: Any, cloud: Cloud, associated: str) -> None:
    eks.tag_resource(resourceArn=ARN, tags={"harness/allowed": "yes", "team": "ml"})
    assert eks.list_tags_for_resource(resourceArn=ARN)["tags"] == {"harness/allowed": "yes", "team": "ml"}
    eks.untag_resource(resourceArn=ARN, tagKeys=["team"])
    assert eks.describe_cluster(name=CLUSTER)["cluster"]["tags"] == {"harness/allowed": "yes"}
    one = f"arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/{CLUSTER}/{associated}"
    eks.tag_resource(resourceArn=one, tags={"run": "r1"})
    found = eks.describe_pod_identity_association(clusterName=CLUSTER, associationId=associated)["association"]
    assert found["tags"] == {"run": "r1"}
    assert refusal_of(eks.list_tags_for_resource, resourceArn=f"{ARN}x") == ("NotFoundException", 404)


def test_an_access_entry_says_who_a_role_is(eks: Any, cloud: Cloud) -> None:
    given = {"clusterName": CLUSTER, "principalArn": ROLE}
    made = eks.create_access_entry(**given, kubernetesGroups=["harness"])["accessEntry"]
    assert made["username"] == ROLE
    assert eks.list_access_entries(clusterName=CLUSTER)["accessEntries"] == [ROLE]
    assert refusal_of(eks.create_access_entry, **given) == ("ResourceInUseException", 409)
    entry = cloud.eks.access_entry(CLUSTER, ROLE)
    assert entry is not None
    assert entry.groups == ("harness",)
    eks.delete_access_entry(**given)
    assert refusal_of(eks.describe_access_entry, **given) == ("ResourceNotFoundException", 404)


CREATE = {**PAIR, "serviceAccount": "new", "roleArn": ROLE}
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("eks:DescribeCluster", "describe_cluster", {"name": CLUSTER}),
    ("eks:ListClusters", "list_clusters", {}),
    ("eks:DescribeAddon", "describe_addon", {"clusterName": CLUSTER, "addonName": "eks-pod-identity-agent"}),
    ("eks:ListPodIdentityAssociations", "list_pod_identity_associations", {"clusterName": CLUSTER}),
    ("eks:ListTagsForResource", "list_tags_for_resource", {"resourceArn": ARN}),
    ("eks:TagResource", "tag_resource", {"resourceArn": ARN, "tags": {"a": "b"}}),
]


@pytest.mark.parametrize(("action", "operation", "parameters"), CALLS, ids=[one[0] for one in CALLS])
def test_each_call_needs_its_own_permission(
    cloud: Cloud, client: Client, limited: Callable[..., Credentials], action: str, operation: str,
    parameters: dict[str, Any],
) -> None:  # fmt: skip
    nothing = limited("sts:GetCallerIdentity")
    assert refusal_of(getattr(client("eks", nothing), operation), **parameters) == ("AccessDeniedException", 403)
    last = cloud.log.calls("eks")[-1]
    assert (last.outcome, last.checked[0][0]) == ("denied", action)
    getattr(client("eks", limited(action)), operation)(**parameters)


@pytest.mark.parametrize("missing", ["eks:CreatePodIdentityAssociation", "iam:PassRole", "iam:GetRole"])
def test_an_association_needs_leave_to_pass_its_role(
    client: Client, limited: Callable[..., Credentials], associated: str, missing: str
) -> None:
    needed = {"eks:CreatePodIdentityAssociation", "iam:PassRole", "iam:GetRole"}
    keys = limited(*(needed - {missing}))
    assert refusal_of(client("eks", keys).create_pod_identity_association, **CREATE) == ("AccessDeniedException", 403)
    client("eks", limited(*needed)).create_pod_identity_association(**CREATE)


def test_leave_may_depend_on_the_service_that_a_role_is_passed_to(
    client: Client, limited: Callable[..., Credentials], cloud: Cloud, associated: str
) -> None:
    def policy(service: str) -> dict[str, Any]:
        passing = {
            "Effect": "Allow", "Action": "iam:PassRole", "Resource": ROLE,
            "Condition": {"StringEquals": {"iam:PassedToService": service}},
        }  # fmt: skip
        rest = {"Effect": "Allow", "Action": ["eks:*", "iam:GetRole"], "Resource": "*"}
        return {"Version": "2012-10-17", "Statement": [passing, rest]}

    wrong = client("eks", cloud.user("u", policy("ec2.amazonaws.com")))
    assert refusal_of(wrong.create_pod_identity_association, **CREATE) == ("AccessDeniedException", 403)
    right = client("eks", cloud.user("u", policy("pods.eks.amazonaws.com")))
    right.create_pod_identity_association(**CREATE)


def test_what_the_model_does_not_know_is_refused(client: Client) -> None:
    eks = client("eks")

    def add_to_query(params: dict[str, Any], **_: Any) -> None:
        params["url"] += "?surplus=1"

    def add_to_body(params: dict[str, Any], **_: Any) -> None:
        params["body"] = json.dumps({**json.loads(params["body"]), "surplus": 1}).encode()

    eks.meta.events.register("before-call.eks.DescribeCluster", add_to_query)
    assert refusal_of(eks.describe_cluster, name=CLUSTER) == ("ValidationException", 400)
    eks.meta.events.register("before-call.eks.CreatePodIdentityAssociation", add_to_body)
    assert refusal_of(eks.create_pod_identity_association, **CREATE) == ("ValidationException", 400)


def test_a_required_parameter_is_required(client: Client) -> None:
    eks = client("eks", parameter_validation=False)
    assert refusal_of(eks.create_pod_identity_association, clusterName=CLUSTER) == ("ValidationException", 400)


def test_an_operation_that_is_none_and_one_that_is_not_spoken(client: Client) -> None:
    eks = client("eks")
    assert refusal_of(eks.delete_cluster, name=CLUSTER) == ("NotImplemented", 501)

    def elsewhere(params: dict[str, Any], **_: Any) -> None:
        params["url"] += "/somewhere"

    eks.meta.events.register("before-call.eks.DescribeCluster", elsewhere)
    assert refusal_of(eks.describe_cluster, name=CLUSTER) == ("UnknownOperationException", 404)


def test_throttling_has_the_code_that_boto3_retries(cloud: Cloud, client: Client) -> None:
    cloud.gateway.faults.throttle("eks", "DescribeCluster", 1)
    assert refusal_of(client("eks").describe_cluster, name=CLUSTER) == ("ThrottlingException", 429)
    cloud.gateway.faults.throttle("eks", "DescribeCluster", 1)
    answer = client("eks", retries={"total_max_attempts": 2, "mode": "standard"}).describe_cluster(name=CLUSTER)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
