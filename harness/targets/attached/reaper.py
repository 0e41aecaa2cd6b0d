"""Puts the reaper beside what a run has taken: `reap.py` in a pod, every ten minutes, with the rights for just that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.names import LABEL_EXPIRES, LABEL_OWNER, LABEL_RUN, OWNER, SERVICES_NAMESPACE
from harness.targets.attached import reap
from harness.targets.attached.claim import KINDS, NAME, NAMESPACES
from harness.targets.attached.expiry import as_label

_MANIFEST: Final = Path(__file__).with_name("reaper.yaml.j2")
# Where the API server has the kinds of `claim.KINDS` that are not in its core: "API groups" in its reference.
_PATHS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), "apis/apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "apis/batch/v1"),
    **dict.fromkeys(("Role", "RoleBinding"), "apis/rbac.authorization.k8s.io/v1"),
}
_PLURALS: Final[Mapping[str, str]] = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


@dataclass(frozen=True, slots=True)
class Reaper:
    """The reaper of one claim.

    Attributes:
        kube: The cluster.
        image: One with Python 3, as nodes call it.
    """

    kube: KubeApi
    image: str

    def apply(self) -> None:
        """Put it there, or hold what is there to be as it should.

        Raises:
            EnvironmentFailed: There is no claim, or the caller may not do it.
        """
        found = self.kube.get("ConfigMap", NAME, SERVICES_NAMESPACE)
        if found is None:
            raise EnvironmentFailed("nobody has the namespaces, so there is nothing to be reaped")
        for manifest in self._manifests(found):
            self.kube.apply([manifest])
        for namespace in NAMESPACES:
            self._bind(namespace, found)

    def _manifests(self, claim: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        run = claim["data"]["run"]
        made = [one for one in NAMESPACES if _run_of(self.kube.get("Namespace", one)) == run]
        templates = Environment(loader=FileSystemLoader(_MANIFEST.parent), undefined=StrictUndefined)  # noqa: S701 - YAML, not HTML; strings go through `tojson`
        text = templates.get_template(_MANIFEST.name).render(
            labels=_labels(claim),
            claim=owner(claim),
            namespaces=list(NAMESPACES),
            made=made,
            groups=groups(),
            image=self.image,
            program=Path(reap.__file__).read_text(encoding="utf-8"),
            plan=json.dumps({"kinds": kinds(), "made": made}),
        )
        return [one for one in yaml.safe_load_all(text) if one]

    def _bind(self, namespace: str, claim: Mapping[str, Any]) -> None:
        api = "rbac.authorization.k8s.io/v1"
        role = self.kube.get("Role", reap.REAPER, namespace)
        if role is None:
            raise EnvironmentFailed(f"the role {reap.REAPER} in {namespace} has gone again")
        # A role of another namespace cannot belong to the claim; what binds it can belong to it.
        of = claim if namespace == SERVICES_NAMESPACE else {"apiVersion": api, "kind": "Role", **role}
        binding = {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": {
                "name": reap.REAPER, "namespace": namespace, "labels": _labels(claim), "ownerReferences": [owner(of)],
            },
            "roleRef": {"apiGroup": api.partition("/")[0], "kind": "Role", "name": reap.REAPER},
            "subjects": [{"kind": "ServiceAccount", "name": reap.REAPER, "namespace": SERVICES_NAMESPACE}],
        }  # fmt: skip
        self.kube.apply([binding])


def kinds() -> list[tuple[str, str, str]]:
    """What namespaces may hold: kind, path of its API, plural name."""
    return [(kind, _path(kind, version), _PLURALS.get(kind, f"{kind.lower()}s")) for kind, version in KINDS]


def groups() -> dict[str, list[str]]:
    """Plural names by API group."""
    found: dict[str, list[str]] = {}
    for _, path, plural in kinds():
        found.setdefault(path.split("/")[1] if path.startswith("apis/") else "", []).append(plural)
    return found


def owner(of: Mapping[str, Any]) -> dict[str, str]:
    """What names an object as the one that another belongs to."""
    said = of["metadata"]
    return {
        "apiVersion": str(of.get("apiVersion") or "v1"),
        "kind": str(of.get("kind") or "ConfigMap"),
        "name": str(said["name"]),
        "uid": str(said["uid"]),
    }


def _path(kind: str, version: str) -> str:
    return _PATHS.get(kind) or (f"apis/{version}" if version else "api/v1")


def _labels(claim: Mapping[str, Any]) -> dict[str, str]:
    data = claim["data"]
    return {"app": reap.REAPER, LABEL_OWNER: OWNER, LABEL_RUN: data["run"], LABEL_EXPIRES: as_label(data["expires"])}


def _run_of(namespace: Mapping[str, Any] | None) -> str:
    return str((((namespace or {}).get("metadata") or {}).get("labels") or {}).get(LABEL_RUN) or "")
