"""Whose request it is: boto3 signs, the look-alike verifies; each protocol has its own words for a refusal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.sigv4 import Claim, HttpRequest, signature_of
from tests.contract.lookalike.conftest import CLUSTER, Client, Clock


def refusal_of(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_signed_request_is_known_by_its_user(client: Client, admin: Credentials) -> None:
    identity = client("sts").get_caller_identity()
    assert identity["Arn"] == "arn:aws:iam::111122223333:user/admin"
    assert identity["Account"] == "111122223333"
    assert identity["UserId"].startswith("AIDA")


def test_the_example_of_the_documentation_gets_the_documented_signature() -> None:
    # "Example: GET Object" in "Signature Calculations for the Authorization Header" of the S3 API reference.
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": empty,
        "x-amz-date": "20130524T000000Z",
    }
    claim = Claim("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "s3", tuple(headers), "", "20130524T000000Z", "")
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert signature_of(HttpRequest("GET", "/test.txt", "", headers), claim, secret) == (
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code", "status"),
    [
        ("eks", "describe_cluster", {"name": CLUSTER}, "InvalidSignatureException", 403),
        ("sts", "get_caller_identity", {}, "SignatureDoesNotMatch", 403),
        ("iam", "list_roles", {}, "SignatureDoesNotMatch", 403),
    ],
)
def test_a_wrong_secret_is_a_wrong_signature(
    client: Client, admin: Credentials, service: str, operation: str, parameters: Any, code: str, status: int
) -> None:
    wrong = replace(admin, secret_access_key="not-the-secret")
    assert refusal_of(getattr(client(service, wrong), operation), **parameters) == (code, status)


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("eks", "describe_cluster", {"name": CLUSTER}, "UnrecognizedClientException"),
        ("sts", "get_caller_identity", {}, "InvalidClientTokenId"),
        ("iam", "list_roles", {}, "InvalidClientTokenId"),
    ],
)
def test_an_unknown_key_is_refused(
    client: Client, admin: Credentials, service: str, operation: str, parameters: Any, code: str
) -> None:
    unknown = replace(admin, access_key_id="AKIAIOSFODNN7EXAMPLE")
    assert refusal_of(getattr(client(service, unknown), operation), **parameters) == (code, 403)


def session(cloud: Cloud, client: Client) -> Credentials:
    trust = '{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "111122223333"}}]}'
    client("iam").create_role(RoleName="ci", AssumeRolePolicyDocument=trust)
    client("iam").put_role_policy(
        RoleName="ci",
        PolicyName="all",
        PolicyDocument='{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}',
    )
    arn = "arn:aws:iam::111122223333:role/ci"
    key = client("sts").assume_role(RoleArn=arn, RoleSessionName="nightly", DurationSeconds=900)["Credentials"]
    found = cloud.store.find(key["AccessKeyId"])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("eks", "describe_cluster", {"name": CLUSTER}, "ExpiredTokenException"),
        ("sts", "get_caller_identity", {}, "ExpiredToken"),
        ("iam", "list_roles", {}, "ExpiredToken"),
    ],
)
def test_a_session_that_is_over_is_refused(
    cloud: Cloud, client: Client, clock: Clock, service: str, operation: str, parameters: Any, code: str
) -> None:
    keys = session(cloud, client)
    call = getattr(client(service, keys), operation)
    call(**parameters)
    clock.ahead = timedelta(minutes=15, seconds=1)
    assert refusal_of(call, **parameters) == (code, 403)


def test_keys_of_a_session_are_nothing_without_its_token(cloud: Cloud, client: Client) -> None:
    keys = replace(session(cloud, client), session_token="")
    assert refusal_of(client("sts", keys).get_caller_identity) == ("InvalidClientTokenId", 403)


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_signature_of_another_time_is_refused(client: Client, clock: Clock, minutes: int) -> None:
    clock.ahead = timedelta(minutes=minutes)
    assert refusal_of(client("eks").describe_cluster, name=CLUSTER) == ("InvalidSignatureException", 403)


def test_what_is_not_signed_is_refused_in_the_words_of_its_protocol(url: str) -> None:
    answer = httpx.get(f"{url}/clusters/{CLUSTER}", trust_env=False)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    form = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    answer = httpx.post(url, data=form, trust_env=False)
    assert answer.status_code == 403
    assert "<Code>MissingAuthenticationToken</Code>" in answer.text


def test_a_changed_body_is_not_what_was_signed(client: Client, cloud: Cloud) -> None:
    iam = client("iam")

    def change(request: Any, **_: Any) -> None:
        request.body = request.body.replace("ListRoles", "ListUsers")

    iam.meta.events.register("before-send.iam", change)
    assert refusal_of(iam.list_roles) == ("SignatureDoesNotMatch", 403)
    assert cloud.log.calls("iam")[-1].principal == ""


def test_another_region_is_refused(cloud: Cloud, url: str, admin: Credentials) -> None:
    other = boto3.Session().client(
        "eks",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=admin.access_key_id,
        aws_secret_access_key=admin.secret_access_key,
    )
    assert refusal_of(other.describe_cluster, name=CLUSTER) == ("InvalidSignatureException", 403)
    other.close()
