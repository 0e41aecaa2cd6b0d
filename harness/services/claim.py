"""Empties the claim that the tasks share, so that a run on a kept cluster starts as one on a fresh cluster does.

Nothing outside of the cluster reaches the volume, so a pod does it. To delete the claim and make it again would cost
more: whoever provisions volumes starts pods of its own for either (local-path-provisioner), and the first task would
wait for them.
"""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.assets import package_path
from harness.kubeapi import JsonObject, KubeUnavailable
from harness.names import AIRFLOW_NAMESPACE, SHARED_CLAIM
from harness.podstate import fatal_reason
from harness.wait import Waiter

_SECONDS: Final = 60.0
_TEMPLATE: Final = "empty-claim.yaml.j2"
_APP: Final = "harness-empty-claim"


class Kube(Protocol):
    """What of `KubeApi` this needs."""

    def apply(self, manifests: list[dict[str, Any]], /) -> object:
        """See `KubeApi.apply`."""

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[JsonObject]:
        """See `KubeApi.list`."""

    def get(self, kind: str, name: str, namespace: str | None = None) -> JsonObject | None:
        """See `KubeApi.get`."""

    def pod_logs(self, pod: str, container: str | None = None, *, namespace: str) -> str:
        """See `KubeApi.pod_logs`."""

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """See `KubeApi.delete`."""


@dataclass(frozen=True, slots=True)
class ClaimEmptying:
    """One emptying, under way.

    Attributes:
        kube: The cluster.
        waiter: How patient to be.
        pod: Name of the pod that does it.
    """

    kube: Kube
    waiter: Waiter
    pod: str

    @classmethod
    def start(cls, kube: Kube, image: str, *, waiter: Waiter) -> ClaimEmptying:
        """Start it and return at once. No pod of a DAG may use the claim by now.

        Args:
            kube: The cluster.
            image: The worker's, or another one with `find`, that is in the node.
            waiter: How patient to be.

        Raises:
            EnvironmentFailed: The API server refused the pod.
        """
        # Of a run that was broken off meanwhile.
        for pod in kube.list("Pod", AIRFLOW_NAMESPACE, labels=f"app={_APP}"):
            kube.delete("Pod", str(pod["metadata"]["name"]), AIRFLOW_NAMESPACE)
        name = f"{_APP}-{random.token_hex(4)}"
        templates = Environment(  # noqa: S701 - YAML, not HTML; every string goes through `tojson`
            loader=FileSystemLoader(package_path("services", "manifests")), undefined=StrictUndefined
        )
        text = templates.get_template(_TEMPLATE).render(
            name=name, image=image, seconds=round(_SECONDS * waiter.patience)
        )
        kube.apply([yaml.safe_load(text)])
        return cls(kube, waiter, name)

    def finish(self) -> None:
        """Wait until the claim is empty, and remove the pod.

        Raises:
            WaitFailed: The pod failed, with its own words, or cannot come to run.
            WaitTimeout: It took too long.
        """

        def failed(pod: JsonObject) -> str | None:
            if (pod.get("status") or {}).get("phase") == "Failed":
                said = self.kube.pod_logs(self.pod, namespace=AIRFLOW_NAMESPACE).strip()
                return said.splitlines()[-1] if said else fatal_reason(pod) or "the pod failed without a word"
            return fatal_reason(pod, now=datetime.now(UTC)) if pod else "its pod is gone"

        try:
            self.waiter.until(
                f"the claim {SHARED_CLAIM} to be emptied",
                lambda: self.kube.get("Pod", self.pod, AIRFLOW_NAMESPACE) or {},
                ready=lambda pod: (pod.get("status") or {}).get("phase") == "Succeeded",
                failed=failed,
                describe=lambda pod: f"pod {self.pod} is {(pod.get('status') or {}).get('phase', 'not there')}",
                timeout=_SECONDS,
                transient=(KubeUnavailable,),
                next_step="remove the kept cluster with `harness down`, and run again",
            )
        finally:
            self.kube.delete("Pod", self.pod, AIRFLOW_NAMESPACE)
