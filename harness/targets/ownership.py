"""Whose a name on the engine is: what no run of this state folder has made is neither used nor removed.

kind lets nobody label its nodes, but the network that they are in carries a label with the run that made it. It is made
before the first node and removed after the last one: so it says whose all of it is, also where several state folders
share an engine and clusters have the same name.

Before Docker 25 an engine refused a second network of one name by "best effort" only, and two that asked at once could
both be served (Engine API 1.41, NetworkCreate, CheckDuplicate). So each network is judged by its own label. Nodes are
listed with the name of their network, not its id: where two runs have one of that name, nothing says whose they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.errors import GuardError
from harness.model import Engine
from harness.names import LABEL_RUN
from harness.process import Runner

_SECONDS = 60
# What kind labels its node containers with (kind v0.33, pkg/cluster/constants: ClusterLabelKey).
KIND_LABEL = "io.x-k8s.kind.cluster"


@dataclass(frozen=True, slots=True)
class Standing:
    """What an engine has under the name of a cluster.

    Attributes:
        nodes: Ids of the containers that certain runs have made.
        networks: Ids of the networks that they have made.
        foreign: What anybody else has made, by its id, in words.
        lost: Nodes in a network of that name that is there no more, or there twice, for us and for another run,
            likewise: nothing says whose they are.
    """

    nodes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    foreign: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)


def standing(name: str, *, runs: Collection[str], engine: Engine, runner: Runner) -> Standing:
    """Look what an engine has under the name of a cluster; by what docker lists, without the kind program.

    Args:
        name: Of the cluster, exactly.
        runs: Ids of the runs that may have made it, as far as this state folder knows.
        engine: Where to look.
        runner: Runs docker.

    Raises:
        CommandFailed: The engine does not list it.
    """

    def listed(kind: str, condition: str, *fields: str) -> list[list[str]]:
        command: list[str | Path] = [engine.docker, kind, "ls", *(["--all"] if kind == "container" else [])]
        command += ["--no-trunc", "--filter", condition, "--format", "\t".join(f"{{{{{one}}}}}" for one in fields)]
        lines = runner.run(command, env=engine.env, timeout=_SECONDS).stdout.splitlines()
        return [line.split("\t") for line in lines]

    shown = (".ID", ".Names", ".Status", ".Networks", f'.Label "{KIND_LABEL}"')
    # kind names the first node so (pkg/cluster/internal/providers/common/namer.go).
    first = f"{name}-control-plane"
    containers = [
        *listed("container", f"name=^{first}$", *shown),
        *listed("container", f"label={KIND_LABEL}={name}", *shown),
    ]
    found = listed("network", f"name=^{name}$", ".ID", ".Name", f'.Label "{LABEL_RUN}"')
    # A name is a regular expression to the engine, and a point in it any letter.
    networks = {key: run for key, called, run in found if called == name}
    ours = tuple(key for key, run in networks.items() if run in runs)
    theirs = {key: run for key, run in networks.items() if run not in runs}
    nodes: list[str] = []
    foreign: dict[str, str] = {}
    lost: dict[str, str] = {}
    for key, called, status, inside, cluster in containers:
        if cluster == name and name in inside.split(","):
            if ours and not theirs:
                nodes.append(key)
                continue
            whose = lost if ours or not theirs else foreign
        elif cluster == name or called == first:
            whose = foreign
        else:
            continue
        whose[key] = f"container {called} ({status})"
    for key, run in theirs.items():
        foreign[key] = f"network {name} ({f'of run {run}' if run else 'without a label of the harness'})"
    return Standing(tuple(dict.fromkeys(nodes)), ours, foreign, lost)


def runs_of(folder: Path) -> frozenset[str]:
    """The runs that have made the cluster of a folder: as its description says, and what kind was given.

    One of the two may be damaged, or not written yet.
    """
    description, given = folder / "cluster.json", folder / "kind.yaml"
    found: set[str] = set()
    for file in (description, given):
        try:
            said = yaml.safe_load(file.read_text(encoding="utf-8"))
            run = said["nodes"][0]["labels"][LABEL_RUN] if file is given else said["run"]
        except (OSError, ValueError, TypeError, LookupError, yaml.YAMLError):
            continue
        found.add(str(run))
    return frozenset(found - {""})


def refuse_foreign(name: str, *, folder: Path, engine: Engine, runner: Runner) -> None:
    """Make sure that nobody else has what a cluster of that name needs on the engine.

    Args:
        name: Of the cluster.
        folder: Where the harness keeps what it knows of that cluster.
        engine: Where the cluster is to be.
        runner: Runs docker.

    Raises:
        GuardError: Something of that name is there, and no run of this state folder has made it.
    """
    there = standing(name, runs=runs_of(folder), engine=engine, runner=runner)
    others = [*there.foreign.values(), *there.lost.values()]
    if others:
        raise GuardError(
            f"the cluster name {name} is in use by something that the harness did not make, or made for somebody else",
            evidence={"there": "; ".join(others)},
            next_step="choose another name with --cluster, or have whoever made it remove it",
        )
