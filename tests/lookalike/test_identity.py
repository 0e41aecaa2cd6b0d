"""Which pods are somebody in AWS: those of the associated service account, from their making on, by the agent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from harness.kubeapi import KubeApi
from harness.lookalike.calls import read_calls
from harness.lookalike.hosting import Hosted
from harness.lookalike.injector import AUDIENCE, CREDENTIALS_URI, MOUNT_PATH, VOLUME
from harness.lookalike.witness import writer_of
from harness.names import DVC_SERVICE_ACCOUNT

from .conftest import LookAlike, Play, Played

INJECTED = {
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_STS_REGIONAL_ENDPOINTS",
}
GIVEN = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"}


def asked(lookalike: LookAlike, **more: object) -> dict[str, Any]:
    plan = lookalike.plan
    key = f"probe/{secrets.token_hex(8)}"
    return {"region": plan.region, "bucket": plan.bucket, "key": key, **more}


@pytest.fixture(scope="module")
def endpoints(lookalike: LookAlike) -> Mapping[str, str]:
    return {name: lookalike.environment[name] for name in GIVEN}


@pytest.fixture(scope="module")
def question(lookalike: LookAlike) -> dict[str, Any]:
    store = urlsplit(Hosted.read(lookalike.files).store.url)
    control = urlsplit(lookalike.environment["AWS_ENDPOINT_URL_EKS"])
    reach = {"store": [store.hostname, store.port], "control": [control.hostname, control.port]}
    return asked(lookalike, reach=reach)


@pytest.fixture(scope="module")
def associated(play: Play, question: dict[str, Any], endpoints: Mapping[str, str]) -> Played:
    return play("ask.py", service_account=DVC_SERVICE_ACCOUNT, argument=question, env=endpoints)


def test_a_pod_of_the_associated_account_gets_exactly_what_eks_adds(associated: Played) -> None:
    for container in [*associated.spec["containers"], *associated.spec["initContainers"]]:
        environment = {one["name"]: one.get("value") for one in container.get("env") or []}
        assert set(environment) - GIVEN == INJECTED
        assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == CREDENTIALS_URI
        mounts = {one["name"]: one for one in container["volumeMounts"]}
        assert mounts[VOLUME] == {"name": VOLUME, "mountPath": MOUNT_PATH, "readOnly": True}
    volume = next(one for one in associated.spec["volumes"] if one["name"] == VOLUME)
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    assert token == {"audience": AUDIENCE, "expirationSeconds": 86400, "path": VOLUME}


def test_it_is_a_session_of_the_role_that_bears_its_name(associated: Played, lookalike: LookAlike) -> None:
    arn = associated.said["identity"]["said"]
    assert associated.said["method"] == {"said": "container-role"}
    assert arn.startswith(f"arn:aws:sts::{lookalike.plan.number}:assumed-role/Airflow-DVCS3Role/eks-")
    assert associated.name[:8] in arn


def test_the_witness_knows_that_this_pod_wrote_the_object(
    associated: Played, question: dict[str, Any], lookalike: LookAlike, runner: boto3.Session
) -> None:
    assert "said" in associated.said["written"], associated.said
    calls = read_calls(lookalike.files.calls)
    written = writer_of(calls, question["bucket"], question["key"])
    assert written is not None
    assert written.principal == associated.said["identity"]["said"]
    vended = [call for call in calls if call.operation == "AssumeRoleForPodIdentity" and call.outcome == "allowed"]
    assert written.principal in {call.response["assumedRoleUser"]["arn"] for call in vended}
    s3 = runner.client("s3")
    assert s3.get_object(Bucket=question["bucket"], Key=question["key"])["Body"].read() == b"12345"
    s3.close()


def test_a_pod_reaches_its_objects_and_neither_the_store_nor_the_control_plane(associated: Played) -> None:
    assert "failed" in associated.said["store"]
    assert "failed" in associated.said["control"]


def test_a_pod_of_another_account_gets_nothing_and_cannot_write(
    play: Play, lookalike: LookAlike, endpoints: Mapping[str, str]
) -> None:
    question = asked(lookalike)
    other = play("ask.py", service_account="default", argument=question, env=endpoints)
    assert set(other.said["environment"]) == GIVEN
    assert VOLUME not in {volume["name"] for volume in other.spec.get("volumes") or []}
    assert other.said["method"] == {"said": "none"}
    assert "NoCredentialsError" in other.said["written"]["failed"]
    assert writer_of(read_calls(lookalike.files.calls), question["bucket"], question["key"]) is None


def test_no_secret_of_the_cluster_has_keys_of_the_account(kube: KubeApi, lookalike: LookAlike) -> None:
    keys = [key for one in lookalike.files.keys().values() for key in (one.access_key_id, one.secret_access_key)]
    for kind in ("Secret", "ConfigMap", "Pod", "DaemonSet"):
        text = str(kube.list(kind))
        assert [key for key in keys if key in text] == [], kind


@pytest.fixture
def without_association(lookalike: LookAlike, administrator: boto3.Session) -> Iterator[None]:
    eks = administrator.client("eks")
    cluster = lookalike.name
    found = eks.list_pod_identity_associations(clusterName=cluster)["associations"]
    assert [(one["namespace"], one["serviceAccount"]) for one in found] == [("airflow", DVC_SERVICE_ACCOUNT)]
    gone = eks.delete_pod_identity_association(clusterName=cluster, associationId=found[0]["associationId"])
    yield
    eks.create_pod_identity_association(
        clusterName=cluster,
        namespace="airflow",
        serviceAccount=DVC_SERVICE_ACCOUNT,
        roleArn=gone["association"]["roleArn"],
    )
    eks.close()


def test_without_the_association_a_new_pod_gets_nothing(
    without_association: None, play: Play, lookalike: LookAlike, endpoints: Mapping[str, str]
) -> None:
    found = play("ask.py", service_account=DVC_SERVICE_ACCOUNT, argument=asked(lookalike), env=endpoints)
    assert set(found.said["environment"]) == GIVEN
    assert "NoCredentialsError" in found.said["written"]["failed"]
