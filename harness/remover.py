"""Removes single things that runs have made: each in the very engine it was made in, never under a live run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.errors import CleanupFailed, HarnessError
from harness.foreign_git import KIND as BRANCH
from harness.foreign_git import branch_left
from harness.git_settings import GitSettings
from harness.journal import Entry
from harness.lookalike import store
from harness.lookalike.hosting import Folder
from harness.lookalike.process import GatewayProcess
from harness.lookalike_environments import environments_held, forget
from harness.model import Engine
from harness.process import Runner
from harness.supply.engine import EngineSupply
from harness.targets.attached.folder import target_of
from harness.targets.eks import environment as eks
from harness.targets.existing import environment as existing
from harness.targets.namelock import name_held
from harness.targets.ownership import Standing, runs_of
from harness.targets.removal import remove_cluster, remove_container, remove_image_name
from harness.wait import Waiter

# What removes an environment in a cluster that was attached to, by its target: no container engine has those.
_ATTACHED: Final[Mapping[str, Callable[..., None]]] = {
    eks.TARGET: eks.remove_environment,
    existing.TARGET: existing.remove_environment,
}


@dataclass(slots=True)
class Remover:
    """Removes clusters and containers.

    Attributes:
        engines: Finds the engine that a thing was made in; each is held until the block of `removing` ends.
        runner: Runs docker.
        waiter: How patient to be with what goes slowly.
        git: Who asks a Git server outside of the cluster, where the run has kept nothing of that.
        say: Told of what goes with what is removed.
    """

    engines: EngineSupply
    runner: Runner
    waiter: Waiter = field(default_factory=Waiter)
    git: GitSettings = field(default_factory=GitSettings)
    say: Callable[[str], None] = lambda _text: None
    _found: dict[str | None, Engine | None] = field(default_factory=dict)
    _missing: dict[str | None, HarnessError] = field(default_factory=dict)

    def cluster(self, folder: Path, host: str | None, *, run: str = "") -> Standing:
        """Remove a cluster with all that belongs to it, if a run of this state folder has made it.

        Args:
            folder: Of the cluster; its name is the cluster's.
            host: The engine it was made in, as `Engine.host`; None if that is not known.
            run: A run that was about to make it; besides the one that the folder names.

        Returns:
            What there was: removed, and of others, left.

        Raises:
            GuardError: A run uses it, or an environment in it.
            EngineError: The engine that it was made in does not answer.
            CleanupFailed: Something is still there.
        """
        with name_held(folder):
            return self._cluster(folder, host, run=run)

    def _cluster(self, folder: Path, host: str | None, *, run: str) -> Standing:
        """Remove a cluster whose name is held."""
        if (remove := _ATTACHED.get(target_of(folder))) is not None:
            remove(folder, waiter=self.waiter)
            return Standing()
        engine, runs = self._engine(host), _runs(folder, run)
        if not Folder.of_cluster(folder).path.is_dir():
            return self._kind_cluster(folder, engine, runs)
        with environments_held(folder) as environments:
            self.gateway(folder, host, runs=runs)
            there = self._kind_cluster(folder, engine, runs)
            forget(environments, folder.name, say=self.say)
        return there

    def _kind_cluster(self, folder: Path, engine: Engine | None, runs: Collection[str]) -> Standing:
        """Remove a cluster by the engine that has it; of one that is gone there is the folder alone."""
        if engine is not None:
            return remove_cluster(folder.name, runs=runs, folder=folder, engine=engine, runner=self.runner)
        if folder.is_dir():
            shutil.rmtree(folder)  # its engine is gone with everything in it
        return Standing()

    def gateway(self, folder: Path, host: str | None, *, runs: Collection[str]) -> None:
        """End the look-alike of the cluster with a folder, and remove the store that these runs have made for it."""
        GatewayProcess(Folder.of_cluster(folder)).end()
        engine = self._engine(host)
        if engine is not None:
            store.remove(folder.name, runs=runs, engine=engine, runner=self.runner)

    def container(self, name: str, host: str | None) -> None:
        """Remove one container; the same errors as `cluster`."""
        engine = self._engine(host)
        if engine is not None:
            remove_container(name, engine=engine, runner=self.runner)

    def entry(self, entry: Entry, *, run: str) -> Standing | None:
        """Remove what the journal of a run names; the same as `cluster`.

        Returns:
            The same; None where it is a cluster that is kept, or belongs to one: that stays.
        """
        host = entry.detail.get("host")
        if entry.kind == "container":
            self.container(entry.name, host)
            return Standing()
        if entry.kind == "image-name":
            engine = self._engine(host)
            if engine is not None:
                remove_image_name(entry.name, engine=engine, runner=self.runner)
            return Standing()
        if entry.kind == BRANCH:
            return self._branch(entry)
        if entry.kind not in {"cluster", "gateway", *_ATTACHED}:
            raise CleanupFailed(f"this version does not know how to remove a {entry.kind}")
        folder = _folder_of(entry)
        with name_held(folder):
            if is_kept(folder):  # asked under its name: a run that took it over may have come to its end by now
                return None
            if entry.kind == "cluster":
                return self._cluster(folder, host, run=run)
            if (remove := _ATTACHED.get(entry.kind)) is not None:
                remove(folder, waiter=self.waiter)
            else:
                self.gateway(folder, host, runs=_runs(folder, run))
        return Standing()

    def _branch(self, entry: Entry) -> Standing:
        """Remove the throw-away branch that a journal names, unless it is somebody else's."""
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            gone = branch_left(entry, self.git, runner=self.runner, scratch=Path(scratch)).remove()
        return (
            Standing() if gone else Standing(foreign={entry.name: f"branch {entry.name} on {entry.detail['remote']}"})
        )

    def _engine(self, host: str | None) -> Engine | None:
        if host in self._missing:
            raise self._missing[host]  # waiting for it once is enough
        if host not in self._found:
            try:
                self._found[host] = self.engines.acquire() if host is None else self.engines.acquire_at(host)
            except HarnessError as error:
                self._missing[host] = error
                raise
        return self._found[host]


def is_kept(folder: Path) -> bool:
    """Whether a cluster came up whole and was left on purpose: it has its mark; one of a killed run has not."""
    return (folder / "kept").exists()


def folder_named(entry: Entry) -> Path | None:
    """Of a cluster; None where the journal is damaged."""
    folder = entry.detail.get("folder")
    return Path(folder) if folder else None


def _folder_of(entry: Entry) -> Path:
    """The same, where there is nothing to remove without it."""
    folder = folder_named(entry)
    if folder is None:
        raise CleanupFailed(f"the journal names the {entry.kind} {entry.name} without its folder")
    return folder


def _runs(folder: Path, run: str) -> frozenset[str]:
    """Whose the cluster of a folder may be: a run's that was about to make it, and its that the folder names."""
    return runs_of(folder) | ({run} if run else set())
