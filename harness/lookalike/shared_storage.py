"""A stand-in for EFS in the look-alike's cluster: the node's own provisioner of folders once more, under EFS's name.

local-path-provisioner gives volumes for many pods where it is told that all nodes share a folder
(`sharedFileSystemPath`, README of v0.0.30); with one node they do. What the stand-in has not says its manifest.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from harness.errors import EnvironmentFailed
from harness.kubeapi import JsonObject

_MANIFEST: Final = Path(__file__).parent / "manifests" / "shared-storage.yaml"
_NAMESPACE: Final = "local-path-storage"
_FIRST: Final = "local-path-provisioner"
_FIRST_CONFIG: Final = "local-path-config"
_NAME: Final = "efs-access-points"


class Kube(Protocol):
    """What of `KubeApi` this needs."""

    def get(self, kind: str, name: str, namespace: str | None = None) -> JsonObject | None:
        """See `KubeApi.get`."""

    def apply(self, manifests: list[dict[str, Any]], /) -> object:
        """See `KubeApi.apply`."""


def apply(kube: Kube) -> None:
    """Put class and provisioner into the cluster; returns before it runs.

    Raises:
        EnvironmentFailed: kind has no provisioner there, or the API server refused an object.
    """
    first, config = kube.get("Deployment", _FIRST, _NAMESPACE), kube.get("ConfigMap", _FIRST_CONFIG, _NAMESPACE)
    if first is None or config is None:
        raise EnvironmentFailed(f"the kind node has no {_FIRST} in {_NAMESPACE}, of which the class efs is to be")
    storage_class, own = yaml.safe_load_all(_MANIFEST.read_text(encoding="utf-8"))
    own["data"] = config["data"] | own["data"]
    kube.apply([storage_class, own, _second(first, storage_class["provisioner"])])


def _second(first: JsonObject, provisioner: str) -> dict[str, Any]:
    """The same program under another name, with the other configuration."""
    labels = {"app": _NAME}
    pod = copy.deepcopy(first["spec"]["template"]["spec"])
    (container,) = pod["containers"]
    container["command"] = [*container["command"], "--provisioner-name", provisioner, "--configmap-name", _NAME]
    for volume in pod["volumes"]:
        if (volume.get("configMap") or {}).get("name") == _FIRST_CONFIG:
            volume["configMap"]["name"] = _NAME
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
