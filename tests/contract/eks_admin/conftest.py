"""An account and a cluster to prepare: AWS by the look-alike, S3 by a real store, Kubernetes by its objects."""

from __future__ import annotations

import base64
import io
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from harness.eks_admin import verbs
from harness.eks_admin.making import Wanted
from harness.eks_admin.plan import Asked
from harness.eks_policies import PolicyName, document
from harness.eks_settings import EksSettings
from harness.errors import ExitCode
from harness.journal import Journal
from harness.lookalike import injector
from harness.lookalike.cloud import Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.principals import Credentials
from harness.lookalike.witness import Backend
from harness.settings import Settings, TargetKind, settings_alone
from harness.targets.eks import attach
from harness.targets.eks.attach import EksCluster
from tests.contract.eks.objects import RESOURCES, Objects
from tests.contract.kubeapi.conftest import ApiServer, Handled, server
from tests.contract.lookalike.conftest import (
    ACCOUNT,
    CLUSTER,
    REGION,
    Client,
    admin,
    boto,
    client,
    clock,
    cloud,
    enter,
    limited,
    store,
    url,
)

# Fixtures of others, in use here.
__all__ = ["admin", "boto", "client", "clock", "cloud", "enter", "limited", "server", "store", "url"]

ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"
# Of the prices.
TODAY = date(2026, 11, 21)
ISSUER = f"oidc.eks.{REGION}.amazonaws.com/id/0123456789ABCDEF"


@pytest.fixture
def backend(store: Backend) -> Backend:
    return store


@dataclass
class Admitting(Objects):
    """Objects that can be applied, each field manager's labels and annotations apart; pods that are admitted and run.

    Attributes:
        applied: What each manager has applied, by object and manager.
        associated: Whether a service account has an association.
        said: What a pod's log is.
        runs: Whether pods come to run.
    """

    applied: dict[tuple[str, str, str, str], dict[str, dict[str, str]]] = field(default_factory=dict)
    associated: Callable[[str, str], bool] = lambda _namespace, _account: False
    said: Callable[[], str] = lambda: ""
    runs: bool = True

    def handle(self, asked: Handled) -> bool:
        if asked.path.endswith("/log"):
            raw = self.said().encode()
            asked.handler.send_response(200)
            asked.handler.send_header("Content-Length", str(len(raw)))
            asked.handler.end_headers()
            asked.handler.wfile.write(raw)
            return True
        return super().handle(asked)

    def _answer(self, asked: Handled, kind: str, namespace: str, name: str) -> None:
        if asked.method == "PATCH":
            self._apply(asked, (kind, namespace, name))
        elif asked.method == "POST" and kind == "Pod":
            self._admit(asked, namespace)
        else:
            super()._answer(asked, kind, namespace, name)

    def _apply(self, asked: Handled, key: tuple[str, str, str]) -> None:
        found = self.found.setdefault(key, {"kind": key[0], "metadata": {"name": key[2]}})
        manager = asked.query["fieldManager"][0]
        before = self.applied.get((*key, manager), {})
        now = {part: dict(asked.body["metadata"].get(part) or {}) for part in ("labels", "annotations")}
        for part, values in now.items():
            there = found["metadata"].setdefault(part, {})
            for name in before.get(part, {}).keys() - values.keys():
                there.pop(name, None)
            there |= values
        self.applied[*key, manager] = now
        asked.reply(200, found)

    def _admit(self, asked: Handled, namespace: str) -> None:
        pod = asked.body
        answer = injector.review(
            {"uid": "1", "operation": "CREATE", "kind": {"kind": "Pod"}, "namespace": namespace, "object": pod},
            region=REGION,
            associated=self.associated,
        )
        added = json.loads(base64.b64decode(answer["patch"])) if "patch" in answer else []
        for operation in added:
            if operation["path"].startswith("/spec/containers/0/env"):
                value = operation["value"]
                pod["spec"]["containers"][0].setdefault("env", []).extend(value if isinstance(value, list) else [value])
        if "dryRun" not in asked.query:
            pod["metadata"]["name"] = pod["metadata"]["generateName"] + secrets.token_hex(2)
            waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
            refused = {"phase": "Pending", "containerStatuses": [{"name": "probe", "state": waiting}]}
            pod["status"] = {"phase": "Succeeded"} if self.runs else refused
            self.found["Pod", namespace, pod["metadata"]["name"]] = pod
        asked.reply(201, pod)


@pytest.fixture
def objects(server: ApiServer, cloud: Cloud) -> Admitting:
    """What is in the cluster: nothing."""
    theirs = yaml.safe_load(server.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(theirs["certificate-authority-data"]).decode()
    cloud.eks.add_cluster(
        Cluster(
            CLUSTER, server.url, authority, cloud.account.moment(), tags={"harness.allowed": "true"},
            issuer=f"https://{ISSUER}",
        )
    )  # fmt: skip
    made = Admitting()
    made.associated = lambda namespace, account: cloud.eks.associations.find(CLUSTER, namespace, account) is not None
    server.resources, server.otherwise = RESOURCES, made.handle
    return made


@pytest.fixture
def plug_in() -> None:
    """Asked for by tests in which the cluster's client gets its token from the plug-in, a process of its own."""


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have a token that stands in the file."""

    def write(_cluster: EksCluster, path: Path, *, profile: str | None) -> str:
        path.write_text(server.kubeconfig.read_text())
        return "kind-ours"

    if "plug_in" not in request.fixturenames:
        monkeypatch.setattr(attach, "write_kubeconfig", write)


@dataclass
class Home:
    """Who prepares, from one machine.

    Attributes:
        folder: Of that machine's state.
        bucket: Of the environment.
        told: What the last command said.
    """

    folder: Path
    bucket: str
    told: str = ""

    def settings(self, **changes: Any) -> Settings:
        eks = {"cluster": CLUSTER, "region": REGION, "accounts": (ACCOUNT,), "clusters": (ARN,), "consent": True,
               "bucket": self.bucket, **changes}  # fmt: skip
        return settings_alone(
            target=TargetKind.EKS, eks=EksSettings(**eks), state_dir=self.folder / "state",
            cache_dir=self.folder / "cache", evidence_dir=self.folder / "evidence",
        )  # fmt: skip

    def create(
        self, *, probe_image: str | None = None, settings: Settings | None = None, make_cluster: bool = False,
        config: Path | None = None, hours: float = 4, today: date = TODAY, **asked: Any,
    ) -> ExitCode:  # fmt: skip
        cluster = Wanted(hours, today, config) if make_cluster else None
        options: dict[str, Any] = {"probe_image": probe_image, "cluster": cluster}
        return self._do(lambda c: verbs.create(settings or self.settings(), Asked(**asked), c, **options))

    def delete(self, *, settings: Settings | None = None, **asked: Any) -> ExitCode:
        return self._do(lambda c: verbs.delete(settings or self.settings(), Asked(**asked), c))

    def status(self, *, as_json: bool = False, settings: Settings | None = None, **asked: Any) -> ExitCode:
        return self._do(lambda c: verbs.status(settings or self.settings(), Asked(**asked), c, as_json=as_json))

    def states(self, **asked: Any) -> dict[str, str]:
        """By what it is: whose."""
        self.status(as_json=True, **asked)
        return {one["what"]: one["state"] for one in json.loads(self.told)}

    def journal(self, environment: str = CLUSTER) -> Journal:
        return Journal(self.folder / "state" / "eks" / ACCOUNT / REGION / environment / "journal.jsonl")

    def _do(self, verb: Callable[[Console], ExitCode]) -> ExitCode:
        out = io.StringIO()
        try:
            return verb(Console(file=out, width=200))
        finally:
            self.told = out.getvalue()


def policies(*names: PolicyName, bucket: str, role: str = "Airflow-DVCS3Role", keys: str = "") -> dict[str, Any]:
    """Some of the documented policies as one."""
    values = {
        "partition": "aws", "account": ACCOUNT, "region": REGION, "cluster": CLUSTER, "bucket": bucket, "role": role,
        "keys": keys, "issuer": ISSUER, "repositories": "airflow-dvc-harness",
    }  # fmt: skip
    documents = [document(name, values) for name in names]
    return {**documents[0], "Statement": [one for each in documents for one in each["Statement"]]}


@pytest.fixture
def home(tmp_path: Path, objects: Admitting, client: Client) -> Iterator[Home]:
    made = Home(tmp_path, f"dvc-{secrets.token_hex(6)}")
    yield made
    s3 = client("s3")
    for name in (one["Name"] for one in s3.list_buckets()["Buckets"] if one["Name"].startswith(made.bucket)):
        listed = s3.list_object_versions(Bucket=name)
        for one in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
        s3.delete_bucket(Bucket=name)


@pytest.fixture
def preparer(home: Home, cloud: Cloud, enter: Callable[[Credentials], None]) -> Home:
    """With no more than what the documentation says that it takes."""
    enter(cloud.user("preparer", policies("prepare", bucket=home.bucket)))
    return home
