"""The objects of a cluster, behind the API server of `tests/contract/kubeapi`: made, read, listed and removed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
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
    "/apis/rbac.authorization.k8s.io/v1": [
        ("roles", "Role", True), ("rolebindings", "RoleBinding", True), ("clusterroles", "ClusterRole", False),
        ("clusterrolebindings", "ClusterRoleBinding", False),
    ],
    "/apis/networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", True), ("ingresses", "Ingress", True)],
    "/apis/storage.k8s.io/v1": [("storageclasses", "StorageClass", False), ("csidrivers", "CSIDriver", False)],
    "/apis/policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget", True)],
    "/apis/discovery.k8s.io/v1": [("endpointslices", "EndpointSlice", True)],
    "/apis/admissionregistration.k8s.io/v1": [
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False)
    ],
}  # fmt: skip
_GROUPS = {plural: path.split("/")[2] if path.startswith("/apis/") else ""
           for path, listed in RESOURCES.items() for plural, _, _ in listed}  # fmt: skip
_KINDS = {plural: kind for listed in RESOURCES.values() for plural, kind, _ in listed}


def prepared() -> dict[tuple[str, str, str], dict[str, Any]]:
    """The class of the claim, and its driver."""
    driver = "ebs.csi.aws.com"
    return {
        ("StorageClass", "", "gp3"): {"kind": "StorageClass", "metadata": {"name": "gp3"}, "provisioner": driver},
        ("CSIDriver", "", driver): {"kind": "CSIDriver", "metadata": {"name": driver}},
    }


@dataclass
class Objects:
    """What is in the cluster, by (kind, namespace, name).

    Attributes:
        storage: Likewise, what every cluster here was prepared with, and no run writes.
        writes: Methods and paths of what was asked besides reading.
        forbidden: Methods and kinds that the caller may not.
        bound: Bearer tokens of service accounts, who may do what the roles of the name here allow, and nothing else.
    """

    found: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    storage: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=prepared)
    writes: list[tuple[str, str]] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    bound: dict[str, str] = field(default_factory=dict)
    _uids: Iterator[int] = field(default_factory=itertools.count)

    def put(self, kind: str, name: str, namespace: str = "", **other: Any) -> None:
        labels = other.pop("labels", {})
        said = other.pop("metadata", {})
        metadata = {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}
        metadata |= {"uid": f"uid-{next(self._uids)}", **said}
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
        name = rest[0] if rest else ""
        if (asked.method, kind) in self.forbidden or not self._bound_may(asked, plural, namespace or name, name):
            asked.refuse(403, f"the caller may not {asked.method} {plural}")
            return True
        self._answer(asked, kind, namespace, name)
        return True

    def _bound_may(self, asked: Handled, plural: str, namespace: str, name: str) -> bool:
        """What the API server's authoriser says of a service account; of everybody else, that they may."""
        token = asked.handler.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.bound:
            return True
        verb = {"GET": "get" if name else "list", "PATCH": "patch", "POST": "create"}.get(asked.method, "")
        verb = verb or ("delete" if name else "deletecollection")
        # What is outside of namespaces is bound to a cluster's role; a namespace itself counts as in itself.
        where = namespace if plural == "namespaces" or namespace != name else ""
        role = self.found.get(("Role", where, self.bound[token])) or self.found.get(
            ("ClusterRole", "", self.bound[token])
        )
        return any(
            _GROUPS[plural] in rule["apiGroups"]
            and plural in rule["resources"]
            and verb in rule["verbs"]
            and (not rule.get("resourceNames") or name in rule["resourceNames"])
            for rule in (role or {}).get("rules", ())
        )

    def _answer(self, asked: Handled, kind: str, namespace: str, name: str) -> None:
        if asked.method == "POST":
            name = asked.body["metadata"]["name"]
            if (kind, namespace, name) in self.found:
                asked.refuse(409, f"{kind} {name} already exists")
                return
            asked.body["metadata"].setdefault("uid", f"uid-{next(self._uids)}")
            self.found[kind, namespace, name] = asked.body
            asked.reply(201, asked.body)
        elif asked.method == "DELETE" and not name:
            asked.reply(200, {"items": self._collect(kind, namespace, asked.query)})
        elif asked.method == "PATCH" and isinstance(asked.body, dict):
            if (kind, namespace, name) not in self.found:
                self.put(kind, name, namespace)
            asked.reply(200, _applied(self.found[kind, namespace, name], asked.body))
        elif not name:
            there = self._there(asked.method)
            listed = [one for (of, where, _), one in there.items() if of == kind and where == namespace]
            asked.reply(200, {"metadata": {"resourceVersion": "1"}, "items": listed})
        elif (found := self._there(asked.method).get((kind, namespace, name))) is None:
            asked.refuse(404, f"{kind} {name} not found")
        elif asked.method == "PATCH":
            self._patch(asked, found)
        elif asked.method == "DELETE":
            self._delete(kind, namespace, name)
            asked.reply(200, {"kind": "Status", "status": "Success"})
        else:
            asked.reply(200, found)

    def _there(self, method: str) -> Mapping[tuple[str, str, str], dict[str, Any]]:
        return {**self.storage, **self.found} if method == "GET" else self.found

    def _collect(self, kind: str, namespace: str, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        kept = {one.removeprefix("metadata.name!=") for one in query.get("fieldSelector", [""])[0].split(",")}
        label, _, value = query.get("labelSelector", ["!="])[0].partition("!=")
        names = [
            name
            for (of, where, name), one in self.found.items()
            if (of, where) == (kind, namespace)
            and name not in kept
            and (not label or (one["metadata"].get("labels") or {}).get(label) != value)
        ]
        gone = [self.found[kind, namespace, name] for name in names]
        for name in names:
            if (kind, namespace, name) in self.found:
                self._delete(kind, namespace, name)
        return gone

    @staticmethod
    def _patch(asked: Handled, found: dict[str, Any]) -> None:
        """A JSON patch (RFC 6902), of what is asked here: tests first, then what is added."""
        for step in asked.body:
            *path, last = step["path"].strip("/").split("/")
            inside = found[path[0]]
            if step["op"] == "test" and inside.get(last) != step["value"]:
                asked.refuse(422, f"testing path {step['path']} failed")
                return
            if step["op"] == "add":
                inside[last] = step["value"]
        asked.reply(200, found)

    def _delete(self, kind: str, namespace: str, name: str) -> None:
        uid = self.found.pop((kind, namespace, name))["metadata"].get("uid")
        self._with_it(kind, namespace, name)
        for key, one in list(self.found.items()):
            if key in self.found and uid in {of["uid"] for of in one["metadata"].get("ownerReferences") or ()}:
                self._delete(*key)

    def _with_it(self, kind: str, namespace: str, name: str) -> None:
        inside = [key for key in self.found if kind == "Namespace" and key[1] == name]
        claims = [key for key in inside if key[0] == "PersistentVolumeClaim"]
        claims += [(kind, namespace, name)] if kind == "PersistentVolumeClaim" else []
        volumes = [key for key, one in self.found.items() if key[0] == "PersistentVolume"
                   and any((one["spec"]["claimRef"]["namespace"], one["spec"]["claimRef"]["name"]) == claim[1:]
                           for claim in claims)]  # fmt: skip
        for key in [*inside, *volumes]:
            del self.found[key]


def _applied(found: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Server-side apply, as far as it is needed here: what is said is so, what is not said stays."""
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(found.get(name), dict):
            _applied(found[name], value)
        else:
            found[name] = value
    return found
