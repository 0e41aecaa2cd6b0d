"""What is known on disk of a kept kind cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.errors import EnvironmentFailed


def read_description(folder: Path, *, wanted: str) -> Mapping[str, Any]:
    """Read it: its node image, its ports, the contexts of its kubeconfig.

    Args:
        folder: Of the cluster.
        wanted: The node image that is wanted: the ports of a cluster with another one are not looked at.

    Raises:
        EnvironmentFailed: It is damaged.
    """
    try:
        found = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))
        contexts = yaml.safe_load((folder / "kubeconfig").read_text(encoding="utf-8"))["contexts"]
        names = [context["name"] for context in contexts]
        # One of a run that was killed while it made the cluster has no ports yet, and no node image either.
        ports = dict(found["ports"]) if found.get("node_image") == wanted else {}
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise EnvironmentFailed(
            f"what is known of the kept cluster {folder.name} is damaged: {folder}",
            evidence={"why": f"{type(error).__name__}: {error}"},
            next_step=f"harness down --cluster {folder.name}, then run again",
        ) from error
    return {"node_image": found.get("node_image"), "ports": ports, "contexts": names}
