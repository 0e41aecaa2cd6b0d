"""What is known on disk of a kept kind cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from harness.errors import EnvironmentFailed


def kept_ports(folder: Path, *, wanted: str) -> Mapping[str, int] | None:
    """The ports of the cluster that is there; None if it was made from another node image, or is not whole.

    Args:
        folder: Of the cluster.
        wanted: The node image that is wanted.

    Raises:
        EnvironmentFailed: What is known of it is damaged.
    """
    try:
        found = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))
        # One of a run that was killed while it made the cluster has none yet, and no ports either.
        if found.get("node_image") != wanted:
            return None
        ports = {str(name): int(port) for name, port in found["ports"].items()}
        contexts_of(folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise EnvironmentFailed(
            f"what is known of the kept cluster {folder.name} is damaged: {folder}",
            evidence={"why": f"{type(error).__name__}: {error}"},
            next_step=f"harness down --cluster {folder.name}, then run again",
        ) from error
    return ports


def contexts_of(folder: Path) -> list[str]:
    """Names of the contexts in the kubeconfig of a cluster."""
    return [str(entry["name"]) for entry in yaml.safe_load((folder / "kubeconfig").read_text())["contexts"]]
