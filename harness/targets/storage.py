"""The storage class of the claim that the tasks share, asked for before anything is built."""

from __future__ import annotations

from typing import Final

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi

# https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass
_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"


def check_storage(kube: KubeApi, name: str, *, next_step: str) -> None:
    """Hold a cluster to have the storage class of the claim that tasks share.

    Args:
        kube: The cluster.
        name: Of the class; empty for the default.
        next_step: What to do where it is missing.

    Raises:
        EnvironmentFailed: It has none: a claim of it would wait for ever.
    """
    classes = {one["metadata"]["name"]: one["metadata"].get("annotations") or {} for one in kube.list("StorageClass")}
    there = {"storage classes": ", ".join(sorted(classes)) or "none"}
    if name and name not in classes:
        raise EnvironmentFailed(f"the cluster has no storage class {name}", evidence=there, next_step=next_step)
    if not name and not any(said.get(_DEFAULT) == "true" for said in classes.values()):
        raise EnvironmentFailed(
            "the cluster has no default storage class, so the claim that tasks share would wait for ever",
            evidence=there,
            next_step=next_step,
        )
