"""Removal of what a run has left or kept: by exact name, in the very engine it was made in, never under a live run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import CleanupFailed, GuardError, HarnessError
from harness.git_settings import GitSettings
from harness.journal import Entry, Journal
from harness.liveness import bury, over
from harness.lookalike.store import container_of
from harness.orphans import end_orphans
from harness.process import Runner
from harness.remover import Remover, folder_named, is_kept
from harness.supply.engine import EngineSupply
from harness.supply.inuse import IN_USE_FOLDER, live_runs
from harness.supply.locks import LOCKS_FOLDER, remove_idle
from harness.targets.attached.folder import is_attached
from harness.targets.dangling import dangling
from harness.targets.namelock import remove_idle_locks

# Of the command line of a program that is ended, for the reader.
_COMMAND_WIDTH = 100


@contextmanager
def removing(
    engines: EngineSupply,
    runner: Runner,
    *,
    clusters: Path,
    git: GitSettings | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Iterator[Remover]:
    """A remover; afterwards our own engine is stopped unless a run or a kept cluster needs it.

    Args:
        engines: The engines of this state folder.
        runner: Runs docker.
        clusters: The folder of all clusters.
        git: Who asks a Git server outside of the cluster.
        say: Told of what goes with what is removed.
    """
    try:
        yield Remover(engines, runner, git=git or GitSettings(), say=say)
    finally:
        engines.release(keep=True)
        engines.stop_unused(keep=_needed(engines, clusters))


def sweep(
    state_dir: Path,
    engines: EngineSupply,
    runner: Runner,
    *,
    cache_dir: Path,
    say: Callable[[str], None],
    git: GitSettings | None = None,
) -> int:
    """Remove what runs that are over have left behind; kept clusters stay.

    In this order: their programs that still run, so that nothing is made any more; what their journals name, newest
    first; their folders, and what they have left of locks. Past errors it goes on. An engine of our own that a killed
    run left running is stopped as well, if nothing needs it, and cleaned up after if it was killed itself.

    What carries our label beyond its time and stands in no journal here is named, and left: it may be another user's.

    Returns:
        How many things were removed.

    Raises:
        CleanupFailed: Something is still there; names it.
    """
    ran, unclean = engines.runs, engines.unclean
    with over(state_dir / "runs") as folders:
        sweeper = _Sweeper(say)
        for folder in folders:
            sweeper.programs(folder)
        with removing(engines, runner, clusters=state_dir / "clusters", git=git, say=say) as remover:
            for folder in folders:
                sweeper.things(folder, remover)
            sweeper.look_round(engines, runner, known=_clusters(state_dir))
        for folder in folders:
            sweeper.folder(folder)
    remove_idle_locks(state_dir / "clusters")
    if (cache_dir / IN_USE_FOLDER).is_dir():
        live_runs(cache_dir)
    remove_idle(cache_dir / LOCKS_FOLDER)
    if ran and not engines.runs:
        sweeper.swept += 1
        say("stopped the harness's own container engine: no run and no kept cluster needs it")
    elif unclean and not engines.unclean:
        sweeper.swept += 1
        say("cleaned up after the harness's own container engine, which was killed")
    if sweeper.problems:
        raise CleanupFailed(
            "some things could not be removed",
            evidence=sweeper.problems,
            next_step="harness doctor, then harness sweep",
        )
    return sweeper.swept


@dataclass(slots=True)
class _Sweeper:
    """Removes what single runs have left, and remembers what could not be."""

    say: Callable[[str], None]
    swept: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    busy: set[Path] = field(default_factory=set)
    told: set[Path] = field(default_factory=set)

    def programs(self, folder: Path) -> None:
        """End what the run of a folder has left running."""
        try:
            for command in end_orphans(folder.name):
                self.swept += 1
                self.told.add(folder)
                self.say(f"ended {command[:_COMMAND_WIDTH]}")
        except HarnessError as error:
            self._failed(folder, f"programs of {folder.name}", error)

    def things(self, folder: Path, remover: Remover) -> None:
        """Remove what the journal of a run names, newest first."""
        if folder in self.busy:
            return  # its programs may be making things still
        try:
            journal = Journal(folder / "journal.jsonl")
            entries = _left_behind(journal)
        except HarnessError as error:
            self._failed(folder, f"run {folder.name}", error)
            return
        for entry in entries:
            try:
                there = remover.entry(entry, run=folder.name)
            except GuardError as error:
                self.busy.add(folder)
                self.say(f"left {entry.kind} {entry.name}: {error.message}")
            except HarnessError as error:
                self._failed(folder, f"{entry.kind} {entry.name}", error)
            else:
                if there is None:
                    continue  # kept since this sweep began: as what was kept before
                journal.removed(entry)
                for what in there.foreign.values():
                    self.say(f"left {what}: no run here has made it")
                if there.nodes or there.networks or not there.foreign:
                    self.swept += 1
                    self.told.add(folder)
                    self.say(f"removed {entry.kind} {entry.name}")

    def folder(self, folder: Path) -> None:
        """Remove the folder of a run, if nothing of that run is left."""
        if folder in self.busy:
            return
        try:
            bury(folder)
        except OSError as error:
            self.problems[str(folder)] = str(error)
            return
        if folder not in self.told:
            # All that there was of this run; with more, it goes without saying.
            self.swept += 1
            self.say(f"removed what run {folder.name} had on disk")

    def look_round(self, engines: EngineSupply, runner: Runner, *, known: frozenset[str]) -> None:
        """Name what is past its time and in no journal here."""
        engine = engines.answering()
        try:
            found = dangling(engine, runner, known=known) if engine is not None else []
        except HarnessError as error:
            self.problems["listing what is past its time"] = error.message
            return
        for thing in found:
            self.say(f"left {thing}: no run here has made it; if it is yours, remove it with docker")

    def _failed(self, folder: Path, what: str, error: HarnessError) -> None:
        self.busy.add(folder)
        self.problems[what] = error.message


def _clusters(state_dir: Path) -> frozenset[str]:
    """Names of the clusters that are known here, kept or in use, and of what may be beside them."""
    names = [path.name for path in (state_dir / "clusters").glob("*")]
    return frozenset([*names, *map(container_of, names)])


def _left_behind(journal: Journal) -> list[Entry]:
    def kept(entry: Entry) -> bool:
        # What is beside a cluster names the cluster's folder, too, and stays with it.
        folder = folder_named(entry)
        return folder is not None and is_kept(folder)

    return [entry for entry in journal.open() if not kept(entry)]


def host_of(folder: Path) -> str | None:
    """The engine that a cluster was made in, as `Engine.host`; None if its description does not say, or is damaged."""
    description = folder / "cluster.json"
    if not description.is_file():
        return None
    try:
        host = json.loads(description.read_text(encoding="utf-8")).get("host")
    except (ValueError, AttributeError):
        return None  # a cluster must be removable, whatever has become of what is known of it
    return None if host is None else str(host)


def _needed(engines: EngineSupply, clusters: Path) -> bool:
    """Whether a kept cluster is in our own engine."""
    kept = [folder for folder in clusters.glob("*") if is_kept(folder) and not is_attached(folder)]
    return any(host_of(folder) in {None, engines.own_host} for folder in kept)
