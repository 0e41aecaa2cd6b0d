"""The form of a row, and the three tables; `mutations.py` and `variations.py` fill them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness.settings import Policy

from .play import Play

Program = Callable[[Play], None]
DEFAULT = Policy()
# Of the part of a scratch repository's name that is free.
_LONGEST = 40


def seed(play: Play) -> None:
    """The usual seed: code under test, configuration, pointer; one commit on main."""
    play.publish(play.begin())


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run, right or wrong.

    Attributes:
        name: At most 40 of a-z, 0-9 and "-".
        act: From the snapshot to what is judged.
        prepare: What there is before; ends in `Play.publish`.
        data: Name of the recorded data set.
        policy: The team's rules.
        changes: Whether a new version is expected.
        versioned: Whether the bucket keeps versions.
        options: Further lines of the remote in `.dvc/config`.
        needs_pods: Whether it makes real pods, so that it needs a cluster.
    """

    name: str
    act: Program
    prepare: Program = seed
    data: str = "table"
    policy: Policy = DEFAULT
    changes: bool = True
    versioned: bool = False
    options: tuple[str, ...] = ()
    needs_pods: bool = False


@dataclass(frozen=True, kw_only=True)
class Mutation(Row):
    """A run in which one thing is wrong.

    Attributes:
        killed_by: The check that must catch it.
        says: Words that the check's sentence must hold.
        also: Every other check that fails; there may be no further one.
    """

    killed_by: str
    says: tuple[str, ...]
    also: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Undecided(Row):
    """A run of which something was not seen that must be: neither green nor red, and exit code 3.

    Attributes:
        open_in: The check that lacks the facts.
        says: Words that the sentence must hold with which the run ends.
    """

    open_in: str
    says: tuple[str, ...]


Entry = TypeVar("Entry", bound=Row)

MUTATIONS: dict[str, Mutation] = {}
UNDECIDED: dict[str, Undecided] = {}
VARIATIONS: dict[str, Row] = {}


def mutation(killed_by: str, *says: str, also: tuple[str, ...] = (), **row: object) -> Callable[[Program], Program]:
    """Enter a program into the table of mutations, under its own name."""

    def enter(act: Program) -> Program:
        name = _name(act)
        _enter(MUTATIONS, Mutation(name=name, act=act, killed_by=killed_by, says=says, also=also, **row))  # type: ignore[arg-type]
        return act

    return enter


def undecided(open_in: str, *says: str, **row: object) -> Callable[[Program], Program]:
    """Enter a program into the table of runs without a verdict, under its own name."""

    def enter(act: Program) -> Program:
        _enter(UNDECIDED, Undecided(name=_name(act), act=act, open_in=open_in, says=says, **row))  # type: ignore[arg-type]
        return act

    return enter


def legal(**row: object) -> Callable[[Program], Program]:
    """Enter a program into the table of legal variations, under its own name."""

    def enter(act: Program) -> Program:
        _enter(VARIATIONS, Row(name=_name(act), act=act, **row))  # type: ignore[arg-type]
        return act

    return enter


def _name(act: Program) -> str:
    return act.__name__.replace("_", "-")


def _enter(table: dict[str, Entry], row: Entry) -> None:
    if row.name in {**MUTATIONS, **UNDECIDED, **VARIATIONS}:
        raise ValueError(f"two rows are called {row.name}")
    if len(row.name) > _LONGEST:
        raise ValueError(f"{row.name}: {len(row.name)} characters, where {_LONGEST} are the most")
    table[row.name] = row
