"""An EKS cluster to attach to, without one: AWS by the look-alike, S3 by a real store, Kubernetes by its objects."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.eks_policies import document
from harness.eks_settings import EksSettings
from harness.journal import Journal
from harness.lookalike.cloud import Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.principals import Credentials
from harness.lookalike.witness import Backend
from harness.model import Engine, StandIn, Toolchain
from harness.settings import Settings, TargetKind, settings_alone
from harness.targets import Wanted
from harness.targets.eks.target import EksTarget
from harness.wait import Waiter
from tests.contract.eks.objects import RESOURCES, Objects
from tests.contract.kubeapi.conftest import ApiServer, server
from tests.contract.lookalike.conftest import (
    ACCOUNT,
    BUCKET,
    CLUSTER,
    REGION,
    admin,
    associated,
    boto,
    bucket,
    client,
    clock,
    cloud,
    enter,
    limited,
    store,
    tokens,
    url,
)  # fmt: skip
from tests.fakes import Call, FakeRunner
from tests.policies import actions_of

# Fixtures of others, in use here.
__all__ = [
    "admin",
    "associated",
    "boto",
    "bucket",
    "client",
    "clock",
    "cloud",
    "enter",
    "limited",
    "server",
    "store",
    "tokens",
    "url",
]

ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"
# All that a run asks of AWS by itself.
RUNNER: dict[str, Any] = document(
    "runner",
    {"partition": "aws", "account": ACCOUNT, "region": REGION, "cluster": CLUSTER, "bucket": BUCKET, "keys": ""},
)
ALLOWED = tuple(action for one in RUNNER["Statement"] for action in actions_of(one))


@pytest.fixture
def backend(store: Backend) -> Backend:
    return store


@pytest.fixture
def objects(server: ApiServer, cloud: Cloud) -> Objects:
    """What is in the cluster; the namespaces are ready for the harness."""
    theirs = yaml.safe_load(server.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(theirs["certificate-authority-data"]).decode()
    cloud.eks.add_cluster(
        Cluster(CLUSTER, server.url, authority, cloud.account.moment(), tags={"harness.allowed": "true"})
    )
    made = Objects()
    server.resources, server.otherwise = RESOURCES, made.handle
    for name in ("airflow", "harness"):
        made.put("Namespace", name, labels={"harness.owner": "airflow-dvc-harness"})
        made.put("ConfigMap", "kube-root-ca.crt", name)
        made.put("ServiceAccount", "default", name)
    made.put("ServiceAccount", "airflow-dvc-sa", "airflow")
    return made


@pytest.fixture
def runner_keys(limited: Callable[..., Credentials], bucket: str) -> Credentials:
    """Of whoever runs the harness: no action but those of the policy, on all clusters and buckets."""
    return limited(*ALLOWED)


class Docker(FakeRunner):
    """An engine that knows some images by name, with the digests that they were pushed under."""

    def __init__(self) -> None:
        super().__init__()
        self.pushed: dict[str, str] = {}

    def answer(self, call: Call) -> str:
        return self.pushed[call.argv[-1]]


class Site:
    """One machine, from which runs are started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.docker = Docker()
        self.told: list[str] = []
        self.targets: list[EksTarget] = []

    def settings(self, **changes: Any) -> Settings:
        eks = {"cluster": CLUSTER, "region": REGION, "accounts": (ACCOUNT,), "clusters": (ARN,), "consent": True,
               "bucket": BUCKET, **changes}  # fmt: skip
        return settings_alone(
            target=TargetKind.EKS, eks=EksSettings(**eks), state_dir=self.folder / "state",
            cache_dir=self.folder / "cache", evidence_dir=self.folder / "evidence",
        )  # fmt: skip

    def journal(self, run: str) -> Journal:
        return Journal(self.folder / "state" / "runs" / run / "journal.jsonl")

    def wanted(self, run: str, **changes: Any) -> Wanted:
        return Wanted(
            name="eks-mlops",
            run_id=run,
            settings=self.settings(**changes),
            engine=toolchain().engine,
            runner=self.docker,
            journal=self.journal(run),
            waiter=Waiter(),
            status=self.told.append,
        )

    def target(self, run: str = "run-1", **changes: Any) -> EksTarget:
        self.targets.append(EksTarget(self.wanted(run, **changes), toolchain()))
        return self.targets[-1]


def toolchain() -> Toolchain:
    return Toolchain(
        supply="packages",
        engine=Engine(docker=Path("docker"), host="", ours=False, version="1"),
        kind=Path("kind"),
        helm=Path("helm"),
        kubectl=Path("kubectl"),
        node_image="node:1",
        images={"worker": "airflow-dvc-worker:2.0.0", "localstack": "localstack/localstack:4.14.0"},
        image_digests={"worker": ("sha256:1",), "localstack": ("sha256:2",)},
        preloaded=frozenset(),
        stand_ins=(
            StandIn("LocalStack from packages", "docker.io/localstack/localstack:4.14.0", "none"),
            StandIn("git-sync stand-in", "registry.k8s.io/git-sync/git-sync:v4.4.2", "none"),
        ),
        kubernetes_version="v1.34.4",
    )


@pytest.fixture
def site(
    tmp_path: Path, objects: Objects, associated: str, enter: Callable[[Credentials], None], runner_keys: Credentials
) -> Iterator[Site]:
    enter(runner_keys)
    made = Site(tmp_path)
    yield made
    for target in made.targets:
        target.release()
