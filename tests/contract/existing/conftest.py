"""A cluster that is somebody's: its objects behind an API server over TLS, its users' rights, a node with images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.existing_settings import ExistingSettings
from harness.journal import Journal
from harness.model import Engine, StandIn, Toolchain
from harness.settings import Settings, TargetKind, settings_alone
from harness.targets import Wanted
from harness.targets.existing.target import ExistingTarget
from harness.wait import Waiter
from tests.contract.eks.objects import RESOURCES, Objects
from tests.contract.kubeapi.conftest import ApiServer, Handled, server
from tests.fakes import Call, FakeRunner

__all__ = ["server"]

CONTEXT = "kind-ours"
WORKER, STORE, VOLUMES = (f"sha256:{digit * 64}" for digit in "123")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_RESOURCES = {
    **RESOURCES,
    "/apis/authorization.k8s.io/v1": [("selfsubjectaccessreviews", "SelfSubjectAccessReview", False)],
    "/apis/storage.k8s.io/v1": [("storageclasses", "StorageClass", False)],
}


class Somebodys(Objects):
    """A cluster with a default storage class, whose one node gives pods the images that it has.

    Attributes:
        denied: What the caller may not: verb, plural name with its subresource, namespace; "*" for any.
        asked: What was asked of the caller's rights.
        images: What the node shows of an image, by name; of others the kubelet says that it cannot have them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.denied: set[tuple[str, str, str]] = set()
        self.asked: list[Mapping[str, str]] = []
        self.images = {
            "airflow-dvc-worker:2.0.0": f"docker.io/library/import@{WORKER}",
            "localstack/localstack:4.14.0": STORE,
        }
        self.classes = [
            {"metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
        ]

    def handle(self, asked: Handled) -> bool:
        if asked.path == REVIEWS:
            self._review(asked)
            return True
        if asked.path == "/apis/storage.k8s.io/v1/storageclasses":
            asked.reply(200, {"metadata": {"resourceVersion": "1"}, "items": self.classes})
            return True
        if asked.method == "POST" and asked.path == "/api/v1/namespaces":
            # As its controller does, a moment later.
            self.put("ServiceAccount", "default", asked.body["metadata"]["name"])
        if asked.method == "POST" and asked.path.endswith("/pods"):
            asked.body["status"] = {
                "containerStatuses": [self._status(one) for one in asked.body["spec"]["containers"]]
            }
        return super().handle(asked)

    def _review(self, asked: Handled) -> None:
        said = asked.body["spec"]["resourceAttributes"]
        self.asked.append(said)
        resource = "/".join(filter(None, (said["resource"], said.get("subresource"))))
        namespace = said.get("namespace", "")
        # Who lacks anything there may not everything.
        lacks = [one for one in self.denied if one[2] == namespace]
        wholly = said["verb"] == "*" and lacks
        allowed = not wholly and (said["verb"], resource, namespace) not in self.denied
        asked.reply(201, {**asked.body, "status": {"allowed": allowed}})

    def _status(self, container: Mapping[str, Any]) -> dict[str, Any]:
        image = self.images.get(container["image"])
        if image is None:
            waiting = {"reason": "ErrImagePull", "message": "pull access denied"}
            return {"name": container["name"], "imageID": "", "state": {"waiting": waiting}}
        return {"name": container["name"], "imageID": image, "state": {"terminated": {"exitCode": 0}}}


class Docker(FakeRunner):
    """An engine that knows what was pushed from it."""

    def answer(self, call: Call) -> str:
        name = call.argv[-1]
        return f'["{name.rpartition(":")[0]}@sha256:{"9" * 64}"]'


class Site:
    """One machine, from which runs are started."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        self.folder = folder
        self.server = server
        self.told: list[str] = []
        self.targets: list[ExistingTarget] = []

    def settings(self, **changes: Any) -> Settings:
        existing = {"context": CONTEXT, "kubeconfig": self.server.kubeconfig, "servers": (self.server.url,),
                    "consent": True, **changes}  # fmt: skip
        return settings_alone(
            target=TargetKind.EXISTING, existing=ExistingSettings(**existing), state_dir=self.folder / "state",
            cache_dir=self.folder / "cache", evidence_dir=self.folder / "evidence",
        )  # fmt: skip

    def journal(self, run: str = "run-1") -> Journal:
        return Journal(self.folder / "state" / "runs" / run / "journal.jsonl")

    def wanted(self, run: str = "run-1", **changes: Any) -> Wanted:
        return Wanted(
            name="existing-kind-ours",
            run_id=run,
            settings=self.settings(**changes),
            engine=toolchain().engine,
            runner=Docker(),
            journal=self.journal(run),
            waiter=Waiter(),
            status=self.told.append,
        )

    def target(self, run: str = "run-1", **changes: Any) -> ExistingTarget:
        self.targets.append(ExistingTarget(self.wanted(run, **changes), toolchain()))
        return self.targets[-1]


def toolchain() -> Toolchain:
    return Toolchain(
        supply="packages",
        engine=Engine(docker=Path("docker"), host="", ours=False, version="1"),
        kind=Path("kind"),
        helm=Path("helm"),
        kubectl=Path("kubectl"),
        node_image="node:1",
        images={
            "worker": "airflow-dvc-worker:2.0.0",
            "localstack": "localstack/localstack:4.14.0",
            "path-helper": "path-helper:1",
        },
        image_digests={"worker": (WORKER,), "localstack": (STORE,), "path-helper": (VOLUMES,)},
        preloaded=frozenset(),
        stand_ins=(StandIn("volumes", "path-helper:1", "none"),),
        kubernetes_version="v1.34.4",
    )


def edited(kubeconfig: Path, change: Any) -> None:
    """Change a kubeconfig in place."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    change(config)
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")


@pytest.fixture
def objects(server: ApiServer) -> Somebodys:
    """What is in the cluster: nothing of the harness's."""
    made = Somebodys()
    server.resources, server.otherwise = _RESOURCES, made.handle
    made.put("Namespace", "default")
    made.put("ServiceAccount", "default", "default")
    return made


@pytest.fixture
def site(tmp_path: Path, server: ApiServer, objects: Somebodys) -> Iterator[Site]:
    made = Site(tmp_path, server)
    yield made
    for target in made.targets:
        target.release()
