"""ECR's API as boto3 calls it: shapes, refusals, and the login."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from tests.contract.lookalike.conftest import ACCOUNT, REGION, Client
from tests.contract.lookalike.test_signatures import refusal_of

REPOSITORY = "airflow-dvc-harness/airflow-dvc-worker"
ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{REPOSITORY}"


def test_a_login_is_user_aws_for_twelve_hours_at_the_registrys_address(client: Client, cloud: Cloud) -> None:
    cloud.ecr.endpoint = "https://127.0.0.1:4242"
    data = client("ecr").get_authorization_token()["authorizationData"][0]
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    assert abs(data["expiresAt"] - datetime.now(UTC) - timedelta(hours=12)) < timedelta(minutes=1)
    assert data["proxyEndpoint"] == "https://127.0.0.1:4242"


def test_each_login_is_another_and_none_is_on_the_record(client: Client, cloud: Cloud) -> None:
    passwords = {client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"] for _ in "12"}
    assert len(passwords) == 2
    for token in passwords:
        assert not any(token in repr(call) for call in cloud.log.calls())


def test_a_repository_is_created_once_and_described(client: Client, cloud: Cloud) -> None:
    cloud.ecr.endpoint = "https://127.0.0.1:4242"
    ecr = client("ecr")
    made = ecr.create_repository(
        repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE", tags=[{"Key": "team", "Value": "ml"}]
    )["repository"]
    assert (made["repositoryArn"], made["registryId"]) == (ARN, ACCOUNT)
    assert made["repositoryUri"] == f"127.0.0.1:4242/{REPOSITORY}"
    assert ecr.describe_repositories(repositoryNames=[REPOSITORY])["repositories"] == [made]
    assert refusal_of(ecr.create_repository, repositoryName=REPOSITORY) == ("RepositoryAlreadyExistsException", 400)


def test_repositories_are_listed_by_pages(client: Client) -> None:
    ecr = client("ecr")
    for name in ("b", "a", "c/d"):
        ecr.create_repository(repositoryName=f"team/{name}")
    pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2}))
    assert [[one["repositoryName"] for one in page["repositories"]] for page in pages] == [
        ["team/a", "team/b"],
        ["team/c/d"],
    ]


def test_a_repository_that_is_not_there_is_named_with_its_registry(client: Client) -> None:
    asked = {"repositoryName": REPOSITORY, "imageIds": [{"imageTag": "1"}]}
    for call in (client("ecr").batch_get_image, client("ecr").describe_images):
        with pytest.raises(ClientError, match=f"'{REPOSITORY}' does not exist in the registry with id '{ACCOUNT}'"):
            call(**asked)
        assert refusal_of(call, **asked) == ("RepositoryNotFoundException", 400)


def test_another_accounts_registry_is_not_here(client: Client) -> None:
    client("ecr").create_repository(repositoryName=REPOSITORY)
    asked = {"repositoryNames": [REPOSITORY], "registryId": "444455556666"}
    assert refusal_of(client("ecr").describe_repositories, **asked) == ("RepositoryNotFoundException", 400)


def test_an_image_that_is_not_there_is_a_failure_to_get_and_an_error_to_describe(client: Client) -> None:
    ecr = client("ecr")
    ecr.create_repository(repositoryName=REPOSITORY)
    asked = {"repositoryName": REPOSITORY, "imageIds": [{"imageTag": "1"}]}
    got = ecr.batch_get_image(**asked)
    assert got["images"] == []
    assert [(one["imageId"], one["failureCode"]) for one in got["failures"]] == [({"imageTag": "1"}, "ImageNotFound")]
    assert refusal_of(ecr.describe_images, **asked) == ("ImageNotFoundException", 400)
    assert ecr.list_images(repositoryName=REPOSITORY).get("imageIds", []) == []


def test_names_that_the_model_does_not_allow_are_refused(client: Client) -> None:
    ecr = client("ecr", parameter_validation=False)
    assert refusal_of(ecr.create_repository, repositoryName="Upper/Case") == ("InvalidParameterException", 400)


def test_each_call_asks_for_its_action_on_the_repository(
    client: Client, cloud: Cloud, limited: Callable[..., Credentials]
) -> None:
    client("ecr").create_repository(repositoryName=REPOSITORY)
    asked = {"repositoryName": REPOSITORY, "imageIds": [{"imageTag": "1"}]}
    may = client("ecr", limited("ecr:BatchGetImage", resource=ARN))
    assert may.batch_get_image(**asked)["failures"]
    assert refusal_of(may.describe_images, **asked) == ("AccessDeniedException", 400)
    assert refusal_of(may.get_authorization_token) == ("AccessDeniedException", 400)
    assert refusal_of(may.create_repository, repositoryName="other") == ("AccessDeniedException", 400)
    assert cloud.log.calls("ecr")[1].checked == (("ecr:BatchGetImage", ARN),)


def test_tags_at_creation_need_leave_of_their_own(client: Client, limited: Callable[..., Credentials]) -> None:
    tagged = {"repositoryName": REPOSITORY, "tags": [{"Key": "team", "Value": "ml"}]}
    only = client("ecr", limited("ecr:CreateRepository"))
    assert refusal_of(only.create_repository, **tagged) == ("AccessDeniedException", 400)
    client("ecr", limited("ecr:CreateRepository", "ecr:TagResource")).create_repository(**tagged)


def test_throttling_is_what_boto3_tries_again(client: Client, cloud: Cloud) -> None:
    cloud.gateway.faults.throttle("ecr", "GetAuthorizationToken", 1)
    assert refusal_of(client("ecr").get_authorization_token) == ("ThrottlingException", 400)
    cloud.gateway.faults.throttle("ecr", "GetAuthorizationToken", 1)
    patient = client("ecr", retries={"total_max_attempts": 3, "mode": "standard"})
    assert patient.get_authorization_token()["ResponseMetadata"]["RetryAttempts"] == 1


def test_a_repository_with_images_goes_only_by_force(client: Client, cloud: Cloud) -> None:
    ecr = client("ecr")
    ecr.create_repository(repositoryName=REPOSITORY)
    ecr.delete_repository(repositoryName=REPOSITORY)
    assert refusal_of(ecr.delete_repository, repositoryName=REPOSITORY) == ("RepositoryNotFoundException", 400)
