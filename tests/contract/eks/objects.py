"""The objects of a cluster, behind the API server of `tests/contract/kubeapi`: made, read, listed and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contract.kubeapi.conftest import Handled, Resources

RESOURCES: Resources = {
    "/api/v1": [
        ("namespaces", "Namespace", False), ("persistentvolumes", "PersistentVolume", False), ("pods", "Pod", True),
        ("services", "Service", True), ("persistentvolumeclaims", "PersistentVolumeClaim", True),
        ("configmaps", "ConfigMap", True), ("secrets", "Secret", True), ("serviceaccounts", "ServiceAccount", True),
    ],
    "/apis/apps/v1": [
        ("deployments", "Deployment", True), ("statefulsets", "StatefulSet", True), ("daemonsets", "DaemonSet", True),
        ("replicasets", "ReplicaSet", True),
    ],
    "/apis/batch/v1": [("jobs", "Job", True), ("cronjobs", "CronJob", True)],
    "/apis/rbac.authorization.k8s.io/v1": [("roles", "Role", True), ("rolebindings", "RoleBinding", True)],
    "/apis/networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", True), ("ingresses", "Ingress", True)],
    "/apis/policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget", True)],
    "/apis/discovery.k8s.io/v1": [("endpointslices", "EndpointSlice", True)],
    "/apis/admissionregistration.k8s.io/v1": [
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False)
    ],
}  # fmt: skip
_KINDS = {plural: kind for listed in RESOURCES.values() for plural, kind, _ in listed}


@dataclass
class Objects:
    """What is in the cluster, by (kind, namespace, name).

    Attributes:
        writes: Methods and paths of what was asked besides reading.
        forbidden: Methods and kinds that the caller may not.
    """

    found: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    writes: list[tuple[str, str]] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)

    def put(self, kind: str, name: str, namespace: str = "", **other: Any) -> None:
        labels = other.pop("labels", {})
        metadata = {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}
        self.found[kind, namespace, name] = {"kind": kind, "metadata": metadata, **other}

    def names(self, namespace: str = "") -> set[str]:
        """What is in a namespace, or outside of all."""
        return {f"{kind}/{name}" for kind, where, name in self.found if where == namespace}

    def labels(self, namespace: str) -> Mapping[str, str]:
        return dict(self.found["Namespace", "", namespace]["metadata"]["labels"])

    def handle(self, asked: Handled) -> bool:
        """Answer, as `ApiServer.otherwise`."""
        words = asked.path.strip("/").split("/")
        words = words[2:] if words[0] == "api" else words[3:]
        namespace = words[1] if words[0] == "namespaces" and len(words) > 2 else ""
        plural, *rest = words[2:] if namespace else words
        if plural not in _KINDS:
            return False
        kind = _KINDS[plural]
        if asked.method != "GET":
            self.writes.append((asked.method, asked.path))
        if (asked.method, kind) in self.forbidden:
            asked.refuse(403, f"the caller may not {asked.method} {plural}")
            return True
        self._answer(asked, kind, namespace, rest[0] if rest else "")
        return True

    def _answer(self, asked: Handled, kind: str, namespace: str, name: str) -> None:
        if asked.method == "POST":
            name = asked.body["metadata"]["name"]
            if (kind, namespace, name) in self.found:
                asked.refuse(409, f"{kind} {name} already exists")
                return
            self.found[kind, namespace, name] = asked.body
            asked.reply(201, asked.body)
        elif not name:
            listed = [one for (of, where, _), one in self.found.items() if of == kind and where == namespace]
            asked.reply(200, {"metadata": {"resourceVersion": "1"}, "items": listed})
        elif (found := self.found.get((kind, namespace, name))) is None:
            asked.refuse(404, f"{kind} {name} not found")
        elif asked.method == "DELETE":
            self._delete(kind, namespace, name)
            asked.reply(200, {"kind": "Status", "status": "Success"})
        else:
            asked.reply(200, found)

    def _delete(self, kind: str, namespace: str, name: str) -> None:
        del self.found[kind, namespace, name]
        inside = [key for key in self.found if kind == "Namespace" and key[1] == name]
        claims = [key for key in inside if key[0] == "PersistentVolumeClaim"]
        claims += [(kind, namespace, name)] if kind == "PersistentVolumeClaim" else []
        volumes = [key for key, one in self.found.items() if key[0] == "PersistentVolume"
                   and any((one["spec"]["claimRef"]["namespace"], one["spec"]["claimRef"]["name"]) == claim[1:]
                           for claim in claims)]  # fmt: skip
        for key in [*inside, *volumes]:
            del self.found[key]
