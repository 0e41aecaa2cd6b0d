"""What an EKS cluster has and a kind cluster has not: into the making of the cluster, and into the cluster itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.kubeapi import KubeApi, KubeUnavailable
from harness.lookalike import shared_storage
from harness.lookalike.hosting import Folder, Serving
from harness.lookalike.node import link_address, pod_identity_agent
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, SERVICES_NAMESPACE
from harness.serviceaccount import await_service_account
from harness.wait import Waiter

# The group that the runner's access entry puts it into.
RUNNERS: Final = "harness:runners"
# And that of the administrator's, as the manifest binds it.
ADMINISTRATORS: Final = "harness:administrators"
AGENT_ADDRESS: Final = "169.254.170.23"
NODE_API_SERVER: Final = "/kind/lookalike/api-server"
NODE_KEYS: Final = "/kind/lookalike/node"
_IN_API_SERVER: Final = "/etc/kubernetes/lookalike"
_WEBHOOK_FILE: Final = "token-webhook.yaml"
_AGENT: Final = "eks-pod-identity-agent"
_SECONDS: Final = 120.0
# Not that of runs: what they apply to the same service account takes no label of this away.
_MANAGER: Final = "eks-lookalike"
_MANIFESTS: Final = Path(__file__).parent / "manifests"


def kubeadm_patch() -> str:
    """Has the API server ask the token webhook about tokens that are none of its own."""
    # Extra arguments as a map, which kind turns into what this version of kubeadm takes (kind v0.33).
    arguments = {
        "authentication-token-webhook-config-file": f"{_IN_API_SERVER}/{_WEBHOOK_FILE}",
        "authentication-token-webhook-version": "v1",
    }
    volume = {
        "name": "lookalike", "hostPath": NODE_API_SERVER, "mountPath": _IN_API_SERVER, "readOnly": True,
        "pathType": "Directory",
    }  # fmt: skip
    api_server = {"extraArgs": arguments, "extraVolumes": [volume]}
    return yaml.safe_dump({"kind": "ClusterConfiguration", "apiServer": api_server}, sort_keys=False)


def write_webhook_file(folder: Folder, serving: Serving, authority: str) -> Path:
    """Where the API server has tokens reviewed, as a kubeconfig file; the folder that is to be mounted.

    Args:
        folder: Of the look-alike.
        serving: Where it serves.
        authority: PEM certificate that signed its own.
    """
    server = {"server": f"{serving.webhooks}/authenticate", "certificate-authority-data": _base64(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lookalike", "cluster": server}],
        "users": [{"name": "api-server", "user": {}}],
        "contexts": [{"name": "webhook", "context": {"cluster": "lookalike", "user": "api-server"}}],
        "current-context": "webhook",
    }
    mounted = folder.below("api-server")
    (mounted / _WEBHOOK_FILE).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return mounted


@dataclass(frozen=True, slots=True)
class Fittings:
    """What goes into the cluster itself.

    Attributes:
        kube: The cluster, as its administrator.
        waiter: How patient to be.
    """

    kube: KubeApi
    waiter: Waiter

    def apply(self, serving: Serving, *, cluster: str, region: str, authority: str, image: str) -> None:
        """Hand everything to the API server; returns before the agent runs.

        Args:
            serving: Where the look-alike serves.
            cluster: Name of the cluster.
            region: Its region.
            authority: PEM certificate that signed the look-alike's own.
            image: One with Python, in the node.

        Raises:
            EnvironmentFailed: The API server refused an object, or does not answer.
        """
        await_service_account(self.kube, self.waiter, "kube-system", what="the Kubernetes API")
        self.prepare()
        self.kube.apply(_render("administrator-access.yaml"))
        self.kube.apply(_render("injector.yaml.j2", url=f"{serving.webhooks}/mutate", ca_bundle=_base64(authority)))
        self.kube.apply(
            _render(
                "pod-identity-agent.yaml.j2",
                agent=Path(pod_identity_agent.__file__).read_text(encoding="utf-8"),
                link=Path(link_address.__file__).read_text(encoding="utf-8"),
                address=AGENT_ADDRESS,
                cluster=cluster,
                region=region,
                endpoint=serving.control,
                node_folder=NODE_KEYS,
                image=image,
            )
        )
        self._storage()

    def prepare(self) -> None:
        """What a team prepares once: the namespaces, the service account, what runs may.

        Raises:
            EnvironmentFailed: The API server refused an object.
        """
        names = {
            "airflow": AIRFLOW_NAMESPACE, "services": SERVICES_NAMESPACE, "service_account": DVC_SERVICE_ACCOUNT,
        }  # fmt: skip
        self.kube.apply(_render("runner-access.yaml.j2", group=RUNNERS, **names), manager=_MANAGER)

    def _storage(self) -> None:
        # kind's own comes as the cluster does; EKS has no class of that name, and none that is the default.
        self.kube.apply(_render("storage.yaml"))
        self.kube.delete("StorageClass", "standard")
        shared_storage.apply(self.kube)

    def wait(self) -> None:
        """Wait until the agent answers on the node, and the injector changes what it is to change.

        Raises:
            WaitFailed: The agent cannot come to run.
            WaitTimeout: It took too long.
        """
        self.kube.wait_rollout("DaemonSet", _AGENT, "kube-system", self.waiter, timeout=_SECONDS)
        probe = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "harness-probe-", "namespace": AIRFLOW_NAMESPACE},
            "spec": {"serviceAccountName": DVC_SERVICE_ACCOUNT, "containers": [{"name": "probe", "image": "none"}]},
        }

        def injected() -> bool:
            made = self.kube.create(probe, dry_run=True)["spec"]["containers"][0]
            return any(one["name"] == "AWS_CONTAINER_CREDENTIALS_FULL_URI" for one in made.get("env") or [])

        self.waiter.until(
            "the pod injector",
            injected,
            ready=bool,
            describe=lambda done: "injects" if done else "is not asked yet",
            timeout=_SECONDS,
            interval=0.2,
            transient=(KubeUnavailable,),
            next_step="the API server must reach this machine in the cluster's network: see its firewall",
        )


def _render(name: str, **values: object) -> list[Mapping[str, Any]]:
    templates = Environment(loader=FileSystemLoader(_MANIFESTS), undefined=StrictUndefined)  # noqa: S701 - YAML, not HTML; every string goes through `tojson`
    return [one for one in yaml.safe_load_all(templates.get_template(name).render(**values)) if one]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
