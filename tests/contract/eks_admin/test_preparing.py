"""`harness eks create|delete|status`: whose each thing is, what is made and mended, what is refused, what is left."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from jinja2 import Environment, FileSystemLoader

from harness.assets import package_path
from harness.eks_admin import verbs
from harness.eks_admin.readiness import Readiness
from harness.eks_admin.role import Role
from harness.eks_settings import Identity
from harness.errors import CleanupFailed, EnvironmentFailed, ExitCode, GuardError, Interrupted, UsageError
from harness.kubeapi import KubeApi
from harness.lookalike.cloud import Cloud
from harness.lookalike.fittings import Fittings
from harness.lookalike.principals import Credentials
from harness.targets.eks.aws import AwsRefused
from harness.wait import Waiter
from tests.contract.eks_admin.conftest import ARN, ISSUER, Admitting, Home, policies
from tests.contract.kubeapi.conftest import ApiServer, Handled
from tests.contract.lookalike.conftest import ACCOUNT, CLUSTER, REGION, TRUST, Client

ROLE = "Airflow-DVCS3Role"
ALL = ("bucket", "role", "namespace airflow", "namespace harness", "service account", "Pod Identity association")
ABSENT, OURS, ADOPTED, FOREIGN = "absent", "ours", "adopted", "somebody else's"
ARN_OF_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
SERVICE_ACCOUNT = "airflow/airflow-dvc-sa"
Account = dict[str, Any]


def by_kind(states: dict[str, str]) -> dict[str, str]:
    return {next(kind for kind in ALL if what.startswith(kind)): state for what, state in states.items()}


def writes(cloud: Cloud) -> list[str]:
    """What was asked of AWS besides reading."""
    return [c.operation for c in cloud.log.calls() if not c.operation.startswith(("Get", "Describe", "List", "Head"))]


def test_from_nothing_to_ready_and_back_to_nothing(
    preparer: Home, objects: Admitting, client: Client, plug_in: None
) -> None:
    assert by_kind(preparer.states()) == dict.fromkeys(ALL, ABSENT)
    assert preparer.create() == ExitCode.GREEN
    assert by_kind(preparer.states()) == dict.fromkeys(ALL, OURS)
    assert preparer.status() == ExitCode.GREEN
    role = client("iam").get_role(RoleName=ROLE)["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    labels = {"harness.owner": "airflow-dvc-harness", "harness.environment": CLUSTER, "harness.expires": "never"}
    tags = {**labels, "harness.cluster": ARN}
    assert {tag["Key"]: tag["Value"] for tag in role["Tags"]} == tags
    found = client("s3").get_bucket_tagging(Bucket=preparer.bucket)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in found} == tags
    closed = client("s3").get_public_access_block(Bucket=preparer.bucket)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    assert objects.labels("airflow") == {**labels, "harness.adapter": "on"}
    listed = client("eks").list_pod_identity_associations(clusterName=CLUSTER)["associations"]
    assert [(one["namespace"], one["serviceAccount"]) for one in listed] == [("airflow", "airflow-dvc-sa")]

    assert preparer.delete() == ExitCode.GREEN
    assert by_kind(preparer.states()) == dict.fromkeys(ALL, ABSENT)
    assert objects.names() == set()
    assert preparer.journal().open() == []


def test_what_is_on_disk_meanwhile_is_where_the_sweep_finds_it_after_a_kill(
    preparer: Home, objects: Admitting, server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary, runs, seen = tmp_path / "temporary", preparer.settings().state_dir / "runs", []
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def look(asked: Handled) -> None:
        seen.append(([path.name.partition("-")[0] for path in runs.iterdir()], list(temporary.iterdir())))
        objects.handle(asked)

    server.on("GET", "/api/v1/namespaces/airflow", look)
    preparer.status()
    assert seen == [(["eks"], [])]
    assert list(runs.iterdir()) == []


def test_what_a_run_says_of_the_look_alikes_service_account_takes_nothing_of_it_away(
    preparer: Home, objects: Admitting, server: ApiServer
) -> None:
    with KubeApi(server.kubeconfig, "kind-ours") as kube:
        Fittings(kube, Waiter()).prepare()
        kube.apply([*_of_a_run("namespaces.yaml"), *_of_a_run("pipeline.yaml.j2")])
    states = by_kind(preparer.states())
    assert {states[what] for what in ("namespace airflow", "namespace harness", "service account")} == {ADOPTED}


def _of_a_run(name: str) -> list[dict[str, Any]]:
    manifests = Environment(loader=FileSystemLoader(package_path("services", "manifests")))  # noqa: S701 - YAML, not HTML
    values = {"pipeline": {}, "ca_certificate": "", "storage_class": "", "access": "ReadWriteOnce"}
    return list(yaml.safe_load_all(manifests.get_template(name).render(values)))


def test_the_journal_has_each_thing_before_it_is_made(preparer: Home) -> None:
    preparer.create()
    kinds = [entry.kind for entry in reversed(preparer.journal().open())]
    assert kinds == ["aws-bucket", "aws-role", "namespace", "namespace", "service-account", "aws-association"]


def test_a_second_create_makes_nothing_and_a_second_delete_removes_nothing(
    preparer: Home, cloud: Cloud, objects: Admitting
) -> None:
    preparer.create()
    before, there = writes(cloud), len(objects.writes)
    assert preparer.create() == ExitCode.GREEN
    assert writes(cloud) == before
    # The dry run of a pod, which makes nothing.
    assert [path.rpartition("/")[2] for _, path in objects.writes[there:]] == ["pods"]
    assert preparer.told.count("there already") == len(ALL)
    preparer.delete()
    before = writes(cloud)
    assert preparer.delete() == ExitCode.GREEN
    assert writes(cloud) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c, _b: c("iam").delete_role_policy(RoleName=ROLE, PolicyName="Airflow-DVCS3Policy"),
         "no policy Airflow-DVCS3Policy"),
        (lambda c, b: c("iam").put_role_policy(
            RoleName=ROLE, PolicyName="Airflow-DVCS3Policy",
            PolicyDocument=json.dumps(policies("dvc-s3", bucket=f"{b}-other"))), "-other"),
        (lambda c, _b: c("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps({
            "Statement": {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}})), "trust: "),
        (lambda c, b: c("s3").delete_public_access_block(Bucket=b), "public access: BlockPublicAcls is off"),
    ],
)  # fmt: skip
def test_what_has_drifted_is_shown_and_mended(
    preparer: Home, client: Client, change: Callable[[Client, str], Any], told: str
) -> None:
    preparer.create()
    change(client, preparer.bucket)
    assert preparer.status() == ExitCode.ENVIRONMENT_FAILED
    assert "drifted" in preparer.told
    assert told in preparer.told
    assert preparer.create() == ExitCode.GREEN
    assert preparer.told.count("mended") == 1
    assert preparer.status() == ExitCode.GREEN


def test_an_association_with_another_role_is_drift(preparer: Home, client: Client) -> None:
    preparer.create()
    iam, eks = client("iam"), client("eks")
    other = iam.create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    listed = eks.list_pod_identity_associations(clusterName=CLUSTER)["associations"][0]["associationId"]
    eks.update_pod_identity_association(clusterName=CLUSTER, associationId=listed, roleArn=other)
    assert preparer.status() == ExitCode.ENVIRONMENT_FAILED
    assert "role: " in preparer.told
    preparer.create()
    assert preparer.status() == ExitCode.GREEN


def test_a_policy_that_somebody_has_added_is_told_and_left(preparer: Home, client: Client) -> None:
    preparer.create()
    more = json.dumps(policies("dvc-s3", bucket="theirs"))
    client("iam").put_role_policy(RoleName=ROLE, PolicyName="more", PolicyDocument=more)
    preparer.create()
    assert "mended, but: a further policy: more" in preparer.told
    with pytest.raises(CleanupFailed, match=f"still there: role {ROLE}") as caught:
        preparer.delete()
    assert "added to it: more" in caught.value.evidence[f"role {ROLE}"]
    assert client("iam").list_role_policies(RoleName=ROLE)["PolicyNames"] == ["Airflow-DVCS3Policy", "more"], "whole"
    states = by_kind(preparer.states())
    assert states.pop("role") == OURS
    assert set(states.values()) == {ABSENT}, "what comes before it in the order went all the same"
    client("iam").delete_role_policy(RoleName=ROLE, PolicyName="more")
    assert preparer.delete() == ExitCode.GREEN


def somebody_elses(kind: str, home: Home, client: Client, objects: Admitting) -> str:
    """One of these things, made by somebody else; its name."""
    if kind == "bucket":
        client("s3").create_bucket(Bucket=home.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        return home.bucket
    if kind.startswith("namespace"):
        objects.put("Namespace", kind.split()[1], labels={"team": "data"})
        return kind.split()[1]
    if kind == "service account":
        objects.put("Namespace", "airflow", labels={"harness.owner": "airflow-dvc-harness", "harness.adapter": "on"})
        objects.put("ServiceAccount", "airflow-dvc-sa", "airflow")
        return "airflow/airflow-dvc-sa"
    name = ROLE if kind == "role" else "theirs"
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    if kind == "role":
        return ROLE
    client("eks").create_pod_identity_association(
        clusterName=CLUSTER, namespace="airflow", serviceAccount="airflow-dvc-sa", roleArn=role
    )
    return "airflow/airflow-dvc-sa"


@pytest.mark.parametrize("kind", ALL)
def test_what_is_somebody_elses_is_refused_and_nothing_is_made(
    preparer: Home, client: Client, cloud: Cloud, objects: Admitting, kind: str
) -> None:
    name = somebody_elses(kind, preparer, client, objects)
    before = writes(cloud)
    with pytest.raises(GuardError, match="not this environment's; nothing was made") as caught:
        preparer.create()
    assert f"--adopt {name}" in caught.value.next_step
    assert writes(cloud) == before
    assert objects.writes == []
    assert by_kind(preparer.states())[kind] == FOREIGN


@pytest.mark.parametrize("kind", ALL)
def test_what_is_adopted_is_used_let_go_and_never_removed(
    preparer: Home, client: Client, objects: Admitting, kind: str
) -> None:
    name = somebody_elses(kind, preparer, client, objects)
    assert preparer.create(adopt=frozenset({name})) == ExitCode.GREEN
    states = by_kind(preparer.states())
    # The namespace of a service account that is there already is there, too.
    around = states.pop("namespace airflow") if kind == "service account" else ADOPTED
    assert (states.pop(kind), around) == (ADOPTED, ADOPTED)
    assert set(states.values()) == {OURS}
    assert preparer.create() == ExitCode.GREEN, "once adopted it need not be named again"
    assert preparer.delete() == ExitCode.GREEN
    states = by_kind(preparer.states())
    around = states.pop("namespace airflow") if kind == "service account" else ADOPTED
    assert (states.pop(kind), around) == (FOREIGN, ADOPTED)
    assert set(states.values()) == {ABSENT}
    if kind.startswith("namespace"):
        assert objects.labels(name) == {"team": "data"}


def test_an_adopted_thing_is_left_as_it_is_and_its_differences_are_told(preparer: Home, client: Client) -> None:
    role = client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    preparer.create(adopt=frozenset({ROLE}))
    assert "left so: no policy Airflow-DVCS3Policy" in preparer.told
    assert client("iam").list_role_policies(RoleName=ROLE)["PolicyNames"] == []
    assert client("iam").get_role(RoleName=ROLE)["Role"]["RoleId"] == role["RoleId"]


def test_what_another_environment_has_cannot_be_adopted(preparer: Home, client: Client, cloud: Cloud) -> None:
    tags = {"harness.owner": "airflow-dvc-harness", "harness.environment": "other", "harness.expires": "never"}
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=listed)
    with pytest.raises(GuardError) as caught:
        preparer.create(adopt=frozenset({ROLE}))
    assert caught.value.evidence == {f"role {ROLE}": "somebody else's (made for other)"}
    assert "--suffix" in caught.value.next_step
    preparer.delete()
    assert client("iam").get_role(RoleName=ROLE)


@pytest.mark.parametrize("elsewhere", ["eu-west-1:111122223333", f"{REGION}:999999999999"])
def test_a_cluster_of_the_same_name_elsewhere_is_another_environment(
    preparer: Home, client: Client, cloud: Cloud, elsewhere: str
) -> None:
    other = f"arn:aws:eks:{elsewhere}:cluster/{CLUSTER}"
    tags = {"harness.owner": "airflow-dvc-harness", "harness.environment": CLUSTER, "harness.cluster": other}
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=listed)
    before = writes(cloud)
    with pytest.raises(GuardError, match="nothing was made") as caught:
        preparer.create()
    assert caught.value.evidence == {f"role {ROLE}": f"somebody else's (made for {CLUSTER}, {other})"}
    assert "--suffix" in caught.value.next_step
    preparer.delete()
    assert writes(cloud) == before


def test_what_was_made_before_clusters_were_told_apart_is_ours_and_gets_the_tag(preparer: Home, client: Client) -> None:
    preparer.create()
    client("iam").untag_role(RoleName=ROLE, TagKeys=["harness.cluster"])
    assert preparer.status() == ExitCode.ENVIRONMENT_FAILED
    assert f"no tag harness.cluster={ARN}" in preparer.told
    preparer.create()
    assert preparer.status() == ExitCode.GREEN


def test_environments_of_two_accounts_and_regions_have_journals_of_their_own(preparer: Home) -> None:
    preparer.create()
    state = preparer.folder / "state" / "eks"
    found = [path.relative_to(state) for path in state.rglob("*") if path.is_file()]
    assert found == [Path(ACCOUNT, REGION, CLUSTER, "journal.jsonl")]


def test_a_journal_of_an_earlier_version_is_gone_on_with(preparer: Home) -> None:
    preparer.create()
    preparer.journal().record("aws-repository", "theirs/airflow")
    earlier = preparer.folder / "state" / "eks" / REGION / CLUSTER / "journal.jsonl"
    earlier.parent.mkdir(parents=True)
    preparer.journal().path.replace(earlier)
    with pytest.raises(CleanupFailed, match="aws-repository theirs/airflow"):
        preparer.delete()
    assert [entry.name for entry in preparer.journal().open()] == ["theirs/airflow"]
    assert not earlier.exists()


def test_what_was_made_with_other_settings_is_left_and_says_which_it_may_be(
    home: Home, admin: Credentials, enter: Callable[[Credentials], None]
) -> None:
    enter(admin)
    home.create(settings=home.settings(registry="ecr"))
    with pytest.raises(CleanupFailed, match="aws-repository") as caught:
        home.delete()
    assert "eks.registry" in caught.value.evidence["aws-repository airflow-dvc-harness/apache/airflow"]
    assert "as they were for create" in caught.value.next_step
    assert home.delete(settings=home.settings(registry="ecr")) == ExitCode.GREEN


def test_a_role_with_a_path_is_refused_before_anything_is_made(
    preparer: Home, client: Client, cloud: Cloud, admin: Credentials, enter: Callable[[Credentials], None]
) -> None:
    enter(admin)
    client("iam").create_role(RoleName=ROLE, Path="/teams/", AssumeRolePolicyDocument=json.dumps(TRUST))
    before = writes(cloud)
    with pytest.raises(GuardError, match="nothing was made") as caught:
        preparer.create(adopt=frozenset({ROLE}))
    assert "its path is /teams/" in caught.value.evidence[f"role {ROLE}"]
    assert "--suffix" in caught.value.next_step
    assert writes(cloud) == before


def test_a_name_that_is_nothings_cannot_be_adopted(preparer: Home, cloud: Cloud) -> None:
    with pytest.raises(UsageError, match="nothing here is named mine"):
        preparer.create(adopt=frozenset({"mine"}))
    assert writes(cloud) == []


def test_a_namespace_that_was_labelled_by_hand_is_used_and_stays_as_it_was(preparer: Home, objects: Admitting) -> None:
    objects.put("Namespace", "harness", labels={"harness.owner": "airflow-dvc-harness"})
    preparer.create()
    assert by_kind(preparer.states())["namespace harness"] == ADOPTED
    preparer.delete()
    assert objects.labels("harness") == {"harness.owner": "airflow-dvc-harness"}


def test_a_bucket_of_another_account_cannot_be_adopted(
    home: Home, cloud: Cloud, enter: Callable[[Credentials], None], client: Client
) -> None:
    somebody_elses("bucket", home, client, Admitting())
    mine = policies("prepare", bucket=home.bucket)
    denied = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    enter(cloud.user("preparer", {**mine, "Statement": [*mine["Statement"], denied]}))
    with pytest.raises(GuardError) as caught:
        home.create(adopt=frozenset({home.bucket}))
    assert "another account's, or the caller may not list it" in caught.value.evidence[f"bucket {home.bucket}"]


def test_a_bucket_with_something_in_it_is_left_unless_it_may_be_emptied(preparer: Home, client: Client) -> None:
    preparer.create()
    s3 = client("s3")
    s3.put_bucket_versioning(Bucket=preparer.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=preparer.bucket, Key="files/md5/11/22", Body=b"1")
    s3.put_object(Bucket=preparer.bucket, Key="files/md5/11/22", Body=b"2")
    s3.delete_object(Bucket=preparer.bucket, Key="files/md5/11/22")
    s3.create_multipart_upload(Bucket=preparer.bucket, Key="half")
    with pytest.raises(CleanupFailed, match=f"still there: bucket {preparer.bucket}") as caught:
        preparer.delete()
    assert "--empty-bucket" in caught.value.next_step
    assert [entry.kind for entry in preparer.journal().open()] == ["aws-bucket"]
    assert preparer.delete(may_empty=True) == ExitCode.GREEN
    assert by_kind(preparer.states()) == dict.fromkeys(ALL, ABSENT)


@pytest.mark.parametrize(
    ("expires", "step"), [("2999-01-01T00:00:00+00:00", "wait for it"), ("2026-01-01T00:00:00+00:00", "harness sweep")]
)
@pytest.mark.parametrize("made", ["ours", "adopted"])
def test_nothing_is_removed_below_a_run_whosoever_the_namespaces_are(
    preparer: Home, objects: Admitting, cloud: Cloud, made: str, expires: str, step: str
) -> None:
    if made == "adopted":
        for name in ("airflow", "harness"):
            objects.put("Namespace", name, labels={"harness.owner": "airflow-dvc-harness"})
    preparer.create()
    objects.put("ConfigMap", "harness-claim", "harness", data={"run": "run-7", "expires": expires})
    before = writes(cloud)
    with pytest.raises(GuardError, match=r"run run-7 has the cluster.*; nothing was removed") as caught:
        preparer.delete(may_empty=True)
    assert step in caught.value.next_step
    assert writes(cloud) == before
    assert OURS in by_kind(preparer.states()).values()


def test_a_run_that_came_while_all_else_went_keeps_its_namespaces(
    preparer: Home, objects: Admitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparer.create()
    monkeypatch.setattr(verbs, "hold_unused", lambda _kube: None)
    objects.put("ConfigMap", "harness-claim", "harness", data={"run": "run-7"})
    with pytest.raises(CleanupFailed) as caught:
        preparer.delete()
    assert caught.value.evidence["namespace airflow"] == "run run-7 has the namespace airflow"
    assert {"Namespace/airflow", "Namespace/harness"} <= objects.names()


@pytest.mark.parametrize(
    ("service", "operation"),
    [("s3", "PutBucketTagging"), ("s3", "PutPublicAccessBlock"), ("iam", "CreateRole"), ("iam", "PutRolePolicy"),
     ("eks", "CreatePodIdentityAssociation")],
)  # fmt: skip
def test_a_create_that_broke_off_is_gone_on_with_or_taken_back(
    preparer: Home, cloud: Cloud, service: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # botocore's pauses between its tries.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(time=time.time, sleep=lambda _seconds: None))
    for finish in (preparer.create, preparer.delete):
        cloud.gateway.faults.throttle(service, operation, 99)
        with pytest.raises(AwsRefused, match="AWS throttles") as caught:
            preparer.create()
        assert "goes on" in caught.value.next_step
        cloud.gateway.faults.clear()
        assert finish() == ExitCode.GREEN
        preparer.delete()
        assert by_kind(preparer.states()) == dict.fromkeys(ALL, ABSENT)


def test_a_bucket_is_ours_from_its_first_moment(
    preparer: Home, cloud: Cloud, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(time=time.time, sleep=lambda _seconds: None))
    cloud.gateway.faults.throttle("s3", "PutPublicAccessBlock", 99)
    with pytest.raises(AwsRefused):
        preparer.create()
    tags = client("s3").get_bucket_tagging(Bucket=preparer.bucket)["TagSet"]
    assert {"Key": "harness.environment", "Value": CLUSTER} in tags
    # Also to a machine that has no journal of it.
    preparer.journal().path.unlink()
    cloud.gateway.faults.clear()
    assert by_kind(preparer.states())["bucket"] == OURS


def test_names_of_their_own_stand_beside_those_of_another_cluster(
    home: Home, cloud: Cloud, admin: Credentials, enter: Callable[[Credentials], None], objects: Admitting
) -> None:
    enter(admin)
    pushing = home.settings(registry="ecr")
    assert home.create(settings=pushing) == ExitCode.GREEN
    first = home.states(settings=pushing)
    mine, objects.found, objects.applied = (objects.found, objects.applied), {}, {}
    there = cloud.eks.cluster(CLUSTER)
    cloud.eks.add_cluster(replace(there, name="second"))
    second = home.settings(registry="ecr", cluster="second", clusters=(ARN.replace(CLUSTER, "second"),))
    with pytest.raises(GuardError, match="nothing was made") as caught:
        home.create(settings=second)
    assert "--suffix" in caught.value.next_step
    assert home.create(settings=second, suffix="pr-7") == ExitCode.GREEN
    assert f"--eks-bucket {home.bucket}-pr-7, eks.ecr_prefix = airflow-dvc-harness-pr-7" in home.told
    states = home.states(settings=second, suffix="pr-7")
    assert set(states.values()) == {OURS}
    apart = {f"role {ROLE}-pr-7", f"bucket {home.bucket}-pr-7", "repository airflow-dvc-harness-pr-7/apache/airflow"}
    assert apart <= states.keys()
    assert home.journal("second.pr-7").open()
    assert objects.labels("harness")["harness.environment"] == "second.pr-7"
    assert home.delete(settings=second, suffix="pr-7") == ExitCode.GREEN
    objects.found, objects.applied = mine
    assert home.states(settings=pushing) == first
    assert home.delete(settings=pushing) == ExitCode.GREEN


def test_a_cluster_has_one_environment_and_says_whose(
    preparer: Home, admin: Credentials, enter: Callable[[Credentials], None], cloud: Cloud
) -> None:
    enter(admin)
    preparer.create()
    before = writes(cloud)
    with pytest.raises(GuardError, match="nothing was made") as caught:
        preparer.create(suffix="pr-7")
    assert caught.value.evidence["namespace airflow"] == f"somebody else's (made for {CLUSTER})"
    assert caught.value.next_step.startswith("a cluster has one environment, and --suffix does not help")
    assert writes(cloud) == before
    with pytest.raises(UsageError, match="no suffix"):
        preparer.create(suffix="Not One")


def test_what_expires_says_when(preparer: Home, client: Client, objects: Admitting) -> None:
    preparer.create(expires="2026-11-22T01:02:03+00:00")
    tags = {tag["Key"]: tag["Value"] for tag in client("iam").get_role(RoleName=ROLE)["Role"]["Tags"]}
    assert tags["harness.expires"] == "2026-11-22T01:02:03+00:00"
    assert objects.labels("harness")["harness.expires"] == "2026-11-22T01-02-03"


def test_status_says_until_when(preparer: Home) -> None:
    preparer.create(expires="2026-11-22T01:02:03+00:00")
    assert preparer.status() == ExitCode.GREEN
    assert f"role {ROLE}: ours, until 2026-11-22T01:02:03+00:00" in preparer.told
    preparer.status(as_json=True)
    assert {one["expires"] for one in json.loads(preparer.told)} == {"2026-11-22T01:02:03+00:00", "2026-11-22T01-02-03"}


def test_what_is_for_good_is_given_no_lifetime(preparer: Home, cloud: Cloud, objects: Admitting) -> None:
    preparer.create()
    before, there = writes(cloud), len(objects.writes)
    with pytest.raises(GuardError, match=r"prepared for good.*nothing was made"):
        preparer.create(expires="2999-01-01T00:00:00+00:00")
    assert (writes(cloud), len(objects.writes)) == (before, there)


def test_the_role_is_bounded_where_that_is_asked_for(preparer: Home, client: Client) -> None:
    text = json.dumps(policies("dvc-s3", bucket=preparer.bucket))
    boundary = client("iam").create_policy(PolicyName="limit", PolicyDocument=text)["Policy"]["Arn"]
    preparer.create(boundary=boundary)
    assert client("iam").get_role(RoleName=ROLE)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert preparer.status(boundary=boundary) == ExitCode.GREEN


def test_a_boundary_that_is_not_there_is_told_with_how_to_go_on(preparer: Home) -> None:
    with pytest.raises(AwsRefused, match="could not create the role") as caught:
        preparer.create(boundary=f"arn:aws:iam::{ACCOUNT}:policy/nobody")
    assert caught.value.next_step.startswith("mend what is told above; then harness eks create again goes on")


def test_a_boundary_that_is_not_asked_for_is_named_and_left(preparer: Home, client: Client, cloud: Cloud) -> None:
    text = json.dumps(policies("dvc-s3", bucket=preparer.bucket))
    boundary = client("iam").create_policy(PolicyName="limit", PolicyDocument=text)["Policy"]["Arn"]
    preparer.create()
    client("iam").put_role_permissions_boundary(RoleName=ROLE, PermissionsBoundary=boundary)
    assert preparer.status() == ExitCode.GREEN
    said = f"permissions boundary {boundary}, which was not asked for"
    assert said in preparer.told
    before = writes(cloud)
    preparer.create()
    assert said in preparer.told
    assert writes(cloud) == before
    client("iam").delete_role_policy(RoleName=ROLE, PolicyName="Airflow-DVCS3Policy")
    preparer.create()
    assert f"mended, but: {said}" in preparer.told
    assert client("iam").get_role(RoleName=ROLE)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accounts": ("999999999999",)}, f"these credentials are of account {ACCOUNT}"),
        ({"clusters": (f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/other",)}, "not on the allow-list"),
        ({"consent": False}, "needs your consent"),
    ],
)
def test_the_guards_of_a_run_hold_for_create_and_delete(
    preparer: Home, cloud: Cloud, objects: Admitting, change: dict[str, Any], said: str
) -> None:
    for verb in (preparer.create, preparer.delete):
        with pytest.raises(GuardError, match=said):
            verb(settings=preparer.settings(**change))
    assert writes(cloud) == []
    assert objects.writes == []


def test_the_caller_may_not_make_namespaces_and_is_told(preparer: Home, objects: Admitting) -> None:
    objects.forbidden.add(("POST", "Namespace"))
    with pytest.raises(EnvironmentFailed, match="may not POST namespaces") as caught:
        preparer.create()
    assert caught.value.evidence["made before"] == f"bucket {preparer.bucket}, role {ROLE}"


def test_a_pod_shows_that_it_is_the_role(preparer: Home, objects: Admitting) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/eks-mlops-harness-identity-x7"
    objects.said = lambda: json.dumps({"arn": arn})
    preparer.create(probe_image="worker:1")
    assert f"a pod is {arn}" in preparer.told
    assert not any(name.startswith("Pod/") for name in objects.names("airflow"))


def test_a_probe_that_cannot_start_says_why_and_is_removed(preparer: Home, objects: Admitting) -> None:
    objects.runs = False
    with pytest.raises(EnvironmentFailed, match="no such image") as caught:
        preparer.create(probe_image="nothing:1")
    assert "--probe-image" in caught.value.next_step
    assert not any(name.startswith("Pod/") for name in objects.names("airflow"))


def test_an_interrupt_says_what_is_there_and_that_no_pod_has_shown_its_role(
    preparer: Home, objects: Admitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_given: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Readiness, "wait_identity", interrupt)
    with pytest.raises(Interrupted, match="all of it is there and stays, and no pod has shown") as caught:
        preparer.create(probe_image="worker:1")
    assert "harness eks create goes on" in caught.value.next_step
    assert set(preparer.states().values()) == {OURS}


def test_an_interrupt_while_it_is_made_says_that_what_was_made_stays(
    preparer: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_role: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Role, "make", interrupt)
    with pytest.raises(Interrupted, match="what is said above to be there stays") as caught:
        preparer.create()
    assert "harness eks delete goes back" in caught.value.next_step
    assert preparer.states()[f"bucket {preparer.bucket}"] == OURS


@pytest.fixture
def irsa(home: Home, cloud: Cloud, enter: Callable[[Credentials], None], objects: Admitting) -> Callable[[], Account]:
    """Prepare with IRSA where the service account was there before; what it is then."""
    enter(cloud.user("preparer", policies("prepare", "prepare-irsa", bucket=home.bucket)))
    objects.associated = lambda _namespace, _account: False
    theirs = {"harness.owner": "airflow-dvc-harness"}
    objects.put("Namespace", "airflow", labels={**theirs, "harness.adapter": "on"})
    objects.put("ServiceAccount", "airflow-dvc-sa", "airflow", labels=theirs)

    def prepare() -> Account:
        # No injector of IRSA's answers here, so the wait for it ends the command, behind all that is prepared.
        with pytest.raises(EnvironmentFailed, match="to be told where their keys are"):
            home.create(identity=Identity.IRSA, settings=home.settings().model_copy(update={"patience": 0.01}))
        found: Account = objects.found["ServiceAccount", "airflow", "airflow-dvc-sa"]["metadata"]
        return found

    return prepare


def test_with_irsa_a_service_account_that_was_there_gets_the_role_and_loses_it_again(
    irsa: Callable[[], Account], home: Home, objects: Admitting
) -> None:
    assert irsa()["annotations"]["eks.amazonaws.com/role-arn"] == ARN_OF_ROLE
    assert f"role of service account {SERVICE_ACCOUNT}: made" in home.told
    states = home.states(identity=Identity.IRSA)
    assert states[f"role of service account {SERVICE_ACCOUNT}"] == OURS
    assert states[f"service account {SERVICE_ACCOUNT}"].startswith(ADOPTED)
    assert home.delete(identity=Identity.IRSA) == ExitCode.GREEN
    assert objects.found["ServiceAccount", "airflow", "airflow-dvc-sa"]["metadata"]["annotations"] == {}


def test_with_irsa_the_role_that_somebody_has_set_stays_theirs(
    irsa: Callable[[], Account], home: Home, objects: Admitting
) -> None:
    account = objects.found["ServiceAccount", "airflow", "airflow-dvc-sa"]["metadata"]
    account["annotations"] = {"eks.amazonaws.com/role-arn": ARN_OF_ROLE}
    assert irsa()["annotations"] == {"eks.amazonaws.com/role-arn": ARN_OF_ROLE}
    assert home.delete(identity=Identity.IRSA) == ExitCode.GREEN
    assert account["annotations"] == {"eks.amazonaws.com/role-arn": ARN_OF_ROLE}


def test_another_way_to_the_role_is_refused_while_the_first_stands(
    irsa: Callable[[], Account], home: Home, cloud: Cloud, objects: Admitting
) -> None:
    objects.associated = lambda namespace, account: cloud.eks.associations.find(CLUSTER, namespace, account) is not None
    assert home.create() == ExitCode.GREEN
    before = writes(cloud)
    with pytest.raises(GuardError, match="nothing was made") as caught:
        home.create(identity=Identity.IRSA)
    assert "harness eks delete --identity pod-identity" in caught.value.next_step
    assert writes(cloud) == before
    home.delete()
    irsa()
    before = writes(cloud)
    with pytest.raises(GuardError, match="nothing was made") as caught:
        home.create()
    assert "harness eks delete --identity irsa" in caught.value.next_step
    assert writes(cloud) == before


def test_with_irsa_another_role_is_refused_before_anything_is_made(
    irsa: Callable[[], Account], home: Home, objects: Admitting
) -> None:
    other = f"arn:aws:iam::{ACCOUNT}:role/other"
    account = objects.found["ServiceAccount", "airflow", "airflow-dvc-sa"]["metadata"]
    account["annotations"] = {"eks.amazonaws.com/role-arn": other}
    with pytest.raises(GuardError, match="nothing was made") as caught:
        home.create(identity=Identity.IRSA)
    assert other in caught.value.evidence[f"role of service account {SERVICE_ACCOUNT}"]
    assert account["annotations"] == {"eks.amazonaws.com/role-arn": other}


def test_with_irsa_the_role_trusts_the_service_account_by_the_clusters_issuer(
    home: Home, cloud: Cloud, enter: Callable[[Credentials], None], client: Client, objects: Admitting
) -> None:
    enter(cloud.user("preparer", policies("prepare", "prepare-irsa", bucket=home.bucket)))
    objects.associated = lambda _namespace, _account: False
    with pytest.raises(EnvironmentFailed, match="to be told where their keys are"):
        home.create(identity=Identity.IRSA, settings=home.settings().model_copy(update={"patience": 0.01}))
    states = home.states(identity=Identity.IRSA)
    assert states[f"OIDC provider {ISSUER}"] == OURS
    assert set(states.values()) == {OURS}
    trust = client("iam").get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
    account = objects.found["ServiceAccount", "airflow", "airflow-dvc-sa"]["metadata"]
    assert account["annotations"]["eks.amazonaws.com/role-arn"] == ARN_OF_ROLE
    assert client("eks").list_pod_identity_associations(clusterName=CLUSTER)["associations"] == []
    with pytest.raises(CleanupFailed, match="aws-oidc-provider"):
        home.delete()
    assert home.delete(identity=Identity.IRSA) == ExitCode.GREEN
    with pytest.raises(ClientError, match="NoSuchEntity"):
        client("iam").get_open_id_connect_provider(
            OpenIDConnectProviderArn=f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
        )
