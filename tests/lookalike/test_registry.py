"""Images from ECR: the node pulls them by itself, without a pull secret, and only those that are there."""

from __future__ import annotations

import secrets
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from harness.journal import Journal
from harness.kubeapi import KubeApi
from harness.lookalike.calls import read_calls
from harness.model import Engine
from harness.podstate import OVER, fatal_reason
from harness.process import SubprocessRunner
from harness.settings import resolve
from harness.supply.engine import EngineFolders, EngineSupply
from harness.targets.eks.aws import client
from harness.targets.eks.ecr import repository_of
from harness.targets.eks.pushing import Login, Pusher
from harness.versions import versions
from harness.wait import Waiter

from .conftest import LookAlike

REPOSITORY = repository_of("airflow-dvc-harness", versions().images["adapter"])


@pytest.fixture(scope="module")
def engine(lookalike: LookAlike) -> Iterator[Engine]:
    """That of the cluster's node."""
    settings = resolve()
    folders = EngineFolders.below(settings.state_dir, settings.cache_dir)
    supply = EngineSupply(folders=folders, runner=SubprocessRunner(), waiter=Waiter())
    yield supply.acquire()
    supply.release(keep=True)


@pytest.fixture(scope="module")
def pushed(engine: Engine, runner: boto3.Session, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that no node has, of one file and no program; its name in ECR."""
    commands, folder = SubprocessRunner(), tmp_path_factory.mktemp("image")
    made = f"harness-test/{secrets.token_hex(4)}:1"
    (folder / "content").write_text(made)
    with tarfile.open(folder / "root.tar", "w") as archive:
        archive.add(folder / "content", "content")
    commands.run([engine.docker, "import", folder / "root.tar", made], env=engine.env, timeout=60)
    ecr = client(runner, "ecr")
    try:
        with Login(ecr, folder) as login:
            name = f"{login.host}/{REPOSITORY}:{secrets.token_hex(4)}"
            Pusher(engine, commands, login, Journal(folder / "journal"), list[str]().append).push(made, name)
    finally:
        ecr.close()
        commands.run([engine.docker, "image", "rm", made], env=engine.env, timeout=60)
    return name


def _pod(kube: KubeApi, image: str) -> dict[str, Any]:
    name = f"pulled-{secrets.token_hex(4)}"
    container = {"name": "program", "image": image, "command": ["/none"], "imagePullPolicy": "Always"}
    spec = {"restartPolicy": "Never", "containers": [container], "automountServiceAccountToken": False}
    kube.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "airflow"}, "spec": spec}])
    return Waiter().until(
        f"pod {name}",
        lambda: kube.get("Pod", name, "airflow") or {},
        ready=lambda pod: (
            (pod.get("status") or {}).get("phase") in OVER
            or (bool(pod) and fatal_reason(pod, now=datetime.now(UTC)) is not None)
        ),
        describe=lambda pod: str(pod.get("status")),
        timeout=60,
    )


def test_the_node_pulls_from_ecr_without_a_pull_secret(pushed: str, kube: KubeApi, lookalike: LookAlike) -> None:
    pod = _pod(kube, pushed)  # there is no program in it: pulled, and not started
    assert "imagePullSecrets" not in pod["spec"]
    (status,) = pod["status"]["containerStatuses"]
    assert status["imageID"].startswith(f"{pushed.rpartition(':')[0]}@sha256:"), status
    pulls = [
        call
        for call in read_calls(lookalike.files.calls)
        if call.operation == "BatchGetImage" and call.service == "ecr"
    ]
    assert any(call.principal.endswith("user/node") and call.outcome == "allowed" for call in pulls)


def test_a_pod_of_an_image_that_ecr_lacks_does_not_start_and_says_why(pushed: str, kube: KubeApi) -> None:
    pod = _pod(kube, f"{pushed.partition('/')[0]}/nobodys:1")
    assert "nobodys" in str(fatal_reason(pod, now=datetime.now(UTC)))


def test_the_login_of_the_node_is_in_no_pod(kube: KubeApi, lookalike: LookAlike) -> None:
    login = Path(lookalike.files.path / "registry" / "login.json")
    assert login.stat().st_mode & 0o777 == 0o600
    mounts = [
        volume["hostPath"]["path"]
        for pod in kube.list("Pod")
        for volume in pod["spec"].get("volumes", ())
        if "hostPath" in volume
    ]
    assert not [path for path in mounts if path.startswith("/kind/lookalike/registry")]
