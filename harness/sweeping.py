"""Removal of what a run has left or kept: by exact name, in the very engine it was made in, never under a live run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import CleanupFailed, GuardError, HarnessError
from harness.journal import Entry, Journal
from harness.liveness import is_alive
from harness.model import Engine
from harness.process import Runner
from harness.supply.engine import EngineSupply
from harness.targets.namelock import name_held, remove_idle_locks
from harness.targets.removal import remove_cluster, remove_container


@dataclass(slots=True)
class Remover:
    """Removes clusters and containers.

    Attributes:
        engines: Finds the engine that a thing was made in; each is held until the block of `removing` ends.
        runner: Runs docker.
    """

    engines: EngineSupply
    runner: Runner
    _found: dict[str | None, Engine | None] = field(default_factory=dict)
    _missing: dict[str | None, HarnessError] = field(default_factory=dict)

    def cluster(self, folder: Path, host: str | None) -> None:
        """Remove a cluster with all that belongs to it.

        Args:
            folder: Of the cluster; its name is the cluster's.
            host: The engine it was made in, as `Engine.host`; None if that is not known.

        Raises:
            GuardError: A run uses it.
            EngineError: The engine that it was made in does not answer.
            CleanupFailed: Something is still there.
        """
        with name_held(folder):
            engine = self._engine(host)
            if engine is not None:
                remove_cluster(folder.name, folder=folder, engine=engine, runner=self.runner)
            elif folder.is_dir():
                shutil.rmtree(folder)  # its engine is gone with everything in it

    def container(self, name: str, host: str | None) -> None:
        """Remove one container; the same errors as `cluster`."""
        engine = self._engine(host)
        if engine is not None:
            remove_container(name, engine=engine, runner=self.runner)

    def entry(self, entry: Entry) -> None:
        """Remove what a journal names; the same errors as `cluster`."""
        host = entry.detail.get("host")
        if entry.kind == "cluster":
            self.cluster(Path(entry.detail["folder"]), host)
        elif entry.kind == "container":
            self.container(entry.name, host)
        else:
            raise CleanupFailed(f"this version does not know how to remove a {entry.kind}")

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


@contextmanager
def removing(engines: EngineSupply, runner: Runner, *, clusters: Path) -> Iterator[Remover]:
    """A remover; afterwards our own engine is stopped unless a run or a kept cluster needs it.

    Args:
        engines: The engines of this state folder.
        runner: Runs docker.
        clusters: The folder of all clusters.
    """
    try:
        yield Remover(engines, runner)
    finally:
        engines.release(keep=True)
        engines.stop_unused(keep=_needed(engines, clusters))


def sweep(state_dir: Path, engines: EngineSupply, runner: Runner, *, say: Callable[[str], None]) -> int:
    """Remove what the journals of runs that are over say was left behind; kept clusters stay.

    An engine of our own that a killed run left running is stopped as well, if nothing needs it.

    Returns:
        How many things were removed.

    Raises:
        CleanupFailed: Something is still there; names it.
    """
    problems: dict[str, str] = {}
    busy: set[Path] = set()
    swept = 0
    over = [folder for folder in sorted((state_dir / "runs").glob("*")) if not is_alive(folder)]
    ran = engines.runs
    with removing(engines, runner, clusters=state_dir / "clusters") as remover:
        for journal in (Journal(folder / "journal.jsonl") for folder in over):
            for entry in _left_behind(journal):
                try:
                    remover.entry(entry)
                except GuardError as error:
                    busy.add(journal.path.parent)
                    say(f"left {entry.kind} {entry.name}: {error.message}")
                except HarnessError as error:
                    busy.add(journal.path.parent)
                    problems[f"{entry.kind} {entry.name}"] = error.message
                else:
                    journal.removed(entry)
                    swept += 1
                    say(f"removed {entry.kind} {entry.name}")
    for folder in over:
        if folder not in busy:
            shutil.rmtree(folder)
    remove_idle_locks(state_dir / "clusters")
    if ran and not engines.runs:
        swept += 1
        say("stopped the harness's own container engine: no run and no kept cluster needs it")
    if problems:
        raise CleanupFailed("some things could not be removed", evidence=problems, next_step="harness doctor")
    return swept


def _left_behind(journal: Journal) -> list[Entry]:
    return [entry for entry in journal.open() if entry.kind != "cluster" or not is_kept(Path(entry.detail["folder"]))]


def is_kept(folder: Path) -> bool:
    """Whether a cluster came up whole and was left on purpose: it has its mark; one of a killed run has not."""
    return (folder / "kept").exists()


def host_of(folder: Path) -> str | None:
    """The engine that a cluster was made in, as `Engine.host`; None if its description does not say."""
    description = folder / "cluster.json"
    if not description.is_file():
        return None
    host = json.loads(description.read_text(encoding="utf-8")).get("host")
    return None if host is None else str(host)


def _needed(engines: EngineSupply, clusters: Path) -> bool:
    """Whether a kept cluster is in our own engine."""
    return any(is_kept(folder) and host_of(folder) in {None, engines.own_host} for folder in clusters.glob("*"))
