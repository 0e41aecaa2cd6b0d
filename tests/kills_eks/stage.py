"""Plays kills on a look-alike of EKS: a real run, killed at a moment, and what is there after a sweep."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from harness.kubeapi import KubeApi
from harness.names import AIRFLOW_NAMESPACE, SERVICES_NAMESPACE
from harness.settings import resolve
from harness.targets.attached.claim import KINDS
from tests.kills.driver import Driven, Ended, NotReached
from tests.kills.driver import verb as run_verb
from tests.kills.points import Point, Row
from tests.kills.traces import Difference, settled
from tests.lookalike.conftest import LookAlike

CHECKOUT = Path(__file__).parents[2]
_REACH_SECONDS = 300.0
_END_SECONDS = 120.0
# What goes in the background, as pods and their volumes do, goes by then.
_SETTLE_SECONDS = 30.0
# The runner may not list roles, and is told that it has not looked at them.
_NOT_SEEN = "left what harness eks create may have prepared: these cannot be seen: "
_NAMESPACES = (AIRFLOW_NAMESPACE, SERVICES_NAMESPACE)


@dataclass(slots=True)
class Stage:
    """Where runs are killed.

    Attributes:
        lookalike: That is up.
        kube: Its cluster, as the one who made it.
        administrator: Its account.
        folder: For what the tests need themselves.
        rows: What came of each kill.
    """

    lookalike: LookAlike
    kube: KubeApi
    administrator: boto3.Session
    folder: Path
    rows: list[Row] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """Of a run: this one's, which is in the look-alike's, and the checkout's code."""
        return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(CHECKOUT)}

    @property
    def bucket(self) -> str:
        """That runs write to."""
        return self.lookalike.plan.bucket

    def harness(self, *words: str, code: int = 0, **variables: str) -> str:
        """Run a verb to its end; what it said."""
        return run_verb(*words, cwd=self.folder, env={**self.env, **variables}, timeout=600, code=code)

    def elsewhere(self, *words: str) -> str:
        """The same on another machine: one that has no journal of any run."""
        folder = self.folder / f"elsewhere-{secrets.token_hex(3)}"
        return self.harness(*words, HARNESS_STATE_DIR=str(folder))

    def look(self) -> frozenset[str]:
        """What runs could leave: in the cluster, in the account, on this machine."""
        return frozenset([*self._cluster(), *self._account(), *self._machine()])

    def settled(self, before: frozenset[str]) -> Difference:
        """What differs, once it differs no less by waiting."""
        return settled(self.look, before, seconds=_SETTLE_SECONDS)

    def kill(self, point: Point) -> None:
        """Kill a run at a point, and sweep; fails where anything is left or gone."""
        before = self.look()
        try:
            ended = self.killed(point)
        except NotReached as error:
            self.harness("sweep")
            self.rows.append(Row(point.name, "SIGKILL", "NOT REACHED", None, 0.0))
            raise AssertionError(f"{point.name}: {error}") from error
        began = time.monotonic()
        said = self.harness("sweep")
        seconds = time.monotonic() - began
        found = self.settled(before)
        word = f"{len(found.left)} left, {len(found.gone)} gone" if found else "clean"
        self.rows.append(Row(point.name, "SIGKILL, sweep", word, ended.code, seconds))
        tail = "\n".join(ended.lines[-15:])
        assert not found, f"{point.name}:\n{found}\nthe sweep said:\n{said}\nthe run said last:\n{tail}"
        assert "nothing to sweep" in self.harness("sweep")
        elsewhere = self.elsewhere("sweep", "--target", "eks").splitlines()
        assert [line for line in elsewhere if not line.startswith(_NOT_SEEN)] == ["nothing to sweep"]

    def killed(self, point: Point) -> Ended:
        """Start a run, and kill it at a point."""
        with self.driven() as driven:
            driven.wait_for(*point.phases, timeout=_REACH_SECONDS)
            if point.after:
                threading.Event().wait(point.after)
            driven.signal(signal.SIGKILL, group=False)
            ended = driven.end(timeout=_END_SECONDS)
        assert ended.code == -signal.SIGKILL, "\n".join(ended.lines[-15:])
        return ended

    @contextlib.contextmanager
    def driven(self, *flags: str) -> Iterator[Driven]:
        """A run on the look-alike."""
        work = self.folder / f"run-{secrets.token_hex(3)}"
        work.mkdir()
        command = [sys.executable, "-m", "harness.cli", "run", "--target", "eks", "--keep", "never", *flags]
        env = {**self.env, "HARNESS_EVIDENCE_DIR": str(work / "evidence")}
        with Driven(command, cwd=work, env=env, log=work / "said.log") as driven:
            yield driven

    def claim(self) -> Mapping[str, Any] | None:
        """The claim on the namespaces, if somebody has them."""
        return self.kube.get("ConfigMap", "harness-claim", SERVICES_NAMESPACE)

    def let_its_time_pass(self) -> str:
        """Let the time of the run that has the cluster be over, there and in the bucket; which run."""
        when = "2026-01-01T00:00:00+00:00"
        claim = self.claim()
        assert claim is not None
        metadata = {"name": "harness-claim", "namespace": SERVICES_NAMESPACE}
        self.kube.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"expires": when}}])
        run = str(claim["data"]["run"])
        s3 = self.administrator.client("s3")
        key = f"claims/{run}.json"
        with s3.get_object(Bucket=self.bucket, Key=key)["Body"] as body:
            said = body.read().decode()
        s3.put_object(Bucket=self.bucket, Key=key, Body=said.replace(_expires(said), when).encode())
        s3.close()
        return run

    def _cluster(self) -> Iterator[str]:
        for namespace in _NAMESPACES:
            found = self.kube.get("Namespace", namespace) or {"metadata": {}}
            yield f"namespace {namespace} {sorted((found['metadata'].get('labels') or {}).items())}"
            for kind, version in KINDS:
                for one in self.kube.list(kind, namespace, api_version=version):
                    yield f"{kind} {namespace}/{one['metadata']['name']}"
        for kind in ("Namespace", "MutatingWebhookConfiguration", "ClusterRole", "ClusterRoleBinding", "StorageClass"):
            yield from (f"{kind} {one['metadata']['name']}" for one in self.kube.list(kind))
        yield from (f"volume {one['metadata']['name']}" for one in self.kube.list("PersistentVolume"))

    def _account(self) -> Iterator[str]:
        s3, iam, eks = (self.administrator.client(name) for name in ("s3", "iam", "eks"))
        listed = s3.list_object_versions(Bucket=self.bucket)
        for one in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            yield f"s3 {one['Key']} {one['VersionId']}"
        yield from (f"upload {one['Key']}" for one in s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))
        yield from (f"role {one['Arn']}" for one in iam.list_roles()["Roles"])
        cluster = self.lookalike.plan.cluster
        for one in eks.list_pod_identity_associations(clusterName=cluster)["associations"]:
            yield f"association {one['associationArn']}"
        for client in (s3, iam, eks):
            client.close()

    def _machine(self) -> Iterator[str]:
        state = resolve().state_dir
        for name in ("clusters", "runs"):
            yield from (f"folder {path}" for path in (state / name).glob("*"))


def _expires(said: str) -> str:
    return said.partition('"expires": "')[2].partition('"')[0]
