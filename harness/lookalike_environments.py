"""The environments in an EKS look-alike: they go with it, for what is in them is in its cluster and in its store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.errors import EnvironmentFailed, GuardError, HarnessError
from harness.journal import Journal
from harness.liveness import over
from harness.lookalike.account import NUMBER
from harness.targets.attached.target import name_for
from harness.targets.eks.environment import TARGET, described
from harness.targets.namelock import name_held
from harness.targets.use import use_of


@contextmanager
def environments_held(folder: Path) -> Iterator[list[Path]]:
    """The folders of the environments in a look-alike, which no run begins or takes up while the block runs.

    Args:
        folder: Of the look-alike's cluster; it need not exist, and then they are those that it has left behind.

    Raises:
        GuardError: A run is using one, or is about to make the one that has its name from the cluster.
    """
    found = _environments(folder)
    # One that a run is about to make is known by its name alone.
    own = folder.parent / name_for(TARGET, folder.name)
    begun = [own] if folder.exists() and not use_of(own) else []
    with ExitStack() as held:
        for path in [*found, *begun]:
            try:
                held.enter_context(name_held(path))
            except GuardError as error:
                raise GuardError(
                    f"a run is using the environment {path.name}, which is in the look-alike {folder.name}",
                    next_step="wait for that run to end, or interrupt it; then again",
                ) from error
        yield found


def forget(environments: Iterable[Path], lookalike: str, *, say: Callable[[str], None]) -> None:
    """Remove the folders of environments whose look-alike is gone, and close what journals of runs name of them.

    Args:
        environments: Their folders, whose names are held.
        lookalike: Its name.
        say: Told of each.
    """
    for folder in environments:
        shutil.rmtree(folder)
        _close(folder, say)
        say(f"removed the environment {folder.name}: what was in it went with the look-alike {lookalike}")


def _environments(folder: Path) -> list[Path]:
    """By the account, which is nobody's in AWS, and the name of the cluster."""
    clusters = folder.parent
    return [path for path in sorted(clusters.glob("*")) if _place(path) == [NUMBER, f"cluster/{folder.name}"]]


def _place(folder: Path) -> list[str]:
    """Account and cluster of the environment with a folder, by the ARN that its context is."""
    try:
        found = described(folder)
    except EnvironmentFailed:
        return []  # damaged: nothing says where it is, and whoever is to remove that one is told
    return found.context.split(":")[4:] if found is not None else []


def _close(folder: Path, say: Callable[[str], None]) -> None:
    """Close the entries of an environment in the journals of runs that are over; the one of a kept one has none."""
    with over(folder.parent.parent / "runs") as runs:
        for run in runs:
            try:
                journal = Journal(run / "journal.jsonl")
                for entry in journal.open():
                    if entry.kind == TARGET and entry.detail.get("folder") == str(folder):
                        journal.removed(entry)
            except HarnessError as error:
                say(f"left the journal of run {run.name}: {error.message}")
