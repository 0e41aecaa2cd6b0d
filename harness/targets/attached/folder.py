"""The folder that the harness keeps of an environment in a cluster that it has attached to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from harness.kubeapi import KubeApi

KUBECONFIG: Final = "kubeconfig"
DESCRIPTION: Final = "cluster.json"


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


def write_config(config: Mapping[str, object], path: Path) -> None:
    """Write a kubeconfig, mode 0600; its folder must be there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(dict(config), file, sort_keys=False)
    path.chmod(0o600)


def kube_of(folder: Path, context: str) -> KubeApi:
    """The cluster of a folder, by the kubeconfig there."""
    return KubeApi(folder / KUBECONFIG, context)
