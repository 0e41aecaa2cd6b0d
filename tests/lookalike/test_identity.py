"""What only the look-alike has to show of identity: what its pods reach, and that nobody else has its account's keys.

Which pods are somebody in AWS is shown with the whole environment, the same on AWS itself: tests/identity.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from harness.kubeapi import KubeApi
from harness.lookalike.calls import read_calls
from harness.lookalike.hosting import Hosted
from harness.lookalike.witness import writer_of
from harness.names import DVC_SERVICE_ACCOUNT
from tests.pods.player import Played

from .conftest import LookAlike, Play

GIVEN = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"}


@pytest.fixture(scope="module")
def endpoints(lookalike: LookAlike) -> Mapping[str, str]:
    return {name: lookalike.environment[name] for name in GIVEN}


@pytest.fixture(scope="module")
def question(lookalike: LookAlike) -> dict[str, Any]:
    store = urlsplit(Hosted.read(lookalike.files).store.url)
    control = urlsplit(lookalike.environment["AWS_ENDPOINT_URL_EKS"])
    reach = {"store": [store.hostname, store.port], "control": [control.hostname, control.port]}
    plan, key = lookalike.plan, f"probe/{secrets.token_hex(8)}"
    return {"region": plan.region, "bucket": plan.bucket, "key": key, "reach": reach}


@pytest.fixture(scope="module")
def associated(play: Play, question: dict[str, Any], endpoints: Mapping[str, str]) -> Played:
    return play("ask.py", service_account=DVC_SERVICE_ACCOUNT, argument=question, env=endpoints)


def test_the_witness_knows_that_a_pod_wrote_an_object_with_keys_that_were_vended(
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


def test_no_secret_of_the_cluster_has_keys_of_the_account(kube: KubeApi, lookalike: LookAlike) -> None:
    keys = [key for one in lookalike.files.keys().values() for key in (one.access_key_id, one.secret_access_key)]
    for kind in ("Secret", "ConfigMap", "Pod", "DaemonSet"):
        text = str(kube.list(kind))
        assert [key for key in keys if key in text] == [], kind
