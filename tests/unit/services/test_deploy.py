"""What goes into a cluster with an object store of its own, and into one whose S3 is outside: no key, and no store."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from harness import awstap
from harness.errors import WaitFailed
from harness.model import Bucket, Cluster, GitService
from harness.names import NODE_PORTS
from harness.services.deploy import ServicesDeployer
from harness.services.secrets import ClusterSecrets
from harness.settings import S3Backend
from harness.wait import Waiter

IMAGES: Any = {name: f"{name}:1" for name in ("git-server", "postgres", "localstack", "strict-s3", "adapter", "worker")}
SECRETS = ClusterSecrets.generate()
ENDPOINT = "http://192.0.2.1:4566"


class Kube:
    """Keeps what is applied."""

    def __init__(self) -> None:
        self.applied: list[Mapping[str, Any]] = []
        self.waited: list[str] = []

    def apply(self, manifests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        self.applied += manifests
        return self.applied

    def wait_rollout(self, _kind: str, name: str, *_rest: object, **_options: object) -> None:
        self.waited.append(name)

    def one(self, kind: str, name: str) -> Mapping[str, Any]:
        (found,) = [one for one in self.applied if (one["kind"], one["metadata"]["name"]) == (kind, name)]
        return found

    def adapter(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.one("ConfigMap", "adapter")["data"]["config.json"])
        return found


def deployed(
    folder: Path,
    *,
    backend: S3Backend = S3Backend.LOCALSTACK,
    git_service: GitService | None = None,
    **cluster: Any,
) -> tuple[ServicesDeployer, Kube]:
    kube: Any = Kube()
    facts: dict[str, Any] = {
        "name": "c", "kubeconfig": folder / "k", "context": "kind-c", "ports": {"git": 1, "s3": 2, "airflow": 3},
        "reused": False, "kubernetes_version": "v1", **cluster,
    }  # fmt: skip
    made = ServicesDeployer(
        cluster=Cluster(**facts), folder=folder, kube=kube, secrets=SECRETS, images=IMAGES,
        backend=backend, waiter=Waiter(), git_service=git_service,
    )  # fmt: skip
    made.apply({"GIT_BRANCH": "main"})
    return made, kube


def on_eks(folder: Path, *, endpoint: str | None = ENDPOINT, **cluster: Any) -> tuple[ServicesDeployer, Kube]:
    bucket = Bucket("team-dvc", "eu-central-1", endpoint, "e2e/", "nightly")
    ports = {"git": 1, "airflow": 3}
    return deployed(folder, bucket=bucket, forwarded=True, ports=ports, storage_class="gp3", **cluster)


def test_a_local_cluster_gets_a_store_and_dummy_keys_for_the_one_account(tmp_path: Path) -> None:
    made, kube = deployed(tmp_path)
    assert kube.one("Deployment", "s3")["spec"]["template"]["spec"]["containers"][0]["image"] == "localstack:1"
    assert kube.one("Service", "git")["spec"]["ports"][0]["nodePort"] == NODE_PORTS["git"]
    assert "storageClassName" not in kube.one("PersistentVolumeClaim", "airflow-shared-pvc")["spec"]
    adapter = kube.adapter()
    assert set(adapter["env"]) == {"AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"}
    assert adapter["identities"]["airflow-dvc-sa"]["AWS_SECRET_ACCESS_KEY"] == SECRETS.s3_secret_key
    assert "images" not in adapter
    service = made.services().s3
    assert (service.bucket, service.access_key, service.root) == ("dvc-c", "test", "")


def test_on_eks_no_key_is_in_anything_that_goes_into_the_cluster(tmp_path: Path) -> None:
    _, kube = on_eks(tmp_path)
    assert "AWS_ACCESS_KEY_ID" not in json.dumps(kube.applied)
    assert SECRETS.s3_secret_key not in json.dumps(kube.applied)
    assert "identities" not in kube.adapter()


def test_on_eks_there_is_no_store_no_port_of_the_nodes_and_a_class_for_the_claim(tmp_path: Path) -> None:
    made, kube = on_eks(tmp_path)
    assert ("Deployment", "s3") not in {(one["kind"], one["metadata"]["name"]) for one in kube.applied}
    assert kube.one("Service", "git")["spec"]["type"] == "ClusterIP"
    assert "nodePort" not in json.dumps(kube.applied)
    assert kube.one("PersistentVolumeClaim", "airflow-shared-pvc")["spec"]["storageClassName"] == "gp3"
    made.wait("s3")
    made.wait("git")
    assert kube.waited == ["git"]


def test_by_irsa_pods_are_told_where_sts_is_and_by_pod_identity_they_are_not(tmp_path: Path) -> None:
    _, kube = on_eks(tmp_path, irsa=True, pod_environment={"AWS_ENDPOINT_URL_STS": "http://sts"})
    assert kube.adapter()["env"] == {"AWS_ENDPOINT_URL_S3": ENDPOINT, "AWS_ENDPOINT_URL_STS": "http://sts"}
    _, kube = on_eks(tmp_path)
    assert set(kube.adapter()["env"]) == {"AWS_ENDPOINT_URL_S3"}


@pytest.mark.parametrize("access", ["ReadWriteOnce", "ReadWriteMany"])
def test_the_claim_has_the_mode_of_what_holds_it(tmp_path: Path, access: str) -> None:
    _, kube = on_eks(tmp_path, claim_access=access)
    assert kube.one("PersistentVolumeClaim", "airflow-shared-pvc")["spec"]["accessModes"] == [access]


@pytest.mark.parametrize(("endpoint", "env"), [(ENDPOINT, {"AWS_ENDPOINT_URL_S3": ENDPOINT}), (None, None)])
def test_on_eks_pods_are_told_of_an_endpoint_only_where_the_reader_has_one(
    tmp_path: Path, endpoint: str | None, env: dict[str, str] | None
) -> None:
    made, kube = on_eks(tmp_path, endpoint=endpoint)
    assert kube.adapter().get("env") == env
    service = made.services().s3
    assert (service.inside, service.outside, service.access_key, service.secret_key) == (endpoint, endpoint, None, None)
    assert (service.bucket, service.root, service.profile) == ("team-dvc", "e2e/", "nightly")


@pytest.mark.parametrize("backend", list(S3Backend))
def test_where_forwards_lead_in_the_store_opens_no_port_of_the_nodes_either(backend: S3Backend, tmp_path: Path) -> None:
    _, kube = deployed(tmp_path, backend=backend, forwarded=True)
    assert kube.one("Service", "s3")["spec"]["type"] == "ClusterIP"
    assert "nodePort" not in json.dumps(kube.applied)
    _, kube = deployed(tmp_path, backend=backend)
    assert kube.one("Service", "s3")["spec"]["ports"][0]["nodePort"] == NODE_PORTS["s3"]


@pytest.mark.parametrize("authority", ["-----BEGIN CERTIFICATE-----\n", ""])
def test_with_a_git_server_outside_there_is_none_inside_and_pods_get_its_user_and_authorities(
    tmp_path: Path, authority: str
) -> None:
    ca_file = tmp_path / "theirs.crt" if authority else None
    if ca_file is not None:
        ca_file.write_text(authority)
    url = "https://git.example.com/p.git"
    service = GitService(url, url, ca_file, "them", SecretStr("their-token"), admin_password=None)
    for made, kube in (deployed(tmp_path, git_service=service), on_eks(tmp_path, git_service=service)):
        there = {one["metadata"]["name"] for one in kube.applied}
        assert there.isdisjoint({"git", "git-tls", "git-users"})
        credentials = kube.one("Secret", "git-credentials")["data"]
        assert {base64.b64decode(value).decode() for value in credentials.values()} == {"them", "their-token"}
        assert kube.adapter()["ca_config_map"] == ("harness-git-ca" if authority else "")
        assert ("harness-git-ca" in there) is bool(authority)
        if authority:
            assert kube.one("ConfigMap", "harness-git-ca")["data"]["ca.crt"] == authority
        assert made.services().git is service
        made.wait("git")
        assert kube.waited == []


def test_images_have_the_names_that_the_nodes_know(tmp_path: Path) -> None:
    mapped = {name: f"registry.example/{name}" for name in IMAGES.values()}
    _, kube = on_eks(tmp_path, mapped_images=mapped)
    for name in ("git", "adapter", "postgres"):
        image = kube.one("Deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image.startswith("registry.example/")
    # Those of the DAG and of the chart are named by the adapter, which nobody edits a DAG for.
    assert kube.adapter()["images"] == mapped


class Probed(Kube):
    """A cluster in which the pod that proves the services ends at once, and says this."""

    said = '{"as": "own", "status": 200}\nround trip: postgres 0.1 s, git 5.2 s, s3 0.3 s\n'

    def get(self, *_which: str) -> dict[str, Any]:
        return {"status": {"phase": "Succeeded"}}

    def pod_logs(self, *_which: str, **_options: str) -> str:
        return self.said

    def delete(self, *_which: str) -> None:
        """Nothing is kept of it."""


class Listener:
    def __init__(self) -> None:
        self.said: list[str] = []

    def listen(self, events: object) -> None:
        raise AssertionError(events)

    def agent(self, said: str) -> None:
        self.said.append(said)


@pytest.mark.parametrize(
    ("eks", "listens", "asks"),
    [({}, True, True), ({}, False, False), ({"irsa": True}, True, False), (None, True, False)],
)
def test_the_agent_is_asked_by_the_pod_that_proves_the_services_where_somebody_listens(
    *, eks: dict[str, Any] | None, listens: bool, asks: bool, tmp_path: Path
) -> None:
    made, _ = deployed(tmp_path) if eks is None else on_eks(tmp_path, **eks)
    kube = Probed()
    made._kube = kube  # type: ignore[assignment]
    listener = Listener()
    with awstap.listening(listener) if listens else nullcontext():
        took = made.prove_from_a_pod(made.services().s3)
    assert took == "postgres 0.1 s, git 5.2 s, s3 0.3 s"
    (pod,) = [one for one in kube.applied if one["kind"] == "Pod"]
    given = {one["name"] for one in pod["spec"]["containers"][0]["env"]}
    assert ("PROBE_AGENT" in given) == asks
    assert listener.said == (['{"as": "own", "status": 200}'] if asks else [])


class Unreached(Probed):
    """A cluster in which no pod gets to Git."""

    said = "git: OSError: Could not connect to server"

    def get(self, *_which: str) -> dict[str, Any]:
        return {"status": {"phase": "Failed"}}


@pytest.mark.parametrize("foreign", [True, False])
def test_where_pods_do_not_reach_a_foreign_git_server_its_address_is_named(tmp_path: Path, *, foreign: bool) -> None:
    url = "https://git.example.com/p.git"
    service = GitService(url, url, None, "them", SecretStr("their-token"), admin_password=None)
    made, _ = deployed(tmp_path, git_service=service if foreign else None)
    made._kube = Unreached()  # type: ignore[assignment]
    with pytest.raises(WaitFailed, match="Could not connect to server") as caught:
        made.prove_from_a_pod(made.services().s3)
    assert (url in caught.value.next_step) is foreign
    assert ("egress_allow" in caught.value.next_step) is foreign
