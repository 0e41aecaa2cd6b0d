"""What is known on this machine of the clusters that outlive a run: where they are, who made them, how to get in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.lookalike.hosting import Folder as Beside
from harness.redaction import Redactor
from harness.remover import is_kept
from harness.services.secrets import ClusterSecrets


@dataclass(frozen=True, slots=True)
class KnownCluster:
    """A cluster of the harness, as far as its folder describes it.

    Attributes:
        folder: Of the cluster; its name is the cluster's.
        kept: Whether it came up whole and was left on purpose; else a run is using it, or was killed.
        run: The run that made it; empty if the folder does not say.
        made_from: The folder that run was started in; likewise.
        ui: Address of Airflow; likewise, and where there is none: runs on an EKS look-alike are reached by forwards of
            their own. Nothing says that it answers.
        context: The one of its kubeconfig; kind names that of its clusters.
    """

    folder: Path
    kept: bool
    run: str
    made_from: str
    ui: str
    context: str

    @property
    def name(self) -> str:
        """Such as "harness-kept"."""
        return self.folder.name

    @property
    def kubeconfig(self) -> Path:
        """With one context."""
        return self.folder / "kubeconfig"

    @property
    def origin(self) -> str:
        """Who made it, for the reader."""
        run = f"made by run {self.run}" if self.run else "by whom it was made is not known"
        return run + (f" in {self.made_from}" if self.run and self.made_from else "")

    def login(self) -> tuple[str, str] | None:
        """Airflow's administrator and password; None if the folder has none.

        Raises:
            EnvironmentFailed: The file of secrets is damaged.
        """
        if not ClusterSecrets.kept_in(self.folder):
            return None
        return "admin", ClusterSecrets.of_cluster(self.folder, Redactor()).airflow_password


def known(state_dir: Path) -> list[KnownCluster]:
    """All that have a folder, by name."""
    folder = state_dir / "clusters"
    return [_described(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []


def chosen(clusters: Sequence[KnownCluster], name: str | None) -> KnownCluster:
    """The one that is meant: by name, or without one the only one there is, if it was kept.

    Raises:
        UsageError: There is none of that name; or without a name, several, none, or one that was not kept.
    """
    there = {"clusters": ", ".join(cluster.name for cluster in clusters) or "none"}
    if name is not None:
        found = [cluster for cluster in clusters if cluster.name == name]
        if found:
            return found[0]
        raise UsageError(
            f"there is no cluster {name!r} of the harness",
            evidence=there,
            next_step="name one with --cluster, or make one with `harness up`",
        )
    if not clusters:
        raise UsageError("no cluster is kept here", next_step="`harness up` makes one")
    if len(clusters) > 1:
        raise UsageError("say which cluster is meant", evidence=there, next_step="name one with --cluster")
    if not clusters[0].kept:
        # Never by itself one that a run is using.
        raise UsageError(
            f"no cluster is kept here; a run uses {clusters[0].name}, or was killed",
            next_step=f"name it with --cluster {clusters[0].name}; `harness sweep` removes what a killed run left",
        )
    return clusters[0]


def _described(folder: Path) -> KnownCluster:
    """What the cluster's own file says; a damaged one says nothing: the cluster must be removable all the same."""
    try:
        found: Any = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    said = found if isinstance(found, dict) else {}
    ports = said.get("ports")
    port = ports.get("airflow") if isinstance(ports, dict) else None
    return KnownCluster(
        folder=folder,
        kept=is_kept(folder),
        run=str(said.get("run") or ""),
        made_from=str(said.get("made_from") or ""),
        ui=f"http://127.0.0.1:{port}" if port and not Beside.of_cluster(folder).path.is_dir() else "",
        context=str(said.get("context") or f"kind-{folder.name}"),
    )
