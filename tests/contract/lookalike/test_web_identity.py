"""IRSA: a service account's token for keys of a role, by issuer, audience and the role's trust; the patch of pods."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from harness.eks_policies import document
from harness.lookalike import injector
from harness.lookalike.cloud import Cloud
from tests.contract.lookalike.conftest import ACCOUNT, CLUSTER, REGION, Client, Tokens
from tests.contract.lookalike.test_signatures import refusal_of

ISSUER = "oidc.example/id/1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Airflow-DVCS3Role"
AUDIENCE = "sts.amazonaws.com"
Issue = Callable[..., str]


@pytest.fixture
def issue(cloud: Cloud, tokens: Tokens) -> Issue:
    """A token of the cluster for a service account."""
    cloud.eks.cluster(CLUSTER).issuer = f"https://{ISSUER}"
    tokens.audience = AUDIENCE

    def make(account: str = "airflow-dvc-sa", **claims: Any) -> str:
        said = {"iss": f"https://{ISSUER}", "aud": [AUDIENCE], "exp": datetime.now(UTC).timestamp() + 600, **claims}
        middle = base64.urlsafe_b64encode(json.dumps({**said, "of": account}).encode()).decode().rstrip("=")
        token = f"eyJhbGciOiJSUzI1NiJ9.{middle}.c2lnbmF0dXJl"
        tokens.issued[token] = ("airflow", account, "push-data-x7")
        return token

    return make


@pytest.fixture
def role(client: Client) -> str:
    """The provider, and the role that trusts one service account of it."""
    values = {"partition": "aws", "account": ACCOUNT, "issuer": ISSUER}
    client("iam").create_open_id_connect_provider(Url=f"https://{ISSUER}", ClientIDList=[AUDIENCE])
    trust = json.dumps(document("dvc-trust-irsa", values))
    client("iam").create_role(RoleName="Airflow-DVCS3Role", AssumeRolePolicyDocument=trust)
    return ROLE


@pytest.fixture
def sts(url: str) -> Iterator[Any]:
    """Of somebody without keys, as a pod is."""
    made = boto3.Session().client(
        "sts", endpoint_url=url, region_name=REGION,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )  # fmt: skip
    yield made
    made.close()


def given(token: str) -> dict[str, str]:
    return {"RoleArn": ROLE, "RoleSessionName": "pod", "WebIdentityToken": token}


def test_the_trusted_account_gets_a_session_of_the_role(
    sts: Any, issue: Issue, role: str, cloud: Cloud, boto: Any, url: str
) -> None:
    token = issue()
    made = sts.assume_role_with_web_identity(**given(token))
    assert made["SubjectFromWebIdentityToken"] == "system:serviceaccount:airflow:airflow-dvc-sa"
    assert (made["Audience"], made["Provider"]) == (AUDIENCE, f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}")
    keys = made["Credentials"]
    who = boto.client(
        "sts", endpoint_url=url, region_name=REGION, aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"],
    )  # fmt: skip
    assert who.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Airflow-DVCS3Role/pod"
    who.close()
    assert token not in str(cloud.log.calls())


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (lambda issue: issue("default"), ("AccessDenied", 403)),
        (lambda issue: issue(aud=["kubernetes"]), ("InvalidIdentityToken", 400)),
        (lambda issue: issue(iss="https://other.example"), ("InvalidIdentityToken", 400)),
        (lambda issue: issue(exp=1), ("ExpiredTokenException", 400)),
        (lambda issue: issue()[:-4] + "AAAA", ("InvalidIdentityToken", 400)),
        (lambda _issue: "garbage", ("InvalidIdentityToken", 400)),
    ],
)
def test_any_other_token_gets_nothing(
    sts: Any, issue: Issue, role: str, token: Callable[[Issue], str], code: tuple[str, int]
) -> None:
    assert refusal_of(sts.assume_role_with_web_identity, **given(token(issue))) == code


def test_without_the_provider_or_the_role_there_is_nothing(sts: Any, issue: Issue, role: str, client: Client) -> None:
    token, iam = issue(), client("iam")
    iam.delete_role(RoleName="Airflow-DVCS3Role")
    assert refusal_of(sts.assume_role_with_web_identity, **given(token)) == ("AccessDenied", 403)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}")
    assert refusal_of(sts.assume_role_with_web_identity, **given(token)) == ("InvalidIdentityToken", 400)


def test_nothing_else_is_done_without_a_signature(sts: Any, role: str) -> None:
    assert refusal_of(sts.get_caller_identity) == ("MissingAuthenticationToken", 403)


def test_a_provider_is_given_back_as_it_was_made_and_taken_once(client: Client) -> None:
    iam = client("iam")
    made = {"Url": "https://issuer.example/1", "ClientIDList": ["a"], "Tags": [{"Key": "k", "Value": "v"}]}
    arn = iam.create_open_id_connect_provider(**made)["OpenIDConnectProviderArn"]
    assert refusal_of(iam.create_open_id_connect_provider, **made) == ("EntityAlreadyExists", 409)
    assert refusal_of(iam.create_open_id_connect_provider, Url="http://issuer.example") == ("ValidationError", 400)
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "more", "Value": "1"}])
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["k"])
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (found["Url"], found["ClientIDList"]) == ("issuer.example/1", ["a", "b"])
    assert found["Tags"] == [{"Key": "more", "Value": "1"}]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert refusal_of(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn) == ("NoSuchEntity", 404)


def test_pods_of_an_account_that_names_a_role_get_its_token_and_an_association_goes_before() -> None:
    pod = {"spec": {"serviceAccountName": "airflow-dvc-sa", "containers": [{"name": "a", "image": "b"}]}}
    request = {"uid": "1", "operation": "CREATE", "kind": {"kind": "Pod"}, "namespace": "airflow", "object": pod}

    def added(*, associated: bool) -> dict[str, str]:
        answer = injector.review(
            request, region=REGION, associated=lambda _n, _a: associated, role_of=lambda _n, _a: ROLE
        )
        patch = json.loads(base64.b64decode(answer["patch"]))
        return {one["name"]: one["value"] for op in patch if op["path"].endswith("/env") for one in op["value"]}

    assert added(associated=False) == {
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    }
    assert "AWS_ROLE_ARN" not in added(associated=True)
