"""Removal by exact name, for runs that can no longer clean up after themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.errors import CleanupFailed, CommandFailed, HarnessError
from harness.model import Engine
from harness.names import LABEL_RUN
from harness.process import Runner
from harness.targets.ownership import KIND_LABEL

_SECONDS = 120


def remove_cluster(name: str, *, folder: Path, engine: Engine, runner: Runner) -> None:
    """Remove a kind cluster's nodes, its network and its folder; no error for what is not there.

    It goes by kind's own label and the exact name, without the kind program: that may be gone with the caches.

    Raises:
        CleanupFailed: Something is still there; names it.
    """
    problems: dict[str, str] = {}
    nodes = _docker(engine, runner, "ps", "--all", "--quiet", "--filter", f"label={KIND_LABEL}={name}").split()
    for node in nodes:
        try:
            remove_container(node, engine=engine, runner=runner)
        except HarnessError as error:
            problems[f"container {node}"] = error.message
    if not problems:
        try:
            remove_network(name, engine=engine, runner=runner)
        except HarnessError as error:
            problems[f"network {name}"] = error.message
    if problems:
        raise CleanupFailed(f"the cluster {name} is not gone", evidence=problems, next_step="harness sweep")
    if folder.is_dir():
        shutil.rmtree(folder)


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


def remove_network(name: str, *, engine: Engine, runner: Runner) -> None:
    """Remove a network of ours; no error if there is none.

    By our label, too: a network of that name which somebody else made is not ours to remove.

    Raises:
        CommandFailed: The engine refused it.
    """
    ours = ("--filter", f"name=^{name}$", "--filter", f"label={LABEL_RUN}")
    if name in _docker(engine, runner, "network", "ls", *ours, "--format", "{{.Name}}").split():
        _docker(engine, runner, "network", "rm", name)


def _docker(engine: Engine, runner: Runner, *arguments: str) -> str:
    return runner.run([engine.docker, *arguments], env=engine.env, timeout=_SECONDS).stdout
