"""How the node comes by a login to the registry, and by its address."""

from __future__ import annotations

import json
import ssl
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from harness.errors import EnvironmentFailed
from harness.lookalike import node_registry
from harness.lookalike.account import Plan
from harness.lookalike.cloud import Cloud
from harness.lookalike.hosting import NODE, Folder, Keys, Serving
from harness.lookalike.node_registry import IN_NODE, NodeLogin
from harness.lookalike.registry_server import RegistryServer
from tests.contract.lookalike.conftest import REGION, Client, Clock
from tests.contract.lookalike.registries import Distribution, image, login, registry_of

NAME = "airflow-dvc-harness/worker"
# The look-alike's account, as `up` makes it, but in the region of these tests.
PLAN = Plan("mlops", REGION)


@pytest.fixture
def served(cloud: Cloud, tmp_path: Path) -> Iterator[tuple[RegistryServer, ssl.SSLContext]]:
    with registry_of(cloud, tmp_path) as served:
        yield served


@pytest.fixture
def serving(url: str, served: tuple[RegistryServer, ssl.SSLContext]) -> Serving:
    return Serving(1, url, url, url, served[0].host, "https://172.18.0.1:4243")


@pytest.fixture
def node(cloud: Cloud) -> Keys:
    made = cloud.user(NODE, PLAN.document(NODE))
    return Keys(made.principal.arn, made.access_key_id, made.secret_access_key)


def answered(folder: Folder) -> dict[str, object]:
    """What the kubelet is told, by running what it runs."""
    program = folder.path / "registry" / "bin" / "ecr-credential-provider"
    asked = {"kind": "CredentialProviderRequest", "image": "127.0.0.1:1/worker:1"}
    said = subprocess.run([program], input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=30)
    found: dict[str, object] = json.loads(said.stdout)
    return found


def test_the_kubelet_is_told_a_login_by_which_the_node_pulls_and_cannot_push(
    tmp_path: Path, serving: Serving, node: Keys, client: Client, served: tuple[RegistryServer, ssl.SSLContext]
) -> None:
    client("ecr").create_repository(repositoryName=NAME)
    folder = Folder(tmp_path / "lookalike")
    node_registry.write_files(folder, serving, "PEM")
    options = {"base_url": served[0].url, "verify": served[1], "trust_env": False}
    with NodeLogin(folder, serving, node, REGION), httpx.Client(auth=login(client("ecr")), **options) as pushing:  # type: ignore[arg-type]
        Distribution(pushing).push(NAME, "1", image())
        told = answered(folder)
        assert (told["kind"], told["cacheKeyType"]) == ("CredentialProviderResponse", "Registry")
        found = told["auth"][serving.registry]  # type: ignore[index]
        with httpx.Client(auth=(found["username"], found["password"]), **options) as pulling:  # type: ignore[arg-type]
            registry = Distribution(pulling)
            assert registry.manifest(NAME, "1").content == image().manifest
            assert registry.begin(NAME).status_code == 403
    assert (folder.path / "registry" / "login.json").stat().st_mode & 0o777 == 0o600


def test_a_new_login_takes_the_place_of_one_that_ends(
    tmp_path: Path, serving: Serving, node: Keys, cloud: Cloud, clock: Clock
) -> None:
    folder = Folder(tmp_path / "lookalike")
    node_registry.write_files(folder, serving, "PEM")
    with NodeLogin(folder, serving, node, REGION) as kept:
        first = answered(folder)
        clock.ahead = timedelta(minutes=5)
        kept.renew()
        assert answered(folder)["auth"] != first["auth"]
    assert {call.principal for call in cloud.log.calls("ecr", "GetAuthorizationToken")} == {node.arn}


def test_a_node_whose_role_may_not_log_in_is_an_error_at_once(tmp_path: Path, serving: Serving, cloud: Cloud) -> None:
    made = cloud.user("nobody")
    keys = Keys(made.principal.arn, made.access_key_id, made.secret_access_key)
    with (
        pytest.raises(EnvironmentFailed, match="no login") as caught,
        NodeLogin(Folder(tmp_path / "lookalike"), serving, keys, REGION),
    ):
        pass
    assert "ecr:GetAuthorizationToken" in caught.value.evidence["why"]


def test_containerd_finds_the_registry_in_the_clusters_network(tmp_path: Path, serving: Serving) -> None:
    folder = Folder(tmp_path / "lookalike")
    mounted = node_registry.write_files(folder, serving, "PEM")
    hosts = tomllib.loads((mounted / "certs.d" / serving.registry / "hosts.toml").read_text())
    trusted = {"ca": f"{IN_NODE}/ca.crt"}
    assert hosts == {"server": serving.nodes_registry, "host": {serving.nodes_registry: trusted}, **trusted}
    assert (mounted / "ca.crt").read_text() == "PEM"
    patch = tomllib.loads(node_registry.containerd_patch())
    assert patch["plugins"]["io.containerd.grpc.v1.cri"]["registry"]["config_path"] == f"{IN_NODE}/certs.d"


def test_the_kubelet_asks_about_images_of_this_registry_only(tmp_path: Path, serving: Serving) -> None:
    folder = Folder(tmp_path / "lookalike")
    mounted = node_registry.write_files(folder, serving, "PEM")
    (provider,) = yaml.safe_load((mounted / "credential-provider.yaml").read_text())["providers"]
    assert provider["matchImages"] == [serving.registry]
    assert (mounted / "bin" / provider["name"]).exists()
    patch = yaml.safe_load(node_registry.kubeadm_patch())
    assert patch["nodeRegistration"]["kubeletExtraArgs"] == {
        "image-credential-provider-config": f"{IN_NODE}/credential-provider.yaml",
        "image-credential-provider-bin-dir": f"{IN_NODE}/bin",
    }
