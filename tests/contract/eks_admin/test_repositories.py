"""Repositories of ECR: prepared where runs push there, one per image, tagged and ruled as all that is prepared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import ExitCode, GuardError
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.settings import Settings
from tests.contract.eks_admin.conftest import Home, policies
from tests.contract.lookalike.conftest import CLUSTER, Client
from tests.policies import needless, refused

WORKER = "airflow-dvc-harness/airflow-dvc-worker"


@pytest.fixture
def pushing(home: Home, cloud: Cloud, enter: Callable[[Credentials], None]) -> Settings:
    """Settings of runs that push to ECR; keys of whoever prepares for them."""
    enter(cloud.user("preparer", policies("prepare", "prepare-images", bucket=home.bucket)))
    return home.settings(registry="ecr")


def repositories(client: Client) -> dict[str, Any]:
    return {one["repositoryName"]: one for one in client("ecr").describe_repositories()["repositories"]}


def test_there_is_one_per_image_that_nodes_pull_and_all_go_again(home: Home, pushing: Settings, client: Client) -> None:
    assert home.create(settings=pushing) == ExitCode.GREEN
    made = repositories(client)
    assert len(made) == 6
    assert {one["imageTagMutability"] for one in made.values()} == {"IMMUTABLE"}
    listed = client("ecr").list_tags_for_resource(resourceArn=made[WORKER]["repositoryArn"])["tags"]
    assert {"Key": "harness.environment", "Value": CLUSTER} in listed
    kept = client("ecr").get_lifecycle_policy(repositoryName=WORKER)["lifecyclePolicyText"]
    assert json.loads(kept)["rules"][0]["selection"]["countNumber"] == 20
    assert home.status(settings=pushing) == ExitCode.GREEN
    assert home.delete(settings=pushing) == ExitCode.GREEN
    assert repositories(client) == {}


def test_one_that_keeps_all_its_images_is_mended_and_a_policy_of_somebody_else_is_left(
    home: Home, pushing: Settings, cloud: Cloud, client: Client
) -> None:
    home.create(settings=pushing)
    cloud.ecr.repository(WORKER).lifecycle = ""
    other = next(name for name in repositories(client) if name != WORKER)
    theirs = cloud.ecr.repository(other).lifecycle.replace("20", "500")
    cloud.ecr.repository(other).lifecycle = theirs
    assert home.status(settings=pushing) == ExitCode.ENVIRONMENT_FAILED
    assert home.told.count("no lifecycle policy") == 1
    home.create(settings=pushing)
    assert "20" in cloud.ecr.repository(WORKER).lifecycle
    assert cloud.ecr.repository(other).lifecycle == theirs
    assert home.status(settings=pushing) == ExitCode.GREEN


def test_what_is_somebody_elses_is_refused_or_adopted_and_the_policy_is_minimal(
    home: Home, pushing: Settings, client: Client, cloud: Cloud
) -> None:
    client("ecr").create_repository(repositoryName=WORKER, imageTagMutability="MUTABLE")
    with pytest.raises(GuardError) as caught:
        home.create(settings=pushing)
    assert f"--adopt {WORKER}" in caught.value.next_step
    home.create(settings=pushing, adopt=frozenset({WORKER}))
    assert "left so: tags: MUTABLE" in home.told
    other = next(name for name in repositories(client) if name != WORKER)
    client("ecr").put_image_tag_mutability(repositoryName=other, imageTagMutability="MUTABLE")
    home.create(settings=pushing)
    assert repositories(client)[other]["imageTagMutability"] == "IMMUTABLE"
    home.delete(settings=pushing)
    assert set(repositories(client)) == {WORKER}

    calls = [call for call in cloud.log.calls() if call.principal.endswith(":user/preparer")]
    both = policies("prepare", "prepare-images", bucket=home.bucket)
    assert refused(both, calls) == []
    assert needless(policies("prepare-images", bucket=home.bucket), calls) == []
