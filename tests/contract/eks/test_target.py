"""The EKS target: what it asks before it writes, what it takes, and that it gives back exactly that."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import CleanupFailed, EnvironmentFailed, GuardError, UsageError
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.remover import Remover
from harness.targets.eks.attach import EksCluster
from harness.targets.eks.target import refuse
from tests.contract.eks.aftermath import fill, swept
from tests.contract.eks.conftest import ALLOWED, ARN, Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET, CLUSTER, Client
from tests.fakes import FakeRunner

READY = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}


def keys(client: Client) -> set[str]:
    return {one["Key"] for one in client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def put(client: Client, *names: str) -> None:
    for name in names:
        client("s3").put_object(Bucket=BUCKET, Key=name, Body=b"x")


def test_it_attaches_takes_the_namespaces_and_gives_them_back_as_they_were(
    site: Site, objects: Objects, client: Client, cloud: Cloud, tmp_path: Path
) -> None:
    target = site.target()
    cluster = target.up()
    assert (cluster.context, cluster.name, cluster.reused) == (ARN, "eks-mlops", False)
    assert cluster.kubernetes_version == "v1.34.4"
    assert cluster.bucket is not None
    assert (cluster.bucket.name, cluster.bucket.root, cluster.storage_class) == (BUCKET, "", "gp3")
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert target.blocked() is None
    for port in cluster.ports.values():
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert objects.found["ConfigMap", "harness", "harness-claim"]["data"]["run"] == "run-1"
    assert [entry.kind for entry in site.journal("run-1").open()] == ["eks"]

    fill(cluster, objects)
    put(client, "runs/run-1/a/files/md5/11/22", "runs/run-2/a", "theirs.csv")
    target.down()
    target.down()
    assert objects.names("harness") == READY
    assert objects.names("airflow") == READY | {"ServiceAccount/airflow-dvc-sa"}
    assert objects.names() == {"Namespace/airflow", "Namespace/harness"}
    assert keys(client) == {"runs/run-2/a", "theirs.csv"}
    assert not target.folder.exists()
    assert site.journal("run-1").open() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cluster.ports["git"]), timeout=5)
    assert {call.outcome for call in cloud.log.calls() if call.principal.endswith("user/limited")} == {"allowed"}


def test_it_is_journalled_before_anything_is_written(site: Site, objects: Objects, server: Any) -> None:
    journalled: list[int] = []

    def watched(asked: Any) -> bool:
        if asked.method != "GET":
            journalled.append(len(site.journal("run-1").open()))
        return objects.handle(asked)

    server.otherwise = watched
    site.target().up()
    assert set(journalled) == {1}


def test_namespaces_that_are_not_there_are_made_and_go_whole(site: Site, objects: Objects) -> None:
    objects.found.clear()
    target = site.target()
    cluster = target.up()
    labels = objects.labels("airflow")
    assert labels["harness.owner"] == "airflow-dvc-harness"
    assert labels["harness.run"] == "run-1"
    assert labels["harness.adapter"] == "on"
    assert "harness.adapter" not in objects.labels("harness")
    fill(cluster, objects)
    target.down()
    assert objects.found == {}


def test_who_may_not_make_namespaces_is_told_how_to_have_them_made(site: Site, objects: Objects) -> None:
    objects.found.clear()
    objects.forbidden.add(("POST", "Namespace"))
    target = site.target()
    with pytest.raises(EnvironmentFailed, match="there is no namespace harness") as caught:
        target.up()
    assert "kubectl label namespace harness harness.owner=airflow-dvc-harness" in caught.value.next_step
    assert not target.folder.exists()
    assert site.journal("run-1").open() == []


def test_a_namespace_of_somebody_else_is_neither_used_nor_removed(site: Site, objects: Objects) -> None:
    objects.put("Namespace", "airflow", labels={"team": "birds"})
    objects.put("Secret", "theirs", "airflow")
    before = dict(objects.found)
    target = site.target()
    with pytest.raises(GuardError, match="namespace airflow of the cluster is not the harness's"):
        target.up()
    target.down()
    assert objects.writes == []
    assert objects.found == before
    assert not target.folder.exists()


def test_what_another_run_has_is_neither_used_nor_removed(site: Site, objects: Objects, tmp_path: Path) -> None:
    other = Site(tmp_path / "another machine")
    first = other.target("run-0")
    cluster = first.up()
    fill(cluster, objects)
    before = dict(objects.found)
    target = site.target("run-1")
    with pytest.raises(GuardError, match="run run-0 has the harness's namespaces"):
        target.up()
    target.down()
    target.release()
    assert objects.found == before
    first.down()
    assert target.up().context == ARN
    target.down()


def test_two_runs_on_one_machine_do_not_share_it(site: Site) -> None:
    site.target("run-0").up()
    second = site.target("run-1")
    with pytest.raises(GuardError, match="another run is using the cluster eks-mlops") as caught:
        second.up()
    assert caught.value.next_step == "wait for it to end", "a cluster has one environment, whatever --cluster says"
    second.down()
    assert second.folder.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"consent": False}, "needs your consent"),
        ({"accounts": ("999999999999",)}, "these credentials are of account"),
        ({"tag": "other=1"}, "is not tagged other=1"),
        ({"max_cost": 0.00001}, "this would cost about"),
    ],
)
def test_guards_are_passed_before_anything_is_built_and_before_the_first_write(
    site: Site, objects: Objects, server: Any, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(GuardError, match=said):
        refuse(site.wanted("run-1", **change))
    target = site.target("run-1", **change)
    with pytest.raises(GuardError, match=said):
        target.up()
    target.down()
    assert server.requests == []
    assert not target.folder.exists()


def test_the_price_is_shown_before_anything_is_built(site: Site) -> None:
    refuse(site.wanted("run-1"))
    assert len(site.told) == 1
    assert site.told[0].startswith(f"{ARN}: beside the cluster itself, about 0.00 USD for 4 h (volumes 0.00; ")


def test_a_missing_addon_and_a_missing_association_are_named_with_their_remedies(
    site: Site, cloud: Cloud, client: Client, associated: str
) -> None:
    client("eks").delete_pod_identity_association(clusterName=CLUSTER, associationId=associated)
    with pytest.raises(EnvironmentFailed, match=r"no role is associated with .* airflow/airflow-dvc-sa") as caught:
        refuse(site.wanted("run-1"))
    assert "create-pod-identity-association --cluster-name mlops" in caught.value.next_step
    cloud.eks.cluster(CLUSTER).addons.clear()
    with pytest.raises(EnvironmentFailed, match="no add-on eks-pod-identity-agent"):
        refuse(site.wanted("run-1"))


def test_a_kept_environment_is_gone_on_with_and_removed_with_the_keys_of_all_its_runs(
    site: Site, objects: Objects, client: Client
) -> None:
    first = site.target("run-1", prefix="team/e2e")
    fill(first.up(), objects)
    first.keep()
    first.release()
    second = site.target("run-2", prefix="team/e2e")
    cluster = second.up()
    assert cluster.reused
    assert second.kept
    assert second.note.startswith("reused in arn:aws:eks:")
    put(client, "team/e2e/runs/run-1/a", "team/e2e/runs/run-2/a", "runs/run-1/not-ours")
    second.release()
    Remover(None, FakeRunner()).cluster(second.folder, None)  # type: ignore[arg-type] # needs no engine
    assert keys(client) == {"runs/run-1/not-ours"}
    assert objects.names("airflow") == READY | {"ServiceAccount/airflow-dvc-sa"}
    assert not second.folder.exists()


def test_a_kept_environment_that_somebody_emptied_is_made_anew(site: Site, objects: Objects) -> None:
    first = site.target("run-1")
    first.up()
    first.keep()
    first.release()
    del objects.found["ConfigMap", "harness", "harness-claim"]
    second = site.target("run-2")
    assert not second.up().reused
    assert not second.kept
    assert objects.found["ConfigMap", "harness", "harness-claim"]["data"]["run"] == "run-2"


def test_what_a_killed_run_left_is_swept(site: Site, objects: Objects, client: Client) -> None:
    target = site.target("run-1")
    fill(target.up(), objects)
    put(client, "runs/run-1/a")
    target.release()  # as the kernel does it for a killed one
    assert swept(site) == [f"removed eks {ARN}"]
    assert objects.names("harness") == READY
    assert keys(client) == set()
    assert list((site.folder / "state" / "clusters").iterdir()) == []


def test_what_cannot_be_removed_is_named_and_stays_in_the_journal(
    site: Site, objects: Objects, enter: Callable[[Credentials], None], limited: Callable[..., Credentials],
    client: Client,
) -> None:  # fmt: skip
    target = site.target("run-1")
    fill(target.up(), objects)
    put(client, "runs/run-1/a")
    objects.forbidden.add(("DELETE", "Pod"))
    enter(limited("eks:DescribeCluster"))
    with pytest.raises(CleanupFailed, match="could not be removed whole") as caught:
        target.down()
    assert "may not DELETE pods" in caught.value.evidence["the cluster"]
    assert "not allowed to remove s3://dvc/runs/run-1/" in caught.value.evidence["the bucket"]
    assert target.folder.exists()
    assert len(site.journal("run-1").open()) == 1


def test_images_of_a_registry_are_mapped_and_known_by_their_digests(site: Site) -> None:
    site.docker.pushed["registry.example/team/airflow-dvc-worker:2.0.0"] = json.dumps(
        ["registry.example/team/airflow-dvc-worker@sha256:9", "elsewhere/airflow-dvc-worker@sha256:8"]
    )
    target = site.target("run-1", registry="registry.example/team")
    cluster = target.up()
    assert cluster.mapped_images == {"airflow-dvc-worker:2.0.0": "registry.example/team/airflow-dvc-worker:2.0.0"}
    assert target.toolchain.image_digests["worker"] == ("sha256:9", "sha256:1")


def test_what_runs_on_a_local_cluster_only_is_not_said_to_run_here(site: Site) -> None:
    toolchain = site.target("run-1").toolchain
    assert set(toolchain.images) == set(toolchain.image_digests) == {"worker"}
    assert [one.name for one in toolchain.stand_ins] == ["git-sync stand-in"]


def test_an_image_that_was_never_pushed_is_named(site: Site, objects: Objects) -> None:
    site.docker.pushed["registry.example/team/airflow-dvc-worker:2.0.0"] = "[]"
    target = site.target("run-1", registry="registry.example/team")
    with pytest.raises(EnvironmentFailed, match="the container engine does not know registry") as caught:
        target.up()
    assert caught.value.next_step.startswith("docker tag airflow-dvc-worker:2.0.0 registry.example/team/")
    assert objects.writes == []


def test_the_environment_of_another_cluster_under_that_name_is_left_alone(site: Site, objects: Objects) -> None:
    first = site.target("run-1")
    first.up()
    first.keep()
    first.release()
    for file in (first.folder / "cluster.json", first.folder / "kubeconfig"):
        file.write_text(file.read_text().replace(ARN, f"{ARN}-2"))
    before = set(objects.found)
    second = site.target("run-2")
    with pytest.raises(GuardError, match="is known here as an environment in"):
        second.up()
    second.down()
    second.release()
    assert set(objects.found) == before
    assert first.kept


def test_a_name_that_a_look_alike_has_got_meanwhile_is_not_taken(site: Site, objects: Objects) -> None:
    before = objects.names("harness")
    target = site.target()
    (target.folder / "lookalike").mkdir(parents=True)
    with pytest.raises(UsageError, match="taken here, by an EKS look-alike"):
        target.up()
    target.down()
    assert [path.name for path in target.folder.iterdir()] == ["lookalike"]
    assert objects.names("harness") == before


def test_a_run_whose_claim_in_the_bucket_is_refused_leaves_the_kept_environment_as_it_was(
    site: Site, objects: Objects, enter: Callable[[Credentials], None], limited: Callable[..., Credentials]
) -> None:
    first = site.target("run-1")
    first.up()
    first.keep()
    first.release()
    before = set(objects.found)
    enter(limited(*(one for one in ALLOWED if one != "s3:PutObject")))
    second = site.target("run-2")
    with pytest.raises(EnvironmentFailed, match="not allowed to write s3://dvc/claims/run-2"):
        second.up()
    second.down()
    second.release()
    assert set(objects.found) == before
    assert first.kept


def test_pods_are_led_where_the_readers_own_clients_are(site: Site, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = site.target("run-1")
    bucket = target.up().bucket
    assert bucket is not None
    assert bucket.endpoint == url
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert target._bucket(EksCluster(CLUSTER, ARN, "https://127.0.0.1:1", "", "1.34", {})).endpoint is None
