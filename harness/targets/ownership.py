"""Whose a name on the engine is: what the harness did not make, it neither uses nor removes."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import GuardError
from harness.model import Engine
from harness.process import Runner

_SECONDS = 60
# What kind labels its node containers with (kind v0.33, pkg/cluster/constants: ClusterLabelKey).
KIND_LABEL = "io.x-k8s.kind.cluster"


def refuse_foreign(name: str, *, folder: Path, engine: Engine, runner: Runner) -> None:
    """Make sure that nobody else has what a cluster of that name needs on the engine.

    It goes by what the engine lists, without the kind program, so that it can be asked before anything is built.

    Args:
        name: Of the cluster.
        folder: Where the harness keeps what it knows of that cluster.
        engine: Where the cluster is to be.
        runner: Runs docker.

    Raises:
        GuardError: A container or network of that name is there, and the harness did not make it.
    """
    if (folder / "cluster.json").exists():
        return  # ours, kept or broken off

    def listed(kind: str, *filters: str) -> list[str]:
        command: list[str | Path] = [engine.docker, kind, "ls", *(["--all"] if kind == "container" else [])]
        for one in filters:
            command += ["--filter", one]
        command += ["--format", "{{.Names}}, {{.Status}}" if kind == "container" else "{{.Name}}"]
        return runner.run(command, env=engine.env, timeout=_SECONDS).stdout.splitlines()

    # kind names the first node so (pkg/cluster/internal/providers/common/namer.go).
    found = {
        "container": [
            *listed("container", f"name=^{name}-control-plane$"),
            *listed("container", f"label={KIND_LABEL}={name}"),
        ],
        "network": listed("network", f"name=^{name}$"),
    }
    # A network of ours that outlived its cluster carries our label.
    ours = set(listed("network", f"name=^{name}$", "label=harness.run")) if found["network"] else set()
    found["network"] = [network for network in found["network"] if network not in ours]
    evidence = {kind: "; ".join(dict.fromkeys(things)) for kind, things in found.items() if things}
    if evidence:
        raise GuardError(
            f"the cluster name {name} is in use by something that the harness did not make",
            evidence=evidence,
            next_step="choose another name with --cluster, or remove that yourself",
        )


def refuse_other_use(name: str, *, folder: Path, beside: bool) -> None:
    """Make sure that a cluster which is there is of the kind that is wanted: one with something beside it is no other.

    Args:
        name: Of the cluster.
        folder: Where the harness keeps what it knows of that cluster.
        beside: Whether something is to be made beside it; then there may be no cluster of that name.

    Raises:
        GuardError: It is not.
    """
    try:
        found = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # none, or one that its reader will find damaged
    has = found.get("beside", "") if isinstance(found, dict) else ""
    if has or beside:
        raise GuardError(
            f"the cluster {name} is there, and is {has or 'a plain one'}",
            next_step=f"choose another name with --cluster, or remove it: harness down --cluster {name}",
        )
