"""`--eks-create`: what eksctl is told, when, and what becomes of a cluster that it did not finish."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.eks_admin.eksctl import EksctlCluster
from harness.eks_admin.verbs import expiry
from harness.errors import (
    CleanupFailed,
    CommandFailed,
    EnvironmentFailed,
    ExitCode,
    GuardError,
    Interrupted,
    UsageError,
)
from harness.lookalike.cloud import Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.principals import Credentials
from tests.contract.eks_admin.conftest import ARN, Admitting, Home, policies
from tests.contract.eks_admin.eksctl import Eksctl, cluster, eksctl, made, nobody
from tests.contract.lookalike.conftest import CLUSTER, REGION, Client

# Fixtures of others, in use here.
__all__ = ["cluster", "eksctl", "nobody"]

META = (
    "{name: '${name}', region: '${region}', version: '1.35', tags: {harness.owner: airflow-dvc-harness, "
    "harness.expires: '${expires}', harness.environment: '${environment}'}}"
)


def test_eksctl_gets_the_file_with_names_tags_and_expiry_and_no_secret(
    cluster: Cluster, nobody: Home, eksctl: Eksctl
) -> None:
    expires = expiry(4.0)
    with pytest.raises(EnvironmentFailed, match="there is no EKS cluster"):  # the stand-in makes none
        nobody.create(make_cluster=True, expires=expires)
    (call,) = eksctl.calls
    assert call["argv"][:3] == ["create", "cluster", "--config-file"]
    assert call["argv"][4:] == ["--write-kubeconfig=false"]
    config = yaml.safe_load(call["config"])
    assert config["metadata"]["tags"] == {
        "harness.allowed": "true", "harness.owner": "airflow-dvc-harness", "harness.environment": CLUSTER,
        "harness.expires": expires,
    }  # fmt: skip
    assert (config["metadata"]["name"], config["metadata"]["region"]) == (CLUSTER, REGION)
    assert {"eks-pod-identity-agent", "aws-ebs-csi-driver"} <= {one["name"] for one in config["addons"]}
    (nodes,) = config["managedNodeGroups"]
    assert (nodes["spot"], nodes["availabilityZones"]) == (True, [f"{REGION}a"])
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    assert secret not in json.dumps(call)
    assert f'"name": "{CLUSTER}"' in call["journal"], "journalled before it is made"
    assert "USD" in nobody.told


def test_what_eksctl_did_not_finish_is_told_and_removed_by_delete(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORD_EXIT", "1")
    with pytest.raises(CommandFailed, match="ended with exit code 1") as caught:
        nobody.create(make_cluster=True)
    assert f"harness eks delete --eks-cluster {CLUSTER}" in caught.value.next_step
    with pytest.raises(EnvironmentFailed, match="begun and not finished"):
        nobody.create(make_cluster=True)
    with pytest.raises(CleanupFailed, match="goes on costing"):
        nobody.delete()
    assert nobody.journal().open()
    monkeypatch.setenv("RECORD_EXIT", "0")
    assert nobody.delete() == ExitCode.GREEN
    assert eksctl.calls[-1]["argv"] == [
        "delete", "cluster", "--name", CLUSTER, "--region", REGION, "--wait", "--disable-nodegroup-eviction",
        "--force",
    ]  # fmt: skip
    assert nobody.journal().open() == []


def test_an_interrupt_while_eksctl_works_says_that_the_cluster_costs(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EksctlCluster, "create", interrupt)
    with pytest.raises(Interrupted, match="what eksctl has made of it stays, and costs") as caught:
        nobody.create(make_cluster=True)
    assert f"harness eks delete --eks-cluster {CLUSTER}" in caught.value.next_step


def test_a_cluster_that_was_made_here_is_filled_and_goes_last(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, objects: Admitting
) -> None:
    made(cloud, cluster)
    assert nobody.create(make_cluster=True) == ExitCode.GREEN
    assert eksctl.calls == []
    assert f"cluster {CLUSTER}: there already" in nobody.told
    assert nobody.delete() == ExitCode.GREEN
    assert [call["argv"][0] for call in eksctl.calls] == ["delete"]
    assert objects.names() == set()


def test_what_eksctl_was_forced_past_and_is_there_yet_is_told_and_stays_in_the_journal(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORD_EXIT", "1")
    with pytest.raises(CommandFailed):
        nobody.create(make_cluster=True)
    monkeypatch.setenv("RECORD_EXIT", "0")
    eksctl.stack = "DELETE_FAILED"
    with pytest.raises(CleanupFailed, match=f"its stack eksctl-{CLUSTER}-cluster, DELETE_FAILED yet"):
        nobody.delete()
    assert nobody.journal().open()


def test_a_control_plane_without_what_was_to_follow_is_not_taken_for_a_cluster(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORD_EXIT", "1")
    with pytest.raises(CommandFailed):
        nobody.create(make_cluster=True)
    made(cloud, cluster)
    with pytest.raises(EnvironmentFailed, match="begun and not finished: its control plane is up"):
        nobody.create(make_cluster=True)
    monkeypatch.setenv("RECORD_EXIT", "0")
    assert nobody.delete() == ExitCode.GREEN
    assert eksctl.calls[-1]["argv"][0] == "delete"
    assert nobody.journal().open() == []


def test_a_cluster_that_was_finished_here_is_there_already_the_next_time(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud
) -> None:
    with pytest.raises(EnvironmentFailed, match="there is no EKS cluster"):  # the stand-in makes none
        nobody.create(make_cluster=True)
    made(cloud, cluster)
    assert nobody.create(make_cluster=True) == ExitCode.GREEN
    assert [call["argv"][0] for call in eksctl.calls] == ["create"]


@pytest.mark.parametrize("status", ["CREATING", "FAILED"])
def test_a_cluster_that_another_machine_began_and_never_came_up_is_removed_by_its_tags(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, status: str
) -> None:
    cluster.status = status
    made(cloud, cluster)
    assert nobody.delete() == ExitCode.GREEN
    assert "--force" not in eksctl.calls[0]["argv"]


def test_a_cluster_that_is_being_updated_is_not_taken_for_one_that_never_came_up(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud
) -> None:
    nobody.journal().record("eks-cluster", CLUSTER, region=REGION)
    cluster.status = "UPDATING"
    made(cloud, cluster)
    with pytest.raises(EnvironmentFailed, match="is UPDATING"):
        nobody.delete()
    assert eksctl.calls == []


def test_a_cluster_of_somebody_else_is_neither_taken_nor_removed(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud
) -> None:
    cloud.eks.add_cluster(cluster)
    with pytest.raises(GuardError, match="was not made here"):
        nobody.create(make_cluster=True)
    nobody.create()
    nobody.delete()
    assert eksctl.calls == []


def test_a_cluster_in_use_is_not_removed_below_a_run(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, objects: Admitting
) -> None:
    made(cloud, cluster)
    nobody.create()
    objects.put("ConfigMap", "harness-claim", "harness", data={"run": "run-7"})
    with pytest.raises(GuardError, match="run run-7 has the cluster"):
        nobody.delete()
    assert eksctl.calls == []


def test_without_eksctl_it_says_where_to_get_it(
    cluster: Cluster, nobody: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no eksctl on PATH") as caught:
        nobody.create(make_cluster=True)
    assert "eksctl.io" in caught.value.next_step
    assert nobody.journal().open() == []


def test_no_cluster_is_made_of_which_nothing_can_be_written_down(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, tmp_path: Path
) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(UsageError, match="nothing can be written into"):
        nobody.create(make_cluster=True)
    assert eksctl.calls == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accounts": ("999999999999",)}, "allow-list eks.accounts"),
        ({"clusters": (ARN.replace(CLUSTER, "other"),)}, "allow-list eks.clusters"),
        ({"consent": False}, "needs your consent"),
        ({"max_cost": 0.1}, "eks.max_cost allows 0.10"),
    ],
)
def test_no_cluster_is_made_that_is_not_allowed(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(GuardError, match=said):
        nobody.create(make_cluster=True, settings=nobody.settings(**change))
    assert eksctl.calls == []


def test_a_file_of_ones_own_is_taken_and_held_to_be_one(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, tmp_path: Path, client: Client
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("metadata: {name: ${name}, of: ${nobody}}\n")
    with pytest.raises(UsageError, match="cannot be filled in: 'nobody'"):
        nobody.create(make_cluster=True, config=own)
    own.write_text(f"metadata: {META}\n")
    with pytest.raises(EnvironmentFailed, match="there is no EKS cluster"):
        nobody.create(make_cluster=True, config=own)
    assert yaml.safe_load(eksctl.calls[0]["config"])["metadata"]["name"] == CLUSTER


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (META.replace("${name}", "other"), f"name: other, expected {CLUSTER}"),
        (META.replace("${region}", "us-east-2"), f"region: us-east-2, expected {REGION}"),
        (META.replace(", harness.environment: '${environment}'", ""), f"harness.environment: None, expected {CLUSTER}"),
        (META.replace("'1.35'", "''"), "no metadata.version"),
    ],
)
def test_a_file_of_ones_own_must_be_of_the_cluster_that_was_named_and_say_whose_it_is(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, tmp_path: Path, metadata: str, said: str
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"metadata: {metadata}\n")
    with pytest.raises(UsageError) as caught:
        nobody.create(make_cluster=True, config=own)
    assert said in str(caught.value)
    assert eksctl.calls == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"hours": 720}, "for 720 h"),
        ({"today": date(2099, 1, 1)}, "not in EKS's standard support any more"),
    ],
)
def test_the_estimate_is_of_the_hours_and_the_day_that_are_asked_for(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(GuardError, match=r"eks.max_cost allows 2.00") as caught:
        nobody.create(make_cluster=True, **asked)
    assert said in str(caught.value)
    assert eksctl.calls == []


def test_ten_large_nodes_of_ones_own_file_are_not_priced_as_two_small_ones(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"metadata: {META}\nmanagedNodeGroups: [{{instanceType: m5.large, maxSize: 10}}]\n")
    with pytest.raises(GuardError, match=r"eks.max_cost allows 2.00") as caught:
        nobody.create(make_cluster=True, config=own)
    assert "10 x m5.large 3.84" in str(caught.value)
    assert eksctl.calls == []


def test_a_cluster_that_was_made_for_a_suffix_is_not_passed_over_where_that_was_forgotten(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud
) -> None:
    made(cloud, cluster, **{"harness.environment": f"{CLUSTER}.pr-7"})
    with pytest.raises(CleanupFailed, match=f"it was made for {CLUSTER}.pr-7, and goes on costing") as caught:
        nobody.delete()
    assert caught.value.next_step.endswith(f"harness eks delete --eks-cluster {CLUSTER} --suffix pr-7")
    assert eksctl.calls == []


def test_the_command_that_removes_a_cluster_of_a_suffix_has_it(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"harness eks delete --eks-cluster {CLUSTER} --suffix pr-7"
    monkeypatch.setenv("RECORD_EXIT", "1")
    for said in ("ended with exit code 1", "begun and not finished"):
        with pytest.raises(EnvironmentFailed, match=said) as caught:
            nobody.create(make_cluster=True, suffix="pr-7")
        assert command in caught.value.next_step
    cluster.status = "FAILED"
    made(cloud, cluster, **{"harness.environment": f"{CLUSTER}.pr-7"})
    with pytest.raises(EnvironmentFailed, match="is FAILED") as caught:
        nobody.delete()
    assert command in caught.value.next_step


def test_another_lifetime_is_priced_and_the_cluster_is_given_it(
    cluster: Cluster, nobody: Home, eksctl: Eksctl, cloud: Cloud, enter: Callable[[Credentials], None]
) -> None:
    before, after = "2026-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"
    made(cloud, cluster, **{"harness.expires": before})
    mine = policies("prepare", bucket=nobody.bucket)
    # Of what eksctl asks for.
    tagging = {"Effect": "Allow", "Action": "eks:TagResource", "Resource": ARN}
    enter(cloud.user("maker", {**mine, "Statement": [*mine["Statement"], tagging]}))
    with pytest.raises(GuardError, match=r"eks.max_cost allows 2.00") as caught:
        nobody.create(make_cluster=True, expires=after, hours=8760)
    assert "for 8760 h" in str(caught.value)
    assert cluster.tags["harness.expires"] == before
    assert nobody.create(make_cluster=True, expires=after) == ExitCode.GREEN
    assert cluster.tags["harness.expires"] == after
    assert "USD" in nobody.told
    assert eksctl.calls == []
