"""Removal by exact name and of nobody else's, for runs that can no longer clean up after themselves too."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from harness.errors import CleanupFailed, CommandFailed, HarnessError
from harness.model import Engine
from harness.process import Runner
from harness.targets.ownership import Standing, standing
from harness.targets.use import KIND, LOOK_ALIKE, refuse_removal

_SECONDS = 120


def remove_cluster(name: str, *, runs: Collection[str], folder: Path, engine: Engine, runner: Runner) -> Standing:
    """Remove a kind cluster's nodes, its network and its folder; no error for what is not there.

    It goes by the exact name, kind's own label and the run on the network, without the kind program: that may be gone
    with the caches, and takes every cluster of the name. What of that name any other run has made stays.

    Args:
        name: Of the cluster.
        runs: Which have made it, or were about to.
        folder: Where the harness keeps what it knows of it.
        engine: Where it is.
        runner: Runs docker.

    Returns:
        What there was: of these runs, and gone; and of others, and left.

    Raises:
        GuardError: The folder is of an environment in a cluster of somebody's.
        CommandFailed: The engine does not say what is there.
        CleanupFailed: Something is still there; names it.
    """
    refuse_removal(folder, KIND, LOOK_ALIKE)
    there = remove_nodes(name, runs=runs, engine=engine, runner=runner)
    problems: dict[str, str] = {}
    # Only now: as long as a node is there, the network says whose it is.
    for network in there.networks:
        try:
            _docker(engine, runner, "network", "rm", network)
        except HarnessError as error:
            problems[f"network {name}"] = error.message
    if problems:
        raise _still_there(name, problems)
    if folder.is_dir():
        shutil.rmtree(folder)
    return there


def remove_nodes(name: str, *, runs: Collection[str], engine: Engine, runner: Runner) -> Standing:
    """Remove the nodes alone; otherwise as `remove_cluster`."""
    there = standing(name, runs=runs, engine=engine, runner=runner)
    if there.lost:
        why = (
            "there are two networks of its name, and one is of another run" if there.networks else "its network is gone"
        )
        raise CleanupFailed(
            f"nothing says any more whether {name} is the harness's: {why}",
            evidence={"there": "; ".join([*there.lost.values(), *there.foreign.values()])},
            next_step="if it is, remove it with `docker rm --force --volumes`, then harness sweep",
        )
    problems: dict[str, str] = {}
    for node in there.nodes:
        try:
            remove_container(node, engine=engine, runner=runner)
        except HarnessError as error:
            problems[f"container {node}"] = error.message
    if problems:
        raise _still_there(name, problems)
    return there


def remove_container(name: str, *, engine: Engine, runner: Runner) -> None:
    """Remove one container with its volumes; no error if there is none.

    Raises:
        CommandFailed: The engine refused it.
    """
    try:
        _docker(engine, runner, "rm", "--force", "--volumes", name)
    except CommandFailed as error:
        # An error to some clients in spite of --force (docker 20.10).
        if "No such container" not in error.stderr:
            raise


def remove_image_name(name: str, *, engine: Engine, runner: Runner) -> None:
    """Have the engine know an image by one name less; no error if it does not know it by that.

    Raises:
        CommandFailed: The engine refused it.
    """
    try:
        _docker(engine, runner, "image", "rm", name)
    except CommandFailed as error:
        if "No such image" not in error.stderr:
            raise


def _still_there(name: str, problems: dict[str, str]) -> CleanupFailed:
    return CleanupFailed(f"the cluster {name} is not gone", evidence=problems, next_step="harness sweep")


def _docker(engine: Engine, runner: Runner, *arguments: str) -> str:
    return runner.run([engine.docker, *arguments], env=engine.env, timeout=_SECONDS).stdout
