"""What a user's environment points at is a trap here, with everything needed to fall into it: nothing may go near.

The traps are listeners on this machine's loopback and programs that leave a mark. Each is first shown to catch whoever
goes by the environment, else it would prove nothing.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import kubernetes
import pytest
import urllib3
from pydantic import SecretStr

from harness import process
from harness.airflow.chart import helm_environment
from harness.errors import CommandFailed, EnvironmentFailed, GuardError
from harness.gitaccess import GitAccess
from harness.kubeapi import KubeApi, KubeUnavailable
from harness.model import Engine, S3Service, Toolchain
from harness.process import SubprocessRunner
from harness.services import s3
from harness.supply import client
from harness.targets.kind_cluster import RunnerKindCluster
from tests.servers import listening

_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: production
clusters: [{{name: production, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: production, user: {{token: trap}}}}]
contexts: [{{name: production, context: {{cluster: production, user: production}}}}]
"""
_AWS = """
[profile production]
region = eu-north-1
endpoint_url = http://127.0.0.1:{port}
credential_process = {program}
"""


@dataclass
class Trap:
    """A listener that counts who comes, and a program that is marked when it runs."""

    folder: Path
    port: int = 0
    _came: list[int] = field(default_factory=list)

    @property
    def sprung(self) -> bool:
        return bool(self._came) or (self.folder / "ran").exists()

    def reset(self) -> None:
        self._came.clear()
        (self.folder / "ran").unlink(missing_ok=True)

    def came(self, peer: socket.socket) -> None:
        self._came.append(1)
        peer.close()


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    """The environment of somebody whose every default is production."""
    made = Trap(tmp_path)
    with listening(made.came) as made.port:
        kubeconfig, aws, program = tmp_path / "kubeconfig", tmp_path / "aws", tmp_path / "credentials"
        kubeconfig.write_text(_KUBECONFIG.format(port=made.port))
        program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        program.chmod(0o755)
        aws.write_text(_AWS.format(port=made.port, program=program))
        home = tmp_path / "home"
        (home / ".kube").mkdir(parents=True)
        (home / ".kube/config").write_text(kubeconfig.read_text())
        for name, value in {
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "AWS_PROFILE": "production",
            "AWS_CONFIG_FILE": str(aws),
            "DOCKER_HOST": f"tcp://192.0.2.9:{made.port}",
        }.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DOCKER_CONTEXT", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        yield made


def ours(folder: Path) -> Path:
    """A kubeconfig of ours, to a port that nobody listens at."""
    path = folder / "ours"
    path.write_text(_KUBECONFIG.format(port=9).replace("production", "kind-ours"))
    return path


def store(backend: str) -> S3Service:
    # A port that nobody listens at.
    return S3Service(None, "http://127.0.0.1:9", "bucket", "us-east-1", "test", SecretStr("test-test"), backend)


def test_the_traps_catch_whoever_goes_by_the_environment(trap: Trap) -> None:
    ambient: Any = kubernetes.config.new_client_from_config  # carries no types
    with pytest.raises((urllib3.exceptions.HTTPError, kubernetes.client.ApiException)):
        kubernetes.client.VersionApi(ambient()).get_code()
    assert trap.sprung
    trap.reset()

    with pytest.raises(botocore.exceptions.CredentialRetrievalError):
        boto3.Session().client("s3").list_buckets()
    assert (trap.folder / "ran").exists()


def test_the_cluster_is_asked_by_its_own_file_and_context_only(trap: Trap) -> None:
    with KubeApi(ours(trap.folder), "kind-ours", timeout=1.0) as api, pytest.raises(KubeUnavailable):
        api.version()
    with pytest.raises(EnvironmentFailed):
        KubeApi(trap.folder / "none", "production")

    assert not trap.sprung


@pytest.mark.parametrize("backend", ["LocalStack 4.14.0", "ministack 1.5.33"])
def test_the_store_is_asked_at_its_own_address_with_its_own_keys(trap: Trap, backend: str) -> None:
    with pytest.raises(botocore.exceptions.EndpointConnectionError) as caught:
        s3.connect(store(backend)).list_buckets()

    assert "127.0.0.1:9" in str(caught.value)
    assert not trap.sprung


@pytest.mark.parametrize("backend", ["LocalStack 4.14.0", "ministack 1.5.33"])
def test_a_profile_that_is_not_there_is_nothing_to_the_store_of_a_run(
    trap: Trap, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        s3.connect(store(backend)).list_buckets()
    assert not trap.sprung


def test_an_endpoint_of_the_environment_is_refused_where_a_library_would_prefer_it(
    trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{trap.port}")

    with pytest.raises(GuardError, match="unset AWS_ENDPOINT_URL"):
        s3.connect(store("LocalStack 4.14.0"))
    assert not trap.sprung


def docker_that_says(folder: Path, said: str) -> Path:
    """A client whose context is as given, and which marks when it is asked for anything else."""
    program = folder / "docker"
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = context ]; then echo "{said}"; exit; fi\ntouch {folder}/ran\necho 20.10\n'
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("said", ["${DOCKER_HOST}", "ssh://root@production.invalid", "tcp://192.0.2.9:2376"])
def test_an_engine_on_another_machine_is_asked_nothing(trap: Trap, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    program = docker_that_says(trap.folder, said)
    monkeypatch.setattr(client, "program_path", lambda: str(program.parent))

    with pytest.raises(GuardError, match="on another machine"):
        client.ask(SubprocessRunner(), "", ours=False)
    assert not trap.sprung


@pytest.mark.parametrize("said", ["unix:///var/run/docker.sock", "", "tcp://127.0.0.1:2375"])
def test_an_engine_of_this_machine_is_asked(trap: Trap, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    program = docker_that_says(trap.folder, said)
    monkeypatch.setattr(client, "program_path", lambda: str(program.parent))

    assert client.ask(SubprocessRunner(), "", ours=False).engine is not None


def test_the_programs_get_our_kubeconfig_and_our_engine_whatever_the_environment_says(trap: Trap) -> None:
    """What kind and kubectl are started with, as a program sees it."""
    program = trap.folder / "program"
    program.write_text(f'#!{sys.executable}\nimport os\nprint(os.environ["KUBECONFIG"], os.environ["DOCKER_HOST"])\n')
    program.chmod(0o755)
    toolchain = Toolchain(
        supply="packages",
        engine=Engine(docker=program, host="unix:///ours.sock", ours=True, version="1"),
        kind=program,
        helm=program,
        kubectl=program,
        node_image="node:1",
        images={},
        image_digests={},
        preloaded=frozenset(),
        stand_ins=(),
        kubernetes_version="v1.34.4",
    )
    folder = trap.folder / "cluster"
    folder.mkdir()

    cluster = RunnerKindCluster(name="h-1", folder=folder, toolchain=toolchain, runner=SubprocessRunner())

    assert cluster.kubectl("version").split() == [str(folder / "kubeconfig"), "unix:///ours.sock"]


@pytest.fixture
def helm_is_production(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable by which Helm is led to a cluster, a user of it, or a place where releases are kept."""
    for name, value in {
        "HELM_DRIVER": "sql",
        "HELM_DRIVER_SQL_CONNECTION_STRING": f"postgresql://u:p@127.0.0.1:{trap.port}/helm?sslmode=disable",
        "HELM_KUBEAPISERVER": f"http://127.0.0.1:{trap.port}",
        "HELM_KUBEASGROUPS": "production",
        "HELM_KUBEASUSER": "production",
        "HELM_KUBECAFILE": "/production",
        "HELM_KUBECONTEXT": "production",
        "HELM_KUBEINSECURE_SKIP_TLS_VERIFY": "true",
        "HELM_KUBETLS_SERVER_NAME": "production",
        "HELM_KUBETOKEN": "production",
        "HELM_NAMESPACE": "production",
    }.items():
        monkeypatch.setenv(name, value)


def helm_status(program: Path, folder: Path, env: Mapping[str, str]) -> None:
    """Ask for a release of ours, which is not there to answer."""
    of_ours: list[str | Path] = ["--kubeconfig", ours(folder), "--kube-context", "kind-ours", "--namespace", "airflow"]
    with pytest.raises(CommandFailed):
        SubprocessRunner().run([program, "status", "airflow", *of_ours], env=env)


@pytest.mark.usefixtures("helm_is_production")
def test_helm_keeps_releases_in_our_cluster_and_nowhere_else(trap: Trap, helm_program: Path) -> None:
    helm_status(helm_program, trap.folder, {})
    assert trap.sprung
    trap.reset()

    helm_status(helm_program, trap.folder, helm_environment(trap.folder / "helm"))
    assert not trap.sprung


@pytest.mark.usefixtures("helm_is_production")
def test_helm_takes_no_setting_of_a_cluster_from_the_environment(trap: Trap, helm_program: Path) -> None:
    said = SubprocessRunner().run([helm_program, "env"], env=helm_environment(trap.folder / "helm")).stdout
    settings = dict(line.split("=", 1) for line in said.splitlines())
    cluster = {name: value for name, value in settings.items() if name.startswith(("HELM_KUBE", "HELM_NAMESPACE"))}
    assert set(cluster.values()) == {'""', '"false"', '"default"'}


@pytest.fixture
def proxy(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """A proxy for everything, as on many an office network, and nothing that is exempt from it."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{trap.port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return trap


def ask_git(port: int, scheme: str = "http") -> None:
    access = GitAccess(f"{scheme}://127.0.0.1:{port}/x.git", "bot", SecretStr("test-test"))
    with pytest.raises(CommandFailed):
        SubprocessRunner().run(["git", "ls-remote", access.url], env=access.env)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_proxy_is_asked_for_the_git_server_of_a_run(
    proxy: Trap, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    ask_git(9, scheme)
    assert not proxy.sprung

    with monkeypatch.context() as outside:
        outside.setattr(process, "_LOOPBACK", "")
        ask_git(9, scheme)
    assert proxy.sprung


@pytest.mark.parametrize("backend", ["LocalStack 4.14.0", "ministack 1.5.33"])
def test_no_proxy_is_asked_for_the_store_of_a_run(proxy: Trap, backend: str) -> None:
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        s3.connect(store(backend)).list_buckets()
    assert not proxy.sprung


def test_the_proxy_is_asked_for_a_store_elsewhere(proxy: Trap) -> None:
    with pytest.raises(botocore.exceptions.ProxyConnectionError):
        s3.connect(replace(store("ministack 1.5.33"), outside="http://s3.invalid")).list_buckets()
    assert proxy.sprung


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize(
    ("exempt", "then"),
    [
        ({}, ("127.0.0.1,localhost", "127.0.0.1,localhost")),
        ({"NO_PROXY": "a.example"}, ("127.0.0.1,localhost,a.example", "127.0.0.1,localhost,a.example")),
        ({"NO_PROXY": "a.example", "no_proxy": "b"}, ("127.0.0.1,localhost,a.example", "127.0.0.1,localhost,b")),
        ({"no_proxy": "*"}, ("*", "*")),
    ],
)
def test_what_is_exempt_from_the_proxy_stays_so(
    monkeypatch: pytest.MonkeyPatch, exempt: Mapping[str, str], then: tuple[str, str]
) -> None:
    for name, value in exempt.items():
        monkeypatch.setenv(name, value)
    said = SubprocessRunner().run(["sh", "-c", 'echo "$NO_PROXY $no_proxy"']).stdout.split()
    assert tuple(said) == then


def test_without_a_proxy_nothing_is_exempt_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert SubprocessRunner().run(["sh", "-c", 'echo "$NO_PROXY$no_proxy"']).stdout == "\n"
