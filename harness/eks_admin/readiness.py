"""Prepared means proven: a pod of the service account is who it should be in AWS.

An association takes "several seconds" to count, and a pod that was made before has nothing for good: so each try is a
pod of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.eks_admin import identity_probe
from harness.eks_settings import Identity
from harness.errors import EnvironmentFailed, WaitTimeout
from harness.kubeapi import KubeApi, KubeUnavailable
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT
from harness.podstate import OVER, fatal_reason
from harness.targets.eks.aws import led_to
from harness.wait import Waiter

# What the webhooks of Pod Identity and of IRSA add to a pod.
_ADDED: Final[Mapping[Identity, str]] = {
    Identity.POD_IDENTITY: "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    Identity.IRSA: "AWS_ROLE_ARN",
}
_SECONDS: Final = 90.0
_POD_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Asks a cluster.

    Attributes:
        kube: The cluster.
        identity: How pods get the role.
        role: Name of the role.
        waiter: How patient to be.
    """

    kube: KubeApi
    identity: Identity
    role: str
    waiter: Waiter

    def wait_injected(self) -> None:
        """Wait until pods of the service account are told where their keys are; makes no pod.

        Raises:
            WaitTimeout: They are not.
            KubeApiError: The caller may not make pods there.
        """
        self.waiter.until(
            f"pods of {AIRFLOW_NAMESPACE}/{DVC_SERVICE_ACCOUNT} to be told where their keys are",
            self._injected,
            ready=bool,
            describe=lambda added: "told" if added else f"no {_ADDED[self.identity]}",
            timeout=_SECONDS,
            interval=2.0,
            transient=(KubeUnavailable,),
            next_step="see the add-on eks-pod-identity-agent, and its webhook"
            if self.identity is Identity.POD_IDENTITY
            else "see the annotation of the service account",
        )

    def wait_identity(self, image: str) -> str:
        """Wait until a pod of the service account is a session of the role; its ARN.

        Args:
            image: Has python3 with botocore.

        Raises:
            EnvironmentFailed: It is somebody else, or nobody, or the pod does not come to run.
        """
        wanted = f":assumed-role/{self.role}/"
        try:
            said = self.waiter.until(
                f"a pod to be a session of {self.role}",
                lambda: self._ask(image),
                ready=lambda found: wanted in found.get("arn", ""),
                describe=lambda found: next(iter(found.values()), "it said nothing"),
                timeout=_SECONDS,
                interval=3.0,
                transient=(KubeUnavailable,),
            )
        except WaitTimeout as error:
            raise EnvironmentFailed(
                f"a pod of {AIRFLOW_NAMESPACE}/{DVC_SERVICE_ACCOUNT} is not a session of the role {self.role}",
                evidence={"it said": error.last_state},
                next_step="harness eks status; then the trust of the role, and the log of the agent on the node",
            ) from error
        return said["arn"]

    def _injected(self) -> bool:
        made = self.kube.create(_pod("none"), dry_run=True)["spec"]["containers"][0]
        return any(one["name"] == _ADDED[self.identity] for one in made.get("env") or [])

    def _ask(self, image: str) -> dict[str, str]:
        name = str(self.kube.create(_pod(image))["metadata"]["name"])
        try:
            self.waiter.until(
                f"the pod {name}",
                lambda: self.kube.get("Pod", name, AIRFLOW_NAMESPACE) or {},
                ready=lambda pod: (pod.get("status") or {}).get("phase") in OVER,
                failed=lambda pod: fatal_reason(pod, now=datetime.now(UTC)) if pod else "somebody has removed it",
                describe=lambda pod: str((pod.get("status") or {}).get("phase")),
                timeout=_POD_SECONDS,
                transient=(KubeUnavailable,),
                next_step="--probe-image names an image with python3 and botocore that the nodes can have",
            )
            return _read(self.kube.pod_logs(name, "probe", namespace=AIRFLOW_NAMESPACE))
        finally:
            self.kube.delete("Pod", name, AIRFLOW_NAMESPACE)


def _read(log: str) -> dict[str, str]:
    line = log.strip().rpartition("\n")[2]
    try:
        found: Any = json.loads(line)
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError):
        return {"error": log.strip()[-500:] or "it said nothing"}


def _pod(image: str) -> dict[str, Any]:
    templates = Environment(  # noqa: S701 - YAML, and strings go through `tojson`
        loader=FileSystemLoader(Path(__file__).parent / "manifests"), undefined=StrictUndefined
    )
    endpoint = led_to("STS")
    text = templates.get_template("identity-probe.yaml.j2").render(
        namespace=AIRFLOW_NAMESPACE,
        service_account=DVC_SERVICE_ACCOUNT,
        image=image,
        program=Path(identity_probe.__file__).read_text(encoding="utf-8"),
        environment={"AWS_ENDPOINT_URL_STS": endpoint} if endpoint else {},
    )
    found: dict[str, Any] = yaml.safe_load(text)
    return found
