"""Rows of what may be wrong on EKS, and what the harness is to say of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from harness.dvc import BotoStore
from harness.lookalike.cloud import Cloud
from harness.lookalike.errors import Problem
from harness.lookalike.principals import Credentials
from harness.services import s3
from harness.wait import Waiter
from tests.contract.eks.aftermath import fill
from tests.contract.eks.conftest import ARN, Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET, CLUSTER, Client, Clock


@dataclass
class Stage:
    """Where a row is played."""

    site: Site
    objects: Objects
    cloud: Cloud
    client: Client
    association: str
    clock: Clock
    enter: Callable[[Credentials], None]
    monkeypatch: pytest.MonkeyPatch

    @property
    def elsewhere(self) -> Site:
        """Another machine."""
        return Site(self.site.folder / "another machine")


def play(stage: Stage, run: str = "run-1") -> None:
    """A run, as far as it asks something of AWS: it takes the cluster, proves and reads the bucket, gives all back.

    What its pods write is there at the end, in versions, with an upload that was not completed.
    """
    target = stage.site.target(run)
    cluster = target.up()
    try:
        if cluster.bucket is None:
            raise AssertionError("a run on EKS has a bucket")
        fill(cluster, stage.objects)
        pods = stage.client("s3")
        pods.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        pods.put_object(Bucket=BUCKET, Key=f"runs/{run}/a", Body=b"x")
        pods.create_multipart_upload(Bucket=BUCKET, Key=f"runs/{run}/b")
        store = s3.outside(cluster.bucket)
        s3.prove(store, waiter=Waiter())
        BotoStore(s3.connect(store)).inventory(BUCKET, store.root)
    finally:
        target.down()
        target.release()


@dataclass(frozen=True)
class Row:
    """Something that is wrong before anything is begun.

    Attributes:
        name: It.
        said: What the error must match.
        next_step: What must stand in its next step.
        arrange: Makes it so.
        settings: What the run is set to.
        only_at_the_cluster: Whether it is found when the cluster is taken, and not before.
    """

    name: str
    said: str
    next_step: str
    arrange: Callable[[Stage], object] = lambda _stage: None
    settings: Mapping[str, Any] = field(default_factory=dict)
    only_at_the_cluster: bool = False


def _expired(stage: Stage) -> None:
    keys = stage.cloud.user("nightly", {"Version": "2012-10-17", "Statement": []})
    stage.enter(stage.cloud.store.vend(keys.principal, stage.clock() + timedelta(seconds=1)))
    stage.clock.ahead = timedelta(seconds=2)


def _with(**variables: str) -> Callable[[Stage], None]:
    def arrange(stage: Stage) -> None:
        for name, value in variables.items():
            stage.monkeypatch.setenv(name, value)

    return arrange


def _without_keys(stage: Stage) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        stage.monkeypatch.delenv(name)


def _no_association(stage: Stage) -> None:
    stage.client("eks").delete_pod_identity_association(clusterName=CLUSTER, associationId=stage.association)


def _status(status: str) -> Callable[[Stage], None]:
    def arrange(stage: Stage) -> None:
        stage.cloud.eks.cluster(CLUSTER).status = status

    return arrange


def _going(stage: Stage) -> None:
    stage.objects.found["Namespace", "", "airflow"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def _taken(expires: str) -> Callable[[Stage], None]:
    def arrange(stage: Stage) -> None:
        data = {"run": "run-0", "expires": expires, "before": "{}"}
        labels = {"harness.owner": "airflow-dvc-harness"}
        stage.objects.put("ConfigMap", "harness-claim", "harness", labels=labels, data=data)

    return arrange


def _fault(service: str, operation: str, problem: Problem) -> Callable[[Stage], None]:
    return lambda stage: stage.cloud.gateway.faults.fail(service, operation, problem)


ROWS = (
    Row("no cluster is named", "no EKS cluster is named", "--eks-cluster", settings={"cluster": None}),
    Row("no account is allowed", "eks.accounts allows nothing", "HARNESS_EKS__ACCOUNTS", settings={"accounts": ()}),
    Row("no cluster is allowed", "eks.clusters allows nothing", "HARNESS_EKS__CLUSTERS", settings={"clusters": ()}),
    Row(
        "another account", "these credentials are of account 111122223333, which is not on the allow-list",
        "check eks.profile", settings={"accounts": ("999999999999",)},
    ),
    Row(
        "another cluster", f"the cluster is {ARN}, which is not on the allow-list", "check eks.profile and eks.cluster",
        settings={"clusters": (f"{ARN}-2",)},
    ),
    Row("a cluster that is not there", "there is no EKS cluster other in", "eks.region", settings={"cluster": "other"}),
    Row("another region", "the signature is not good", "the region", settings={"region": "us-east-1"}),
    Row("a cluster without the tag", "is not tagged other=1: it has no such tag", "aws eks tag-resource",
        settings={"tag": "other=1"}),
    Row("no consent", "needs your consent", "--eks-consent", settings={"consent": False}),
    Row("more than it may cost", "this would cost about", "--max-cost", settings={"max_cost": 0.00001}),
    Row("a cluster that is being updated", "is UPDATING, not ACTIVE", "aws eks describe-cluster",
        arrange=_status("UPDATING")),
    Row("no add-on", "has no add-on eks-pod-identity-agent", "aws eks create-addon",
        arrange=lambda stage: stage.cloud.eks.cluster(CLUSTER).addons.clear()),
    Row("no association", "no role is associated with", "create-pod-identity-association", arrange=_no_association),
    Row("no bucket of that name", "there is no bucket not-there", "eks.bucket", settings={"bucket": "not-there"}),
    Row("a session that is over", "the AWS session is over", "log in again", arrange=_expired),
    Row("a session that AWS ends", "the AWS session is over", "log in again",
        arrange=_fault("eks", "DescribeAddon", Problem.EXPIRED)),
    Row("keys that AWS does not know", "AWS does not know these keys", "check the profile",
        arrange=_with(AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE")),
    Row("a wrong secret", "the signature is not good", "check the secret key",
        arrange=_with(AWS_SECRET_ACCESS_KEY="wrong")),
    Row("no keys", "Unable to locate credentials", "aws sso login", arrange=_without_keys),
    Row("no such profile", "could not be found", "list-profiles", settings={"profile": "nobody"}),
    Row("no answer", "Could not connect", "AWS_ENDPOINT_URL", arrange=_with(AWS_ENDPOINT_URL_EKS="http://127.0.0.1:9")),
    Row("throttled for good", "AWS throttles, 5 tries", "try again later",
        arrange=_fault("sts", "GetCallerIdentity", Problem.THROTTLED)),
    Row("a namespace of somebody else", "namespace airflow of the cluster is not the harness's", "kubectl label",
        arrange=lambda stage: stage.objects.put("Namespace", "airflow", labels={"team": "birds"}),
        only_at_the_cluster=True),
    Row("a webhook of somebody else", "webhook configuration harness-adapter of the cluster is not the harness's",
        "find out whose it is", only_at_the_cluster=True,
        arrange=lambda stage: stage.objects.put("MutatingWebhookConfiguration", "harness-adapter")),
    Row("a namespace that is going", "the namespace airflow is just being removed", "run again in a minute",
        arrange=_going, only_at_the_cluster=True),
    Row("a run that has the cluster", "run run-0 has the harness's namespaces of this cluster\\n", "wait for it to end",
        arrange=_taken("2999-01-01T00:00:00+00:00"), only_at_the_cluster=True),
    Row("a run that is past its time", "has the harness's namespaces of this cluster, past its time since 2026-01-01",
        "harness sweep --target eks", arrange=_taken("2026-01-01T00:00:00+00:00"), only_at_the_cluster=True),
)  # fmt: skip


@dataclass(frozen=True)
class Denied:
    """What is said where a permission is missing.

    Attributes:
        said: What the error must match.
        leaves: Whether something is left, which the journal names.
        hidden: Whether the error does not name the permission itself.
    """

    said: str
    leaves: bool = False
    hidden: bool = False


# By IAM action: all that a run asks for.
APIS: Mapping[str, Denied] = {
    "eks:DescribeCluster": Denied("not allowed to describe the EKS cluster mlops"),
    "eks:DescribeAddon": Denied("not allowed to look for the add-on eks-pod-identity-agent"),
    "eks:ListPodIdentityAssociations": Denied("not allowed to look for the association of airflow/airflow-dvc-sa"),
    "eks:DescribePodIdentityAssociation": Denied("not allowed to look for the association of airflow/airflow-dvc-sa"),
    "s3:ListBucket": Denied("not allowed to list s3://dvc/"),
    "s3:PutObject": Denied("not allowed to write s3://dvc/claims/run-1.json"),
    "s3:GetObject": Denied("cannot be used from here", hidden=True),
    "s3:ListBucketVersions": Denied("could not be removed whole", leaves=True),
    "s3:ListBucketMultipartUploads": Denied("could not be removed whole", leaves=True),
    "s3:DeleteObject": Denied("cannot be used from here|could not be removed whole", leaves=True, hidden=True),
    "s3:DeleteObjectVersion": Denied("could not be removed whole", leaves=True),
    "s3:AbortMultipartUpload": Denied("could not be removed whole", leaves=True),
}

# By method and plural name, with its kind: all that a run writes on a cluster on which nothing is prepared.
CLUSTER_WRITES: Mapping[tuple[str, str], str] = {
    ("POST", "namespaces"): "Namespace",
    ("POST", "configmaps"): "ConfigMap",
    ("POST", "mutatingwebhookconfigurations"): "MutatingWebhookConfiguration",
    ("PATCH", "serviceaccounts"): "ServiceAccount",
    ("PATCH", "configmaps"): "ConfigMap",
    ("PATCH", "roles"): "Role",
    ("PATCH", "rolebindings"): "RoleBinding",
    ("PATCH", "cronjobs"): "CronJob",
    ("DELETE", "mutatingwebhookconfigurations"): "MutatingWebhookConfiguration",
    ("DELETE", "namespaces"): "Namespace",
}

# One of each of AWS's protocols that a run speaks.
THROTTLED = (("sts", "GetCallerIdentity"), ("eks", "ListPodIdentityAssociations"), ("s3", "ListObjectVersions"))
