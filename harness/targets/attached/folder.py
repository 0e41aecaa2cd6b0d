"""The folder that the harness keeps of an environment in a cluster that it has attached to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi

KUBECONFIG: Final = "kubeconfig"
DESCRIPTION: Final = "cluster.json"

Described = TypeVar("Described")


def target_of(folder: Path) -> str:
    """The target that the folder of a cluster says it is of; empty for kind's, which no description names."""
    try:
        found: Any = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get("target") or "") if isinstance(found, Mapping) else ""


def is_attached(folder: Path) -> bool:
    """Whether the cluster of a folder is one that was attached to: then no container engine has it."""
    return bool(target_of(folder))


def write_description(folder: Path, target: str, said: Mapping[str, object]) -> None:
    """Write what is known of an environment, whole or not at all."""
    draft = folder / f".{DESCRIPTION}.new"
    draft.write_text(json.dumps({"target": target, **said}, indent=1), encoding="utf-8")
    draft.replace(folder / DESCRIPTION)


def read_description(
    folder: Path, target: str, make: Callable[[dict[str, Any]], Described], *, where: str
) -> Described | None:
    """What `write_description` wrote of a target's environment; None if nothing is there, or another target's.

    Args:
        folder: The cluster's.
        target: Whose description it has to be.
        make: Makes it of what was written.
        where: What the cluster is, for messages: "EKS".

    Raises:
        EnvironmentFailed: It is damaged.
    """
    if target_of(folder) != target:
        return None
    path = folder / DESCRIPTION
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found.pop("target")
        return make(found)
    except (ValueError, TypeError, KeyError) as error:
        raise EnvironmentFailed(
            f"what is known of the environment in {where} is damaged: {path}",
            evidence={"why": f"{type(error).__name__}: {error}"},
            next_step="empty the namespaces airflow and harness of that cluster by hand, then remove the folder",
        ) from error


def write_config(config: Mapping[str, object], path: Path) -> None:
    """Write a kubeconfig, mode 0600; its folder must be there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(dict(config), file, sort_keys=False)
    path.chmod(0o600)


def kube_of(folder: Path, context: str) -> KubeApi:
    """The cluster of a folder, by the kubeconfig there."""
    return KubeApi(folder / KUBECONFIG, context)
