"""Keys for a pod: against its token, by its account's association, if the role trusts; as a session of that role."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest

from harness.lookalike.calls import read_calls
from harness.lookalike.cloud import ADMINISTRATOR, Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.eks_auth import session_name
from harness.lookalike.principals import Credentials
from harness.lookalike.server import Server
from tests.contract.lookalike.conftest import ACCOUNT, CLUSTER, REGION, ROLE, TRUST, Client, Clock, Tokens, token_of
from tests.contract.lookalike.test_signatures import refusal_of


@pytest.fixture
def auth(client: Client, limited: Callable[..., Credentials]) -> Any:
    """As the agent calls: with the node's role, which may do this and nothing else."""
    return client("eks-auth", limited("eks-auth:AssumeRoleForPodIdentity"))


def keys_of(cloud: Cloud, answer: Any) -> Credentials:
    found = cloud.store.find(answer["credentials"]["accessKeyId"])
    assert found is not None
    return found


def test_a_pod_of_the_account_gets_a_session_of_the_role(
    cloud: Cloud, client: Client, auth: Any, tokens: Tokens, associated: str
) -> None:
    answer = auth.assume_role_for_pod_identity(
        clusterName=CLUSTER, token=tokens.issue("airflow", "airflow-dvc-sa", pod="push-data-x7")
    )
    assert answer["subject"] == {"namespace": "airflow", "serviceAccount": "airflow-dvc-sa"}
    assert answer["audience"] == "pods.eks.amazonaws.com"
    assert answer["podIdentityAssociation"]["associationId"] == associated
    arn = answer["assumedRoleUser"]["arn"]
    session = arn.removeprefix(f"arn:aws:sts::{ACCOUNT}:assumed-role/Airflow-DVCS3Role/")
    assert re.fullmatch(r"eks-mlops-push-data-x7-[0-9a-f-]{36}", session)
    identity = client("sts", keys_of(cloud, answer)).get_caller_identity()
    assert (identity["Arn"], identity["UserId"]) == (arn, answer["assumedRoleUser"]["assumeRoleId"])


def test_the_session_has_the_six_tags(cloud: Cloud, auth: Any, tokens: Tokens, associated: str) -> None:
    answer = auth.assume_role_for_pod_identity(clusterName=CLUSTER, token=tokens.issue("airflow", "airflow-dvc-sa"))
    assert keys_of(cloud, answer).principal.tags == {
        "eks-cluster-arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}",
        "eks-cluster-name": CLUSTER,
        "kubernetes-namespace": "airflow",
        "kubernetes-service-account": "airflow-dvc-sa",
        "kubernetes-pod-name": "push-data-x7",
        "kubernetes-pod-uid": "0f5b1d5e-0000-4000-8000-000000000001",
    }


def test_an_association_may_leave_the_tags_out(
    cloud: Cloud, client: Client, auth: Any, tokens: Tokens, associated: str
) -> None:
    client("eks").update_pod_identity_association(
        clusterName=CLUSTER, associationId=associated, disableSessionTags=True
    )
    answer = auth.assume_role_for_pod_identity(clusterName=CLUSTER, token=tokens.issue("airflow", "airflow-dvc-sa"))
    assert keys_of(cloud, answer).principal.tags == {}


def test_another_account_gets_nothing(auth: Any, tokens: Tokens, associated: str) -> None:
    given = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "default")}
    assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("ResourceNotFoundException", 404)


def test_without_its_association_a_new_pod_gets_nothing_and_an_old_one_keeps_its_keys(
    cloud: Cloud, client: Client, auth: Any, tokens: Tokens, associated: str
) -> None:
    token = tokens.issue("airflow", "airflow-dvc-sa")
    keys = keys_of(cloud, auth.assume_role_for_pod_identity(clusterName=CLUSTER, token=token))
    client("eks").delete_pod_identity_association(clusterName=CLUSTER, associationId=associated)
    given = {"clusterName": CLUSTER, "token": token}
    assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("ResourceNotFoundException", 404)
    client("sts", keys).get_caller_identity()


def test_a_token_that_the_cluster_does_not_know_is_refused(auth: Any, tokens: Tokens, associated: str) -> None:
    forged = {"clusterName": CLUSTER, "token": token_of("airflow", "airflow-dvc-sa")}
    assert refusal_of(auth.assume_role_for_pod_identity, **forged) == ("InvalidTokenException", 400)
    assert tokens.asked == [forged["token"]], "the cluster was asked, not the token believed"


def test_a_token_that_is_over_is_refused(auth: Any, tokens: Tokens, associated: str) -> None:
    over = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "airflow-dvc-sa", lifetime=-1)}
    assert refusal_of(auth.assume_role_for_pod_identity, **over) == ("ExpiredTokenException", 400)


def test_a_token_for_another_audience_is_refused(auth: Any, tokens: Tokens, associated: str) -> None:
    tokens.audience = "https://kubernetes.default.svc"
    given = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "airflow-dvc-sa")}
    assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("InvalidTokenException", 400)


def test_trust_that_was_taken_away_counts_at_once(client: Client, auth: Any, tokens: Tokens, associated: str) -> None:
    deny = {"Statement": [{**TRUST["Statement"][0], "Principal": {"Service": "ec2.amazonaws.com"}}]}
    client("iam").update_assume_role_policy(RoleName="Airflow-DVCS3Role", PolicyDocument=json.dumps(deny))
    given = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "airflow-dvc-sa")}
    assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("AccessDeniedException", 400)


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ({"StringEquals": {"aws:RequestTag/kubernetes-namespace": "airflow"}}, "allowed"),
        ({"StringEquals": {"aws:RequestTag/kubernetes-namespace": "other"}}, "denied"),
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, "allowed"),
        ({"ArnEquals": {"aws:SourceArn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"}}, "allowed"),
        ({"ArnEquals": {"aws:SourceArn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/other"}}, "denied"),
    ],
)
def test_trust_may_have_conditions(
    client: Client, auth: Any, tokens: Tokens, associated: str, condition: dict[str, Any], outcome: str
) -> None:
    trust = {"Statement": [{**TRUST["Statement"][0], "Condition": condition}]}
    client("iam").update_assume_role_policy(RoleName="Airflow-DVCS3Role", PolicyDocument=json.dumps(trust))
    given = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "airflow-dvc-sa")}
    if outcome == "allowed":
        auth.assume_role_for_pod_identity(**given)
    else:
        assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("AccessDeniedException", 400)


def test_a_role_that_is_gone_is_no_role(client: Client, auth: Any, tokens: Tokens, associated: str) -> None:
    client("iam").delete_role(RoleName="Airflow-DVCS3Role")
    given = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "airflow-dvc-sa")}
    assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("AccessDeniedException", 400)


def test_a_node_without_leave_gets_nothing(
    client: Client, limited: Callable[..., Credentials], tokens: Tokens, associated: str
) -> None:
    given = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "airflow-dvc-sa")}
    node = client("eks-auth", limited("eks:DescribeCluster"))
    assert refusal_of(node.assume_role_for_pod_identity, **given) == ("AccessDeniedException", 400)


def test_the_session_ends_after_six_hours(
    cloud: Cloud, client: Client, clock: Clock, auth: Any, tokens: Tokens, associated: str
) -> None:
    answer = auth.assume_role_for_pod_identity(clusterName=CLUSTER, token=tokens.issue("airflow", "airflow-dvc-sa"))
    remaining = answer["credentials"]["expiration"] - clock()
    assert timedelta(hours=5, minutes=59) < remaining <= timedelta(hours=6)
    clock.ahead = timedelta(hours=6, seconds=1)
    sts = client("sts", keys_of(cloud, answer))
    assert refusal_of(sts.get_caller_identity) == ("ExpiredToken", 403)


def test_throttling_is_the_services_own(cloud: Cloud, auth: Any, tokens: Tokens, associated: str) -> None:
    cloud.gateway.faults.throttle("eks-auth", "AssumeRoleForPodIdentity", 1)
    given = {"clusterName": CLUSTER, "token": tokens.issue("airflow", "airflow-dvc-sa")}
    assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("ThrottlingException", 429)


def test_a_cluster_whose_api_server_is_not_up_yet_is_unavailable(cloud: Cloud, auth: Any) -> None:
    cloud.reviewers.clear()
    given = {"clusterName": CLUSTER, "token": token_of("airflow", "airflow-dvc-sa")}
    assert refusal_of(auth.assume_role_for_pod_identity, **given) == ("ServiceUnavailableException", 503)


@pytest.mark.parametrize("cluster", ["mlops", "a-cluster-with-a-very-long-name-indeed"])
@pytest.mark.parametrize("pod", ["p", "dataset-pipeline-push-data-0a1b2c3d"])
def test_session_names_fit(cluster: str, pod: str) -> None:
    name = session_name(cluster, pod)
    assert len(name) <= 64
    assert re.fullmatch(r"eks-[\w-]+-[\w-]+-[0-9a-f-]{36}", name)


def test_no_token_and_no_key_is_written_down(tmp_path: Any, tokens: Tokens) -> None:
    record = tmp_path / "calls.jsonl"
    cloud = Cloud(number=ACCOUNT, region=REGION, record=record)
    cloud.eks.add_cluster(Cluster(CLUSTER, "https://127.0.0.1:6443", "PEM", cloud.account.moment()))
    cloud.reviewers[CLUSTER] = tokens
    admin = cloud.user("admin", ADMINISTRATOR)
    token = tokens.issue("airflow", "airflow-dvc-sa")
    with Server(cloud.gateway, ("127.0.0.1", 0)) as server:
        session = boto3.Session(admin.access_key_id, admin.secret_access_key, region_name=REGION)
        iam, eks, auth = (session.client(name, endpoint_url=server.url) for name in ("iam", "eks", "eks-auth"))
        iam.create_role(RoleName="Airflow-DVCS3Role", AssumeRolePolicyDocument=json.dumps(TRUST))
        eks.create_pod_identity_association(
            clusterName=CLUSTER, namespace="airflow", serviceAccount="airflow-dvc-sa", roleArn=ROLE
        )
        answer = auth.assume_role_for_pod_identity(clusterName=CLUSTER, token=token)
        for one in (iam, eks, auth):
            one.close()
    text = record.read_text()
    for secret in (token, answer["credentials"]["secretAccessKey"], answer["credentials"]["sessionToken"]):
        assert secret not in text
    last = read_calls(record)[-1]
    assert last.operation == "AssumeRoleForPodIdentity"
    assert last.response["assumedRoleUser"]["arn"] == answer["assumedRoleUser"]["arn"], "who was vended is known"
    assert last.response["credentials"]["accessKeyId"] == answer["credentials"]["accessKeyId"]
    assert read_calls(record) == cloud.log.calls()
