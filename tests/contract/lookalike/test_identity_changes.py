"""What the tests of identity do to an account (`tests/identity`), done to one without a cluster.

It has the effect that they count on, and everything is put back to what it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import StructureShape

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.witness import Backend
from harness.settings import resolve
from tests.contract.lookalike.conftest import BUCKET, CLUSTER, GUIDE, REGION, ROLE, Client, Tokens
from tests.identity import changes
from tests.identity.account import Account
from tests.identity.changes import without_action, without_association
from tests.identity.writers import BucketPolicy, writers_of

PREFIX = "e2e/runs/r1/"


@pytest.fixture
def backend(store: Backend) -> Backend:
    return store


@pytest.fixture
def account(
    enter: Callable[[Credentials], None],
    client: Client,
    admin: Credentials,
    limited: Callable[..., Credentials],
    associated: str,
    bucket: str,
) -> Account:
    """The guide's role, its association and its bucket; a runner who may write there."""
    assert associated
    client("iam").put_role_policy(RoleName="Airflow-DVCS3Role", PolicyName="s3", PolicyDocument=json.dumps(GUIDE))
    enter(admin)

    def session(keys: Credentials) -> boto3.Session:
        return boto3.Session(keys.access_key_id, keys.secret_access_key, region_name=REGION)

    runner = session(limited("s3:PutObject", "s3:GetObject"))
    return Account(resolve(), runner, session(admin), CLUSTER, ROLE, bucket, PREFIX)


@pytest.fixture
def pod(client: Client, limited: Callable[..., Credentials], tokens: Tokens) -> Callable[[], Any]:
    """S3 as a new pod of the DVC account has it."""
    auth = client("eks-auth", limited("eks-auth:AssumeRoleForPodIdentity"))

    def vended() -> Any:
        token = tokens.issue("airflow", "airflow-dvc-sa")
        found = auth.assume_role_for_pod_identity(clusterName=CLUSTER, token=token)["credentials"]
        session = boto3.Session(
            found["accessKeyId"], found["secretAccessKey"], found["sessionToken"], region_name=REGION
        )
        return session.client("s3")

    return vended


def put(s3: Any, key: str = f"{PREFIX}x") -> str:
    """The code of the refusal; empty if it was done."""
    try:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def policy_of(account: Account) -> str:
    try:
        return str(account.administrator.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"])
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def test_while_it_is_watched_the_role_writes_below_the_prefix_and_nobody_else(
    account: Account, pod: Callable[[], Any]
) -> None:
    way, runner = BucketPolicy(account), account.runner.client("s3")
    way.prepare()
    with way.watching():
        assert put(pod()) == ""
        assert put(runner) == "AccessDenied"
        assert put(account.administrator.client("s3")) == "AccessDenied"
        assert put(runner, "elsewhere") == ""
    assert put(runner) == ""
    assert policy_of(account) == "NoSuchBucketPolicy"
    assert way.written_by(ROLE, {"k"}) == {"k": f"nobody but {ROLE} could write it"}


def test_a_policy_that_the_bucket_has_stays_in_force_and_is_as_it_was_afterwards(account: Account) -> None:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/secret"}
    before = json.dumps({"Version": "2012-10-17", "Statement": denied})
    s3 = account.administrator.client("s3")
    s3.put_bucket_policy(Bucket=BUCKET, Policy=before)
    with BucketPolicy(account).watching():
        kept, ours = json.loads(policy_of(account))["Statement"]
        assert kept == denied
        assert ours["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": ROLE}}
    assert json.loads(policy_of(account)) == json.loads(before)
    s3.delete_bucket_policy(Bucket=BUCKET)


def test_it_is_put_back_after_a_failure_too(account: Account) -> None:
    way = BucketPolicy(account)
    with pytest.raises(ZeroDivisionError), way.watching():
        raise ZeroDivisionError
    assert policy_of(account) == "NoSuchBucketPolicy"


def test_a_runner_who_may_not_write_there_shows_nothing(account: Account, limited: Callable[..., Credentials]) -> None:
    keys = limited("s3:GetObject")
    reader = boto3.Session(keys.access_key_id, keys.secret_access_key, region_name=REGION)
    with pytest.raises(AssertionError, match="the runner may not write"):
        BucketPolicy(replace(account, runner=reader)).prepare()


def test_without_the_association_no_pod_gets_keys_and_with_it_again_they_do(
    account: Account, pod: Callable[[], Any]
) -> None:
    assert put(pod()) == ""
    with without_association(account), pytest.raises(ClientError, match="No association found"):
        pod()
    assert put(pod()) == ""


def test_an_association_is_put_back_with_all_that_it_had(account: Account, associated: str) -> None:
    eks, new = account.administrator.client("eks"), {"associationId", "associationArn", "createdAt", "modifiedAt"}

    def had() -> dict[str, Any]:
        (one,) = eks.list_pod_identity_associations(clusterName=CLUSTER)["associations"]
        found = eks.describe_pod_identity_association(clusterName=CLUSTER, associationId=one["associationId"])
        return {name: value for name, value in found["association"].items() if name not in new}

    eks.delete_pod_identity_association(clusterName=CLUSTER, associationId=associated)
    given = {
        "clusterName": CLUSTER, "namespace": "airflow", "serviceAccount": "airflow-dvc-sa", "roleArn": ROLE,
        "disableSessionTags": True, "policy": json.dumps(GUIDE), "tags": {"team": "data"},
    }  # fmt: skip
    eks.create_pod_identity_association(**given)
    before = had()
    assert before == given
    with without_association(account):
        pass
    assert had() == before


def test_of_an_association_all_is_kept_that_can_be_given_to_a_new_one() -> None:
    model = botocore.session.get_session().get_service_model("eks")
    given, had = (model.shape_for(name) for name in ("CreatePodIdentityAssociationRequest", "PodIdentityAssociation"))
    assert isinstance(given, StructureShape)
    assert isinstance(had, StructureShape)
    of = {"clusterName", "namespace", "serviceAccount"}
    assert {*changes._KEPT, *of} == set(given.members) & set(had.members)


def test_without_an_action_the_role_may_all_but_that(account: Account, pod: Callable[[], Any], client: Client) -> None:
    s3 = pod()
    assert put(s3) == ""
    with without_action(account, "s3:PutObject"):
        assert put(s3) == "AccessDenied"
        assert s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}x")["ContentLength"] == 1
    assert put(s3) == ""
    policy = client("iam").get_role_policy(RoleName="Airflow-DVCS3Role", PolicyName="s3")
    assert policy["PolicyDocument"] == GUIDE


def test_an_action_that_no_policy_names_cannot_be_taken_away(account: Account) -> None:
    with pytest.raises(AssertionError, match="names s3:PutObjectAcl"), without_action(account, "s3:PutObjectAcl"):
        pass


def test_where_there_is_no_look_alike_there_is_awss_way_only(account: Account, cloud: Cloud) -> None:
    assert cloud.account.number
    assert [way.name for way in writers_of(account)] == ["a bucket policy on aws:PrincipalArn"]
