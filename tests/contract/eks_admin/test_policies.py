"""Each documented policy is enough for what is done, and nothing of it can be left out: against the recorded calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.eks_settings import Identity
from harness.errors import EnvironmentFailed
from harness.lookalike.calls import Call
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from tests.contract.eks_admin.conftest import Admitting, Home, policies
from tests.contract.lookalike.conftest import CLUSTER, TRUST, Client
from tests.policies import needless, refused

ROLE = "Airflow-DVCS3Role"


def of(cloud: Cloud, user: str) -> list[Call]:
    return [call for call in cloud.log.calls() if call.principal.endswith(f":user/{user}")]


def test_what_prepares_needs_its_policy_and_nothing_of_it_less(
    preparer: Home, cloud: Cloud, client: Client, objects: Admitting
) -> None:
    iam, s3, eks = client("iam"), client("s3"), client("eks")
    preparer.create()
    # All that drifts, and is mended; with a boundary and without.
    listed = eks.list_pod_identity_associations(clusterName=CLUSTER)["associations"][0]["associationId"]
    other = iam.create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    eks.update_pod_identity_association(clusterName=CLUSTER, associationId=listed, roleArn=other)
    text = json.dumps(policies("dvc-s3", bucket=preparer.bucket))
    preparer.create(boundary=iam.create_policy(PolicyName="limit", PolicyDocument=text)["Policy"]["Arn"])
    preparer.create()
    # A bucket with versions and with half an upload.
    s3.put_object(Bucket=preparer.bucket, Key="before", Body=b"1")
    s3.put_bucket_versioning(Bucket=preparer.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=preparer.bucket, Key="a", Body=b"1")
    s3.create_multipart_upload(Bucket=preparer.bucket, Key="half")
    preparer.delete(may_empty=True)
    # What is somebody else's, adopted and let go.
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
    eks.create_pod_identity_association(
        clusterName=CLUSTER, namespace="airflow", serviceAccount="airflow-dvc-sa", roleArn=other
    )
    preparer.create(adopt=frozenset({ROLE, "airflow/airflow-dvc-sa"}))
    preparer.delete()

    calls, policy = of(cloud, "preparer"), policies("prepare", bucket=preparer.bucket)
    assert [call for call in calls if call.outcome == "denied"] == []
    assert refused(policy, calls) == []
    assert needless(policy, calls) == []


def test_irsa_needs_its_own_policy_and_nothing_of_it_less(
    home: Home, cloud: Cloud, client: Client, enter: Callable[[Credentials], None], objects: Admitting
) -> None:
    enter(cloud.user("preparer", policies("prepare", "prepare-irsa", bucket=home.bucket)))
    objects.associated = lambda _namespace, _account: False
    asked: dict[str, Any] = {
        "identity": Identity.IRSA, "settings": home.settings().model_copy(update={"patience": 0.001})
    }  # fmt: skip
    iam = client("iam")
    issuer = cloud.eks.cluster(CLUSTER).issuer

    def create(**more: Any) -> None:
        with pytest.raises(EnvironmentFailed, match="told where their keys are"):
            home.create(**asked, **more)

    create()
    arn = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"][0]["Arn"]
    provider = cloud.iam.providers.find(arn)
    assert provider is not None
    provider.audiences.clear()
    create()
    assert provider.audiences == ["sts.amazonaws.com"]
    home.delete(identity=Identity.IRSA)
    iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"])
    create(adopt=frozenset({issuer.removeprefix("https://")}))
    home.delete(identity=Identity.IRSA)

    calls = of(cloud, "preparer")
    assert [call for call in calls if call.outcome == "denied"] == []
    assert refused(policies("prepare", "prepare-irsa", bucket=home.bucket), calls) == []
    assert needless(policies("prepare-irsa", bucket=home.bucket), calls) == []
