"""Who gets into the cluster: by tokens of `harness eks-token`, reviewed by the look-alike, mapped by access entries."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import httpx
import pytest

from harness.kubeapi import KubeApi
from harness.lookalike.hosting import NODE
from harness.settings import resolve
from harness.targets.eks.attach import EksCluster, check_pod_identity, write_kubeconfig
from harness.targets.eks.guards import guarded_cluster
from harness.targets.eks.token import make_token

from .conftest import LookAlike


@pytest.fixture(scope="module")
def cluster(runner: boto3.Session) -> EksCluster:
    """As the EKS target attaches: by the settings in the environment, through its guards."""
    check_pod_identity(runner, str(resolve().eks.cluster))
    return guarded_cluster(runner, resolve().eks)


@pytest.fixture(scope="module")
def inside(cluster: EksCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    kubeconfig = tmp_path_factory.mktemp("runner") / "kubeconfig"
    with KubeApi(kubeconfig, write_kubeconfig(cluster, kubeconfig, profile=None)) as kube:
        yield kube


def test_the_runner_is_the_user_and_group_of_its_access_entry(inside: KubeApi, lookalike: LookAlike) -> None:
    review = inside.create({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    user = review["status"]["userInfo"]
    assert user["username"] == f"arn:aws:iam::{lookalike.plan.number}:user/runner"
    assert set(user["groups"]) == {"harness:runners", "system:authenticated"}


@pytest.mark.parametrize(
    ("verb", "resource", "group", "namespace", "allowed"),
    [
        ("create", "pods", "", "airflow", True),
        ("get", "secrets", "", "airflow", True),
        ("create", "roles", "rbac.authorization.k8s.io", "airflow", True),
        ("create", "deployments", "apps", "harness", True),
        ("list", "pods", "", "kube-system", True),
        ("list", "nodes", "", "", True),
        ("create", "mutatingwebhookconfigurations", "admissionregistration.k8s.io", "", True),
        ("get", "secrets", "", "kube-system", False),
        ("create", "pods", "", "kube-system", False),
        ("create", "clusterrolebindings", "rbac.authorization.k8s.io", "", False),
        ("delete", "mutatingwebhookconfigurations", "admissionregistration.k8s.io", "", False),
    ],
)
def test_the_runner_may_all_in_its_namespaces_and_reads_beyond(
    inside: KubeApi,
    verb: str,
    resource: str,
    group: str,
    namespace: str,
    allowed: bool,  # noqa: FBT001 - pytest's form
) -> None:
    wanted = {"verb": verb, "resource": resource, "group": group, "namespace": namespace}
    answer = inside.create(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted},
        }
    )
    assert answer["status"]["allowed"] is allowed


def _status(cluster: EksCluster, token: str) -> int:
    trusted = ssl.create_default_context(cadata=base64.b64decode(cluster.authority).decode())
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{cluster.endpoint}/api/v1/nodes"
    return httpx.get(url, headers=headers, verify=trusted, trust_env=False, timeout=20).status_code


def test_a_good_token_is_taken_and_others_are_not(
    cluster: EksCluster,
    runner: boto3.Session,
    lookalike: LookAlike,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.now(UTC)
    keys = lookalike.files.keys()[NODE]
    node = boto3.Session(keys.access_key_id, keys.secret_access_key, region_name=runner.region_name)
    good = make_token(runner, cluster=cluster.name, now=now).value
    forged = boto3.Session("AKIAIOSFODNN7EXAMPLE", "s", region_name=runner.region_name)
    bad = {
        "of another cluster": make_token(runner, cluster="other", now=now).value,
        "of a principal without an access entry": make_token(node, cluster=cluster.name, now=now).value,
        "of keys that nobody has": make_token(forged, cluster=cluster.name, now=now).value,
        "changed": good[:-2] + ("AA" if good[-2:] != "AA" else "BB"),
        "nothing of the kind": "k8s-aws-v1.garbage",
    }
    with monkeypatch.context() as past:
        past.setattr("botocore.auth.get_current_datetime", lambda: (now - timedelta(minutes=16)).replace(tzinfo=None))
        bad["of 16 minutes ago"] = make_token(runner, cluster=cluster.name, now=now).value
    assert _status(cluster, good) == httpx.codes.OK
    found = {what: _status(cluster, token) for what, token in bad.items()}
    assert found == dict.fromkeys(bad, int(httpx.codes.UNAUTHORIZED))


def test_what_the_command_prints_has_no_secret_and_is_what_the_file_says(lookalike: LookAlike) -> None:
    keys = lookalike.files.keys()
    for one in keys.values():
        assert one.secret_access_key not in lookalike.printed
        assert one.access_key_id not in lookalike.printed
    assert f"export HARNESS_EKS__CLUSTER={lookalike.name}" in lookalike.printed
    assert "AWS_PROFILE" not in lookalike.environment
    assert "AWS_ACCESS_KEY_ID" not in lookalike.environment
    assert json.loads(lookalike.environment["HARNESS_EKS__ACCOUNTS"]) == [lookalike.plan.number]
    secret = Path(lookalike.environment["AWS_SHARED_CREDENTIALS_FILE"])
    assert secret.stat().st_mode & 0o777 == 0o600
