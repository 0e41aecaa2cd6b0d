"""The services of a cluster that is up, and real pods on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.environment import Environment
from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.model import ImageName, PodEvidence
from harness.names import AIRFLOW_NAMESPACE, GIT_HOST
from harness.pipeline.pods import PodFollower
from harness.podstate import OVER
from harness.redaction import Redactor
from harness.services import s3
from harness.services.git import GitClient
from harness.wait import Waiter

from .site import Site

_MANIFESTS = Path(__file__).parent / "pods"
_LABEL = "harness.mutations=on"
_SECONDS = 60.0


@contextmanager
def cluster_site(environment: Environment, program: Path) -> Iterator[Site]:
    """The services of an environment that is up, for that dvc program; what rows leave there is removed, pods too."""
    ready = environment.ready
    if ready is None:
        raise EnvironmentFailed("the environment is not up")
    workspace = environment.scratch / "mutations"
    workspace.mkdir()
    pods = ClusterPods(ready.kube, ready.toolchain.images, environment.waiter, environment.redactor)
    site = Site(
        git=ready.services.git,
        s3=ready.services.s3,
        client=s3.connect(ready.services.s3),
        admin=GitClient(ready.services.git),
        program=program,
        runner=environment.runner,
        redactor=environment.redactor,
        workspace=workspace,
        image_id=ready.toolchain.image_digests["worker"][-1],
        image_ids=frozenset(ready.toolchain.image_digests["worker"]),
        pods=pods,
    )
    pods.remove_all()
    try:
        with site.tidied():
            yield site
    finally:
        pods.remove_all()


@dataclass(frozen=True)
class ClusterPods:
    """Makes pods and follows them as the harness follows those of a run.

    Attributes:
        kube: The cluster.
        images: References by name in the toolchain.
        waiter: How patient to be.
        redactor: Of the pods' logs.
    """

    kube: KubeApi
    images: Mapping[ImageName, str]
    waiter: Waiter
    redactor: Redactor

    def executor(self, task: str, *, repository: str, ref: str) -> PodEvidence:
        """See `Pods.executor`."""
        manifest = _manifest("executor", task)
        (sync,), (base,) = manifest["spec"]["initContainers"], manifest["spec"]["containers"]
        sync["image"], base["image"] = self.images["git-sync"], self.images["airflow"]
        sync["env"] += [
            {"name": "GITSYNC_REPO", "value": f"https://{GIT_HOST}/{repository}"},
            {"name": "GITSYNC_REF", "value": ref},
        ]
        return self._run(manifest)

    def task(self, task: str, *, image: ImageName) -> PodEvidence:
        """See `Pods.task`."""
        manifest = _manifest("task", task)
        manifest["spec"]["containers"][0]["image"] = self.images[image]
        return self._run(manifest)

    def remove_all(self) -> None:
        """Remove what this or a killed session has left."""
        for pod in self.kube.list("Pod", AIRFLOW_NAMESPACE, labels=_LABEL):
            self.kube.delete("Pod", str(pod["metadata"]["name"]), AIRFLOW_NAMESPACE)

    def _run(self, manifest: Mapping[str, Any]) -> PodEvidence:
        name, run_id = str(manifest["metadata"]["name"]), str(manifest["metadata"]["labels"]["run_id"])
        with PodFollower(self.kube, AIRFLOW_NAMESPACE, run_id, redactor=self.redactor) as follower:
            self.kube.apply([manifest])

            def seen() -> PodEvidence | None:
                follower.check()
                return follower.evidence().get(name)

            self.waiter.until(
                f"pod {name} to end",
                seen,
                ready=lambda pod: pod is not None and pod.phase in OVER,
                failed=lambda _pod: follower.fatal().get(name) or follower.doomed().get(name),
                describe=lambda pod: pod.phase if pod else "not seen yet",
                timeout=_SECONDS,
                interval=0.2,
            )
            # Its log, in which git-sync says what it has checked out, may still be coming.
            follower.settle(self.waiter)
            evidence = follower.evidence()[name]
            self.kube.delete("Pod", name, AIRFLOW_NAMESPACE)
        if evidence.phase != "Succeeded":
            raise EnvironmentFailed(f"pod {name} ended as {evidence.phase}")
        return evidence


def _manifest(kind: str, task: str) -> dict[str, Any]:
    """A pod with a name and a run of its own."""
    manifest: dict[str, Any] = yaml.safe_load((_MANIFESTS / f"{kind}.yaml").read_text(encoding="utf-8"))
    token = secrets.token_hex(4)
    manifest["metadata"]["name"] = f"mutation-{kind}-{token}"
    manifest["metadata"]["labels"] |= {"run_id": f"mutation-{token}", "task_id": task}
    manifest["metadata"]["annotations"]["task_id"] = task
    return manifest
