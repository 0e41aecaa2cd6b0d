"""The agent as its own program, asked by boto3 as in a pod: token file in, keys of the role out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from harness.lookalike.cloud import Cloud
from tests.contract.lookalike.conftest import ACCOUNT, AGENT, CLUSTER, REGION, Agent, Client, Tokens, token_of


@pytest.fixture
def pod(start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], boto3.Session]:
    """A pod's SDK: the injected environment and a projected token, and nothing else of AWS."""
    agent = start()

    def session(token: str) -> boto3.Session:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        for name, value in agent.environment(token).items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, os.devnull)
        return boto3.Session(region_name=REGION)

    return session


def test_boto3_in_a_pod_is_the_role(
    pod: Callable[[str], boto3.Session], tokens: Tokens, associated: str, url: str
) -> None:
    session = pod(tokens.issue("airflow", "airflow-dvc-sa"))
    sts = session.client("sts", endpoint_url=url)
    arn = sts.get_caller_identity()["Arn"]
    sts.close()
    assert arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/Airflow-DVCS3Role/eks-mlops-push-data-x7-")
    found = session.get_credentials()
    assert found is not None
    assert found.method == "container-role"


def test_a_pod_of_another_account_gets_no_keys(
    pod: Callable[[str], boto3.Session], tokens: Tokens, associated: str
) -> None:
    session = pod(tokens.issue("airflow", "default"))
    with pytest.raises(Exception, match=r"ResourceNotFoundException.*No association found.*airflow/default"):
        session.get_credentials()


def test_the_answer_has_what_the_sdks_read(start: Callable[..., Agent], tokens: Tokens, associated: str) -> None:
    answer = start().ask(tokens.issue("airflow", "airflow-dvc-sa"))
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"AccessKeyId", "SecretAccessKey", "Token", "AccountId", "Expiration"}
    assert answer.json()["AccountId"] == ACCOUNT
    assert answer.json()["Expiration"].endswith("Z")


def test_keys_are_kept_for_the_same_token(
    start: Callable[..., Agent], tokens: Tokens, associated: str, cloud: Cloud
) -> None:
    agent, token = start(), tokens.issue("airflow", "airflow-dvc-sa")
    assert agent.ask(token).json() == agent.ask(token).json()
    assert len(cloud.log.calls("eks-auth")) == 1
    other = tokens.issue("airflow", "airflow-dvc-sa", pod="pull-data-y8")
    assert agent.ask(other).json()["AccessKeyId"] != agent.ask(token).json()["AccessKeyId"]


def test_keys_are_asked_for_anew_when_their_time_is_over(
    start: Callable[..., Agent], tokens: Tokens, associated: str, cloud: Cloud
) -> None:
    agent, token = start(AGENT_RETENTION="0"), tokens.issue("airflow", "airflow-dvc-sa")
    assert agent.ask(token).json()["AccessKeyId"] != agent.ask(token).json()["AccessKeyId"]
    assert len(cloud.log.calls("eks-auth")) == 2


def test_a_refusal_is_not_kept(start: Callable[..., Agent], tokens: Tokens, client: Client, associated: str) -> None:
    agent, token = start(), tokens.issue("airflow", "other")
    assert agent.ask(token).status_code == 404
    role = client("eks").describe_pod_identity_association(clusterName=CLUSTER, associationId=associated)
    client("eks").create_pod_identity_association(
        clusterName=CLUSTER, namespace="airflow", serviceAccount="other", roleArn=role["association"]["roleArn"]
    )
    assert agent.ask(token).status_code == 200


@pytest.mark.parametrize(
    ("token", "status", "text"),
    [
        ("", 400, "Service account token cannot be empty"),
        ("garbage", 400, "Service account token cannot be parsed"),
        (token_of("airflow", "airflow-dvc-sa", lifetime=-5), 400, "failed basic claim validations"),
        (token_of("airflow", "airflow-dvc-sa"), 400, "(InvalidTokenException)"),
        (f"Bearer {token_of('airflow', 'airflow-dvc-sa')}", 400, ""),
    ],
)
def test_what_is_no_token_of_the_cluster_is_refused(
    start: Callable[..., Agent], tokens: Tokens, associated: str, token: str, status: int, text: str
) -> None:
    answer = start().ask(token)
    assert answer.status_code == status
    assert text in answer.text


def test_another_host_is_refused(start: Callable[..., Agent], tokens: Tokens, associated: str) -> None:
    answer = start().ask(tokens.issue("airflow", "airflow-dvc-sa"), Host="evil.example")
    assert answer.status_code == 403
    assert "Called agent through invalid address" in answer.text


def test_a_throttled_agent_says_so_and_boto3_gets_its_keys_in_the_end(
    pod: Callable[[str], boto3.Session], tokens: Tokens, associated: str, cloud: Cloud
) -> None:
    cloud.gateway.faults.throttle("eks-auth", "AssumeRoleForPodIdentity", 1)
    found = pod(tokens.issue("airflow", "airflow-dvc-sa")).get_credentials()
    assert found is not None
    outcomes = [call.outcome for call in cloud.log.calls("eks-auth")]
    assert outcomes == ["throttled", "allowed"]


def test_an_endpoint_that_is_down_is_a_server_error(start: Callable[..., Agent], tokens: Tokens) -> None:
    answer = start(AGENT_ENDPOINT="http://127.0.0.1:9").ask(tokens.issue("airflow", "airflow-dvc-sa"))
    assert answer.status_code == 500
    assert "EKS Auth does not answer" in answer.text


def test_a_program_without_its_configuration_ends(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-I", str(AGENT)], env={}, capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 1
    assert "AGENT_CLUSTER" in ended.stderr
