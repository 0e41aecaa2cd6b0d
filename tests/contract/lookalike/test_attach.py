"""The EKS target's first steps against the look-alike, reached by AWS_ENDPOINT_URL_* alone: attach, guard, refusals."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from harness.eks_settings import EksSettings
from harness.errors import EnvironmentFailed, GuardError, UsageError
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.token_webhook import TokenWebhook
from harness.targets.eks.attach import check_pod_identity, describe
from harness.targets.eks.aws import AwsRefused, open_session
from harness.targets.eks.guards import guarded_cluster, hold_price
from harness.targets.eks.prices import Nodes, Plan, estimate
from harness.targets.eks.token import exec_credential, make_token
from tests.contract.lookalike.conftest import ACCOUNT, CLUSTER, REGION, Clock

ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"
ALLOWED: dict[str, Any] = {
    "cluster": CLUSTER,
    "region": REGION,
    "accounts": (ACCOUNT,),
    "clusters": (ARN,),
    "consent": True,
}
# All that attaching asks of AWS; docs/eks-lookalike.md names it.
NEEDED = ("eks:DescribeCluster", "eks:DescribeAddon")


@pytest.fixture
def session(enter: Callable[[Credentials], None], limited: Callable[..., Credentials], cloud: Cloud) -> boto3.Session:
    cloud.eks.cluster(CLUSTER).tags["harness.allowed"] = "true"
    enter(limited(*NEEDED))
    return open_session(profile=None, region=None)


def test_an_allowed_cluster_is_attached_to_with_reading_alone(session: boto3.Session, cloud: Cloud) -> None:
    cluster = guarded_cluster(session, EksSettings(**ALLOWED))
    check_pod_identity(session, CLUSTER)
    assert (cluster.arn, cluster.account, cluster.region) == (ARN, ACCOUNT, REGION)
    assert cluster.endpoint == "https://127.0.0.1:6443"
    made = [(call.service, call.operation) for call in cloud.log.calls()]
    assert made == [("sts", "GetCallerIdentity"), ("eks", "DescribeCluster"), ("eks", "DescribeAddon")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accounts": ("999999999999",)}, f"these credentials are of account {ACCOUNT}"),
        ({"clusters": (ARN.replace(CLUSTER, "other"),)}, f"the cluster is {ARN}"),
        ({"region": "us-west-2"}, f"the cluster is in {REGION}, and us-west-2 was named"),
        ({"tag": "harness.allowed=nightly"}, "is not tagged harness.allowed=nightly: it has harness.allowed=true"),
        ({"tag": "other=1"}, "it has no such tag"),
        ({"consent": False}, "needs your consent"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_is_written(
    session: boto3.Session, cloud: Cloud, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(GuardError, match=said):
        guarded_cluster(session, EksSettings(**{**ALLOWED, **change}))
    assert {call.operation for call in cloud.log.calls()} <= {"GetCallerIdentity", "DescribeCluster"}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"cluster": None}, "no EKS cluster is named"), ({"accounts": ()}, "eks.accounts allows nothing"),
     ({"clusters": ()}, "eks.clusters allows nothing")],
)  # fmt: skip
def test_nothing_is_allowed_by_default(session: boto3.Session, cloud: Cloud, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        guarded_cluster(session, EksSettings(**{**ALLOWED, **change}))
    assert cloud.log.calls() == []


def test_the_account_is_checked_before_the_cluster_is_looked_for(session: boto3.Session, cloud: Cloud) -> None:
    with pytest.raises(GuardError):
        guarded_cluster(session, EksSettings(**{**ALLOWED, "accounts": ("999999999999",)}))
    assert [call.operation for call in cloud.log.calls()] == ["GetCallerIdentity"]


def test_a_cluster_that_is_not_there_is_named(session: boto3.Session) -> None:
    with pytest.raises(AwsRefused, match=f"there is no EKS cluster other in {REGION}"):
        describe(session, "other")


def test_a_cluster_that_is_not_active_is_not_used(session: boto3.Session, cloud: Cloud) -> None:
    cloud.eks.cluster(CLUSTER).status = "DELETING"
    with pytest.raises(EnvironmentFailed, match="is DELETING, not ACTIVE"):
        describe(session, CLUSTER)


def test_a_missing_addon_is_named_with_its_remedy(session: boto3.Session, cloud: Cloud) -> None:
    cloud.eks.cluster(CLUSTER).addons.clear()
    with pytest.raises(EnvironmentFailed, match="no add-on eks-pod-identity-agent") as caught:
        check_pod_identity(session, CLUSTER)
    assert "create-addon" in caught.value.next_step


def test_auto_mode_has_the_agent_without_the_addon(session: boto3.Session, cloud: Cloud) -> None:
    cluster = cloud.eks.cluster(CLUSTER)
    cluster.addons.clear()
    cluster.auto_mode = True
    check_pod_identity(session, CLUSTER)


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_permission_is_named(
    enter: Callable[[Credentials], None], limited: Callable[..., Credentials], missing: str
) -> None:
    enter(limited(*(set(NEEDED) - {missing})))
    session = open_session(profile=None, region=None)
    asked = {"eks:DescribeCluster": describe, "eks:DescribeAddon": check_pod_identity}
    for action, ask in asked.items():
        if action != missing:
            ask(session, CLUSTER)
    with pytest.raises(AwsRefused, match="not allowed to") as caught:
        asked[missing](session, CLUSTER)
    assert f"is not authorized to perform: {missing}" in caught.value.evidence["AWS says"]


def test_a_session_that_is_over_says_log_in_again(session: boto3.Session, cloud: Cloud, clock: Clock) -> None:
    # Keys of a session, over by the time of the call.
    from_user = cloud.store.find(str(os.environ["AWS_ACCESS_KEY_ID"]))
    assert from_user is not None
    vended = cloud.store.vend(from_user.principal, clock())
    over = boto3.Session(vended.access_key_id, vended.secret_access_key, vended.session_token, region_name=REGION)
    with pytest.raises(AwsRefused, match="the AWS session is over") as caught:
        describe(over, CLUSTER)
    assert "log in again" in caught.value.next_step


def test_unknown_keys_and_no_keys_say_so(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = boto3.Session("AKIAIOSFODNN7EXAMPLE", "s", region_name=REGION)
    with pytest.raises(AwsRefused, match="AWS does not know these keys"):
        describe(unknown, CLUSTER)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(AwsRefused, match="Unable to locate credentials"):
        describe(open_session(profile=None, region=None), CLUSTER)


def test_throttling_is_waited_out_and_told_when_it_does_not_end(session: boto3.Session, cloud: Cloud) -> None:
    cloud.gateway.faults.throttle("eks", "DescribeCluster", 2)
    assert describe(session, CLUSTER).arn == ARN
    cloud.gateway.faults.throttle("eks", "DescribeCluster", 99)
    with pytest.raises(AwsRefused, match="AWS throttles, 5 tries"):
        describe(session, CLUSTER)


def test_no_answer_is_told_with_what_to_check(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", "http://127.0.0.1:9")
    with pytest.raises(AwsRefused, match="Could not connect") as caught:
        describe(open_session(profile=None, region=None), CLUSTER)
    assert "AWS_ENDPOINT_URL" in caught.value.next_step


def test_a_profile_that_assumes_a_role_is_that_role(
    session: boto3.Session, cloud: Cloud, admin: Credentials, tmp_path: Path, client: Any
) -> None:
    trust = {"Statement": {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}}
    role = client("iam").create_role(RoleName="ci", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    reading = {"Statement": {"Effect": "Allow", "Action": list(NEEDED), "Resource": "*"}}
    client("iam").put_role_policy(RoleName="ci", PolicyName="p", PolicyDocument=json.dumps(reading))
    (tmp_path / "credentials").write_text(
        f"[base]\naws_access_key_id = {admin.access_key_id}\naws_secret_access_key = {admin.secret_access_key}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile ci]\nrole_arn = {role}\nsource_profile = base\nrole_session_name = nightly\nregion = {REGION}\n"
    )
    assumed = open_session(profile="ci", region=None)
    assert guarded_cluster(assumed, EksSettings(**ALLOWED)).arn == ARN
    assert cloud.log.calls("eks")[-1].principal == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/nightly"
    webhook = TokenWebhook(CLUSTER, cloud.account, cloud.verifier, cloud.eks)
    token = make_token(assumed, cluster=CLUSTER, now=datetime.now(UTC))
    assert webhook.principal(token.value).session_name == "nightly"


def test_an_unknown_profile_and_no_region_are_usage(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="nobody"):
        open_session(profile="nobody", region=None)
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(UsageError, match="no AWS region"):
        open_session(profile=None, region=None)


@pytest.mark.parametrize("version", ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"])
def test_the_command_prints_a_token_that_the_cluster_takes(session: boto3.Session, cloud: Cloud, version: str) -> None:
    info = json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}})
    ended = subprocess.run(
        [sys.executable, "-m", "harness.cli", "eks-token", "--cluster-name", CLUSTER],
        env={**os.environ, "KUBERNETES_EXEC_INFO": info},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert (printed["apiVersion"], printed["kind"]) == (version, "ExecCredential")
    left = datetime.fromisoformat(printed["status"]["expirationTimestamp"]) - datetime.now(UTC)
    assert 13 * 60 < left.total_seconds() <= 14 * 60
    webhook = TokenWebhook(CLUSTER, cloud.account, cloud.verifier, cloud.eks)
    assert webhook.principal(printed["status"]["token"]).arn == f"arn:aws:iam::{ACCOUNT}:user/limited"


def test_a_token_is_for_the_regions_own_sts_whatever_is_configured(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    made = make_token(open_session(profile=None, region="us-west-2"), cluster=CLUSTER, now=datetime.now(UTC))
    raw = made.value.removeprefix("k8s-aws-v1.")
    url = urlsplit(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode())
    assert url.netloc == "sts.us-west-2.amazonaws.com"
    assert "/us-west-2/sts/aws4_request" in parse_qs(url.query)["X-Amz-Credential"][0]


def test_a_client_that_asks_for_another_version_is_told(session: boto3.Session) -> None:
    made = make_token(session, cluster=CLUSTER, now=datetime.now(UTC))
    info = json.dumps({"apiVersion": "client.authentication.k8s.io/v1alpha1", "kind": "ExecCredential"})
    with pytest.raises(UsageError, match="v1alpha1"):
        exec_credential(made, {"KUBERNETES_EXEC_INFO": info})


def test_the_price_is_held_to_its_limit() -> None:
    plan = Plan(hours=4, version="1.35", creates_cluster=True, nodes=(Nodes(("t3.large",), 2, 40),))
    dear = estimate(plan, today=date(2026, 11, 21))
    hold_price(dear, EksSettings(max_cost=2))
    with pytest.raises(GuardError, match=r"about 1\.\d\d USD, and eks.max_cost allows 1\.00"):
        hold_price(dear, EksSettings(max_cost=1))
