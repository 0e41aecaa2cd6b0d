"""The target existing: what it asks before it writes, what it takes, and that it gives back exactly that."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import sweeping
from harness.errors import CleanupFailed, EnvironmentFailed, GuardError, UsageError
from harness.names import AIRFLOW_NAMESPACE
from harness.remover import Remover
from harness.targets.existing.environment import described
from harness.targets.existing.target import refuse
from tests.contract.eks.aftermath import NoEngines
from tests.contract.existing.conftest import CONTEXT, STORE, WORKER, Site, Somebodys, edited
from tests.contract.kubeapi.conftest import ApiServer
from tests.fakes import FakeRunner

THEIRS = {"Namespace/default"}


def guards(site: Site, **changes: Any) -> None:
    refuse(site.wanted(**changes))


def test_it_attaches_makes_its_namespaces_and_takes_them_away_again(site: Site, objects: Somebodys) -> None:
    target = site.target()
    cluster = target.up()
    assert (cluster.context, cluster.name, cluster.reused) == (CONTEXT, "existing-kind-ours", False)
    assert (cluster.bucket, cluster.forwarded, cluster.storage_class) == (None, True, "")
    assert set(cluster.ports) == {"airflow", "git", "s3"}
    for port in cluster.ports.values():
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert objects.labels("airflow")["harness.run"] == "run-1"
    assert objects.found["ConfigMap", "harness", "harness-claim"]["data"]["run"] == "run-1"
    assert ("CronJob", "harness", "harness-reaper") in objects.found
    assert [entry.kind for entry in site.journal().open()] == ["existing"]
    assert not [one for one in objects.found if one[0] == "Pod"]
    assert target.blocked() is None
    target.down()
    target.down()
    assert objects.names() == THEIRS
    assert objects.names("harness") == set()
    assert not target.folder.exists()
    assert site.journal().open() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cluster.ports["s3"]), timeout=5)


def test_its_kubeconfig_holds_the_one_context_and_nothing_else(site: Site, server: ApiServer) -> None:
    cluster = site.target().up()
    assert cluster.kubeconfig != server.kubeconfig
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    assert [one["name"] for one in config["contexts"]] == [CONTEXT]
    assert [one["cluster"]["server"] for one in config["clusters"]] == [server.url]


def test_the_readers_own_kubeconfig_may_change_while_it_runs(site: Site, server: ApiServer, objects: Somebodys) -> None:
    target = site.target()
    target.up()
    server.kubeconfig.unlink()
    target.down()
    assert objects.names() == THEIRS


def test_it_is_journalled_before_anything_is_written(site: Site, objects: Somebodys, server: ApiServer) -> None:
    journalled: list[int] = []

    def watched(asked: Any) -> bool:
        if asked.method != "GET" and "accessreviews" not in asked.path:
            journalled.append(len(site.journal().open()))
        return objects.handle(asked)

    server.otherwise = watched
    guards(site)
    assert journalled == []
    site.target().up()
    assert set(journalled) == {1}


def test_the_guards_pass_and_leave_nothing_on_disk_or_in_the_cluster(site: Site, objects: Somebodys) -> None:
    guards(site)
    assert objects.writes == []
    assert list((site.folder / "state" / "runs").glob("guards-*")) == []


# Which cluster


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"context": None}, UsageError, "no context of a kubeconfig is named"),
        ({"context": "kind-our"}, UsageError, "there is no context 'kind-our' in the kubeconfig"),
        ({"kubeconfig": Path("/nowhere/config")}, UsageError, "kubeconfig /nowhere/config cannot be read"),
        ({"servers": ()}, UsageError, "existing.servers allows nothing"),
        ({"servers": ("https://192.0.2.1:6443",)}, GuardError, "not lead to an API server on the allow-list"),
        ({"consent": False}, GuardError, "needs your consent"),
    ],
)
def test_what_is_not_named_allowed_and_consented_to_is_refused_before_the_cluster_is_asked(
    changes: dict[str, Any], kind: type[Exception], said: str, site: Site, server: ApiServer
) -> None:
    with pytest.raises(kind, match=said):
        guards(site, **changes)
    with pytest.raises(kind, match=said):
        site.target(**changes).up()
    assert server.requests == []
    assert not (site.folder / "state" / "clusters" / "existing-kind-ours").exists()


def test_a_context_that_is_not_there_is_told_with_those_that_are(site: Site, server: ApiServer) -> None:
    with pytest.raises(UsageError) as caught:
        guards(site, context="KIND-OURS")
    assert caught.value.evidence == {"looked in": str(server.kubeconfig), "contexts": "kind-ours, somewhere-else"}


def test_the_current_context_is_never_taken_and_another_context_is_not_allowed(site: Site) -> None:
    with pytest.raises(GuardError, match="the context somewhere-else does not lead to") as caught:
        guards(site, context="somewhere-else")
    assert caught.value.evidence["the context somewhere-else leads to"] == "https://127.0.0.1:9"


def test_a_name_that_stands_for_two_clusters_is_refused(
    site: Site, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_text(server.kubeconfig.read_text())
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(server.kubeconfig), str(other), str(tmp_path / "none")]))
    with pytest.raises(GuardError, match="the context 'kind-ours' stands in the kubeconfig 2 times") as caught:
        guards(site, kubeconfig=None)
    assert caught.value.evidence == {"in": f"{server.kubeconfig}, {other}"}
    other.unlink()
    guards(site, kubeconfig=None)


@pytest.mark.parametrize(
    ("entry", "name", "value"),
    [
        ("user", "as", "somebody"),
        ("user", "auth-provider", {"name": "oidc"}),
        ("cluster", "insecure-skip-tls-verify", True),
    ],
)
def test_what_cannot_be_kept_to_is_refused_and_not_left_out(
    entry: str, name: str, value: object, site: Site, server: ApiServer
) -> None:
    edited(server.kubeconfig, lambda config: config[f"{entry}s"][0][entry].update({name: value}))
    with pytest.raises(GuardError, match=f"the {entry} of the context kind-ours has {name}, which"):
        guards(site)
    assert server.requests == []


def test_files_that_a_kubeconfig_names_are_found_from_where_it_is(
    site: Site, server: ApiServer, tmp_path: Path
) -> None:
    def in_files(config: Any) -> None:
        import base64  # noqa: PLC0415 - for this one

        cluster = config["clusters"][0]["cluster"]
        (tmp_path / "ca.pem").write_bytes(base64.b64decode(cluster.pop("certificate-authority-data")))
        cluster["certificate-authority"] = "ca.pem"
        (tmp_path / "token").write_text(config["users"][0]["user"].pop("token"))
        config["users"][0]["user"]["tokenFile"] = "token"

    edited(server.kubeconfig, in_files)
    guards(site)
    asked = server.requests[-1].handler.headers["Authorization"]
    assert asked == "Bearer t0ken"


# What the cluster says


def test_a_cluster_that_does_not_answer_is_told_with_its_address(site: Site, server: ApiServer) -> None:
    edited(server.kubeconfig, lambda config: config["clusters"][0]["cluster"].update(server="https://127.0.0.1:9"))
    with pytest.raises(EnvironmentFailed, match=r"the API server at https://127\.0\.0\.1:9 does not answer"):
        guards(site, servers=("https://127.0.0.1:9",))


def test_an_api_server_that_refuses_the_caller_is_told_in_its_words(site: Site, server: ApiServer) -> None:
    server.on("GET", "/version", lambda asked: asked.refuse(401, "Unauthorized"))
    with pytest.raises(EnvironmentFailed, match="Unauthorized") as caught:
        guards(site)
    assert caught.value.next_step == "log in again, or see whether the user of the context kind-ours may still get in"


def test_each_missing_right_is_named_where_it_is_missing(site: Site, objects: Somebodys) -> None:
    objects.denied = {
        ("create", "deployments", "airflow"),
        ("patch", "deployments", "airflow"),
        ("list", "jobs", "airflow"),
        ("create", "pods/portforward", "harness"),
        ("create", "mutatingwebhookconfigurations", ""),
    }
    with pytest.raises(EnvironmentFailed, match="the user of the context kind-ours may not do all") as caught:
        guards(site)
    assert caught.value.evidence == {
        "not allowed in the cluster": "create mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "not allowed in namespace airflow": "list jobs.batch; create, patch deployments.apps",
        "not allowed in namespace harness": "create pods/portforward",
    }
    assert objects.writes == []


def test_who_may_not_make_namespaces_needs_them_only_where_they_are_not_prepared(
    site: Site, objects: Somebodys
) -> None:
    objects.denied = {("create", "namespaces", ""), ("delete", "namespaces", "")}
    with pytest.raises(EnvironmentFailed) as caught:
        guards(site)
    assert caught.value.evidence == {
        "not allowed in the cluster": "create namespaces; delete namespaces harness, namespaces airflow"
    }
    for name in ("airflow", "harness"):
        objects.put("Namespace", name, labels={"harness.owner": "airflow-dvc-harness"})
    guards(site)


def test_without_a_default_storage_class_one_has_to_be_named(site: Site, objects: Somebodys) -> None:
    objects.classes[0]["metadata"]["annotations"] = {}
    with pytest.raises(EnvironmentFailed, match="no default storage class") as caught:
        guards(site)
    assert caught.value.evidence == {"storage classes": "standard"}
    with pytest.raises(EnvironmentFailed, match="no storage class fast"):
        guards(site, storage_class="fast")
    guards(site, storage_class="standard")
    assert site.target(storage_class="standard").up().storage_class == "standard"


# Whose the namespaces are


def test_a_namespace_of_somebody_else_is_neither_used_nor_removed(site: Site, objects: Somebodys) -> None:
    objects.put("Namespace", AIRFLOW_NAMESPACE, labels={"team": "birds"})
    objects.put("Secret", "theirs", AIRFLOW_NAMESPACE)
    before = dict(objects.found)
    target = site.target()
    with pytest.raises(GuardError, match="namespace airflow of the cluster is not the harness's"):
        target.up()
    target.down()
    assert (objects.writes, objects.found) == ([], before)
    assert not target.folder.exists()


def test_an_environment_that_no_claim_names_is_neither_used_nor_removed(site: Site, objects: Somebodys) -> None:
    # Such as that of a kind cluster of the harness's own: its namespaces have the label, too.
    for name in ("airflow", "harness"):
        objects.put("Namespace", name, labels={"harness.owner": "airflow-dvc-harness"})
    objects.put("Deployment", "git", "harness")
    before = dict(objects.found)
    target = site.target()
    with pytest.raises(GuardError, match="namespaces harness and airflow of the cluster are not empty") as caught:
        target.up()
    assert caught.value.evidence == {"in them": "Deployment harness/git"}
    target.down()
    assert (objects.writes, objects.found) == ([], before)


def test_what_another_run_has_is_neither_used_nor_removed(
    site: Site, server: ApiServer, objects: Somebodys, tmp_path: Path
) -> None:
    other = Site(tmp_path / "another machine", server)
    first = other.target("run-0")
    first.up()
    before = dict(objects.found)
    target = site.target()
    with pytest.raises(GuardError, match="run run-0 has the harness's namespaces"):
        target.up()
    target.down()
    target.release()
    assert objects.found == before
    first.down()
    first.release()


# Images


def test_images_that_the_node_cannot_have_are_all_named_and_nothing_stays(site: Site, objects: Somebodys) -> None:
    objects.images.clear()
    target = site.target()
    with pytest.raises(EnvironmentFailed, match="a node cannot have all images") as caught:
        target.up()
    assert caught.value.evidence == {
        "airflow-dvc-worker:2.0.0": "ErrImagePull: pull access denied",
        "localstack/localstack:4.14.0": "ErrImagePull: pull access denied",
    }
    assert objects.names() == THEIRS
    assert site.journal().open() == []


def test_another_image_under_the_same_name_is_refused_unless_the_node_is_trusted(
    site: Site, objects: Somebodys
) -> None:
    other = f"sha256:{'7' * 64}"
    objects.images["airflow-dvc-worker:2.0.0"] = f"docker.io/library/import@{other}"
    with pytest.raises(EnvironmentFailed, match="the nodes have other images under these names") as caught:
        site.target().up()
    assert caught.value.evidence == {"airflow-dvc-worker:2.0.0": f"there {other}; here {WORKER}"}
    assert objects.names() == THEIRS
    site.targets[-1].release()
    target = site.target(trust_node_images=True)
    target.up()
    assert target.toolchain.image_digests == {"worker": (other,), "localstack": (STORE,)}
    assert "images as the nodes have them" in target.note


def test_images_of_a_registry_are_held_to_the_digests_that_were_pushed(site: Site, objects: Somebodys) -> None:
    pushed = f"sha256:{'9' * 64}"
    objects.images = {
        f"registry.example/team/{name}": f"registry.example/team/{name.partition(':')[0]}@{pushed}"
        for name in ("airflow-dvc-worker:2.0.0", "localstack/localstack:4.14.0")
    }
    target = site.target(registry="registry.example/team")
    cluster = target.up()
    assert cluster.mapped_images["airflow-dvc-worker:2.0.0"] == "registry.example/team/airflow-dvc-worker:2.0.0"
    assert target.toolchain.image_digests["worker"] == (pushed, WORKER)
    reaper = objects.found["CronJob", "harness", "harness-reaper"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert reaper["containers"][0]["image"] == "registry.example/team/airflow-dvc-worker:2.0.0"


# Kept, and what is left


def test_a_kept_environment_is_gone_on_with_by_the_next_run(site: Site, objects: Somebodys) -> None:
    first = site.target("run-0")
    first.up()
    first.keep()
    first.release()
    objects.put("Deployment", "git", "harness")
    second = site.target("run-1")
    assert second.up().reused
    assert objects.labels("harness")["harness.run"] == "run-0"
    second.down()
    assert objects.names() == THEIRS


def test_a_context_that_leads_elsewhere_now_is_not_taken_for_the_kept_one(site: Site, server: ApiServer) -> None:
    first = site.target("run-0")
    first.up()
    first.keep()
    first.release()
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    edited(server.kubeconfig, lambda config: config["clusters"][0]["cluster"].update(server=elsewhere))
    with pytest.raises(GuardError, match="is known here as an environment at"):
        site.target("run-1", servers=(elsewhere,)).up()


def test_a_name_that_a_kind_cluster_has_got_meanwhile_is_not_taken(site: Site, objects: Somebodys) -> None:
    target = site.target()
    target.folder.mkdir(parents=True)
    (target.folder / "cluster.json").write_text('{"run": "its", "host": ""}')
    with pytest.raises(UsageError, match="taken here, by a kind cluster"):
        target.up()
    target.down()
    assert [path.name for path in target.folder.iterdir()] == ["cluster.json"]
    assert objects.names() == THEIRS


def _leads_elsewhere(_site: Site, server: ApiServer, _objects: Somebodys) -> dict[str, Any]:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    edited(server.kubeconfig, lambda config: config["clusters"][0]["cluster"].update(server=elsewhere))
    return {"servers": (elsewhere,)}


def _has_no_consent(*_: object) -> dict[str, Any]:
    return {"consent": False}


def _is_another_runs_by_now(_site: Site, _server: ApiServer, objects: Somebodys) -> dict[str, Any]:
    objects.found["ConfigMap", "harness", "harness-claim"]["data"]["run"] = "run-9"
    return {}


def _has_not_the_images(_site: Site, _server: ApiServer, objects: Somebodys) -> dict[str, Any]:
    objects.images.clear()
    return {}


def _is_not_described_whole(site: Site, *_: object) -> dict[str, Any]:
    description = site.targets[0].folder / "cluster.json"
    description.write_text('{"target": "existing"}')
    return {}


@pytest.mark.parametrize(
    "refusal",
    [_leads_elsewhere, _has_no_consent, _is_another_runs_by_now, _has_not_the_images, _is_not_described_whole],
)
def test_a_run_that_is_refused_leaves_the_kept_environment_as_it_was(
    refusal: Any, site: Site, server: ApiServer, objects: Somebodys
) -> None:
    first = site.target("run-0")
    first.up()
    first.keep()
    first.release()
    objects.put("Deployment", "git", "harness")
    second = site.target("run-1", **refusal(site, server, objects))
    before = set(objects.found)
    with pytest.raises(EnvironmentFailed):
        second.up()
    second.down()
    second.release()
    assert set(objects.found) == before
    assert first.kept


def test_down_removes_a_kept_environment_whatever_the_settings_say_by_then(site: Site, objects: Somebodys) -> None:
    target = site.target()
    target.up()
    target.keep()
    target.release()
    assert described(target.folder) is not None
    Remover(NoEngines(), FakeRunner()).cluster(target.folder, None)
    assert objects.names() == THEIRS
    assert not target.folder.exists()


def test_sweep_removes_what_a_killed_run_has_left(site: Site, objects: Somebodys, tmp_path: Path) -> None:
    target = site.target()
    target.up()
    target.release()  # as the end of its process does
    said: list[str] = []
    sweeping.sweep(site.folder / "state", NoEngines(), FakeRunner(), cache_dir=tmp_path / "cache", say=said.append)
    assert "removed existing kind-ours" in said
    assert objects.names() == THEIRS
    assert not target.folder.exists()


def test_what_cannot_be_removed_stays_known_and_is_told(site: Site, objects: Somebodys) -> None:
    target = site.target()
    target.up()
    objects.forbidden.add(("DELETE", "Namespace"))
    with pytest.raises(CleanupFailed, match="could not be removed whole: delete Namespace harness: the caller may not"):
        target.down()
    assert target.folder.exists()
    assert [entry.kind for entry in site.journal().open()] == ["existing"]
    objects.forbidden.clear()
    target.down()
    assert objects.names() == THEIRS
