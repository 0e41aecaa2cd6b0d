"""`harness eks delete` where the cluster is gone, never came up, or has to wait: it goes last, and nothing is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.eks_settings import Identity
from harness.errors import CleanupFailed, EnvironmentFailed, ExitCode, GuardError
from harness.lookalike.cloud import Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.principals import Credentials
from tests.contract.eks_admin.conftest import ARN, Home, policies
from tests.contract.eks_admin.eksctl import Eksctl, cluster, eksctl, made, nobody
from tests.contract.lookalike.conftest import CLUSTER, REGION, TRUST, Client

# Fixtures of others, in use here.
__all__ = ["cluster", "eksctl", "nobody"]

ROLE = "Airflow-DVCS3Role"


@pytest.fixture
def left(home: Home, client: Client) -> Callable[[], set[str]]:
    """What is left in the account of what is prepared."""

    def look() -> set[str]:
        iam = client("iam")
        roles = {one["RoleName"] for one in iam.list_roles()["Roles"]}
        buckets = {one["Name"] for one in client("s3").list_buckets()["Buckets"]}
        providers = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        return (roles & {ROLE}) | (buckets & {home.bucket}) | {one["Arn"] for one in providers}

    return look


def test_the_cluster_goes_only_when_all_that_was_made_for_it_has_gone(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, client: Client, left: Callable[[], set[str]]
) -> None:
    made(cloud, cluster)
    nobody.create(make_cluster=True)
    client("s3").put_object(Bucket=nobody.bucket, Key="a", Body=b"1")
    with pytest.raises(CleanupFailed, match=f"still there: bucket {nobody.bucket}") as caught:
        nobody.delete()
    assert eksctl.calls == []
    assert "goes on costing" in caught.value.evidence[f"cluster {CLUSTER}"]
    assert nobody.delete(may_empty=True) == ExitCode.GREEN
    assert [call["argv"][0] for call in eksctl.calls] == ["delete"]
    assert left() == set()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_was_made_for_a_cluster_that_is_no_more_goes_without_it(
    preparer: Home, cloud: Cloud, client: Client, left: Callable[[], set[str]], *, elsewhere: bool
) -> None:
    preparer.create()
    client("s3").put_object(Bucket=preparer.bucket, Key="a", Body=b"1")
    cloud.eks.remove_cluster(CLUSTER)
    if elsewhere:
        preparer.journal().path.unlink()
    with pytest.raises(CleanupFailed, match=f"still there: bucket {preparer.bucket}"):
        preparer.delete()
    assert preparer.delete(may_empty=True) == ExitCode.GREEN
    assert left() == set()
    assert preparer.journal().open() == []


def test_a_cluster_that_our_journal_alone_knows_is_not_taken_for_one_with_nothing_around_it(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, client: Client, left: Callable[[], set[str]]
) -> None:
    with pytest.raises(EnvironmentFailed, match="there is no EKS cluster"):  # the stand-in makes none
        nobody.create(make_cluster=True)
    made(cloud, cluster)
    nobody.create()
    client("s3").put_object(Bucket=nobody.bucket, Key="a", Body=b"1")
    cloud.eks.remove_cluster(CLUSTER)
    with pytest.raises(CleanupFailed, match=f"still there: bucket {nobody.bucket}"):
        nobody.delete()
    assert nobody.delete(may_empty=True) == ExitCode.GREEN
    assert "--force" in eksctl.calls[-1]["argv"]
    assert left() == set()
    assert nobody.journal().open() == []


@pytest.mark.parametrize("status", ["DELETING", "FAILED"])
def test_what_was_made_for_a_cluster_that_goes_or_has_failed_goes_before_it(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, left: Callable[[], set[str]], status: str
) -> None:
    made(cloud, cluster)
    nobody.create()
    cluster.status = status
    assert nobody.delete() == ExitCode.GREEN
    assert [call["argv"][0] for call in eksctl.calls] == ["delete"]
    assert left() == set()
    assert nobody.journal().open() == []


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_provider_of_a_cluster_that_is_no_more_goes_too(
    home: Home, cloud: Cloud, enter: Callable[[Credentials], None], left: Callable[[], set[str]], *, elsewhere: bool
) -> None:
    enter(cloud.user("preparer", policies("prepare", "prepare-irsa", bucket=home.bucket)))
    # No pod is told of a role here, for nothing stands for EKS's webhook; what was made stays.
    with pytest.raises(EnvironmentFailed, match="told where their keys are"):
        home.create(identity=Identity.IRSA, settings=home.settings().model_copy(update={"patience": 0.001}))
    assert len(left()) == 3
    cloud.eks.remove_cluster(CLUSTER)
    if elsewhere:
        home.journal().path.unlink()
    assert home.delete(identity=Identity.IRSA) == ExitCode.GREEN
    assert left() == set()
    assert home.journal().open() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accounts": ("999999999999",)}, "allow-list eks.accounts"),
        ({"clusters": (ARN.replace(CLUSTER, "other"),)}, "allow-list eks.clusters"),
        ({"consent": False}, "needs your consent"),
    ],
)
def test_the_guards_hold_also_where_there_is_no_cluster(
    preparer: Home, cloud: Cloud, left: Callable[[], set[str]], change: dict[str, Any], said: str
) -> None:
    preparer.create()
    cloud.eks.remove_cluster(CLUSTER)
    with pytest.raises(GuardError, match=said):
        preparer.delete(settings=preparer.settings(**change))
    assert left() == {ROLE, preparer.bucket}


def test_where_there_is_no_cluster_and_nothing_was_made_for_it_the_name_is_taken_for_wrong(
    nobody: Home, client: Client, left: Callable[[], set[str]]
) -> None:
    other = ARN.replace(REGION, "eu-west-1")
    tags = {"harness.owner": "airflow-dvc-harness", "harness.environment": CLUSTER, "harness.cluster": other}
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=listed)
    with pytest.raises(EnvironmentFailed, match=f"there is no EKS cluster {CLUSTER} in {REGION}") as caught:
        nobody.delete()
    assert "--suffix" in caught.value.next_step
    assert left() == {ROLE}
