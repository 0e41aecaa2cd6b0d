"""Making, removing and looking at what is prepared: all of it or as far as it goes, and said what there is.

What is there is looked at first, and if anything is in the way nothing is made. Each thing is in the journal before it
is made. A `create` that broke off is gone on with by the next one; a `delete` goes on past what it cannot remove.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from harness.eks_admin.eksctl import KIND as CLUSTER
from harness.eks_admin.things import NEVER, Found, State, Taken, Thing
from harness.errors import CleanupFailed, GuardError, HarnessError, UsageError
from harness.journal import Journal

Say = Callable[[str], None]
# What has a suffix in its name: all else is one per cluster.
_SUFFIXED: Final = frozenset({"aws-bucket", "aws-role", "aws-repository"})
_APART: Final = "or --suffix for names of its own, if the cluster has no environment yet"
# What decides which things there are, and their names, besides the suffix, which has a journal of its own.
_OTHERS: Final = "(--identity, eks.registry, eks.ecr_prefix, eks.bucket)"
_ONE: Final = (
    "a cluster has one environment, and --suffix does not help: what is in it has one name in all; what another one "
    "has there goes by harness eks delete, with its suffix"
)

_THEN: Final = "then harness eks create again goes on from here, or harness eks delete takes back what was made"


@dataclass(frozen=True, slots=True)
class Stands:
    """How a thing stands.

    Attributes:
        thing: Which.
        found: How.
    """

    thing: Thing
    found: Found


def look(things: Sequence[Thing]) -> list[Stands]:
    """How each stands.

    Raises:
        EnvironmentFailed: One may not be asked.
    """
    return [Stands(thing, thing.look()) for thing in things]


def create(things: Sequence[Thing], *, adopt: frozenset[str], journal: Journal, say: Say) -> None:
    """Have all of them there, and ours as they should be.

    Args:
        things: In the order in which they are made.
        adopt: Names of those that are somebody else's and are to be used as they are.
        journal: Told before each is made.
        say: Told what was done.

    Raises:
        UsageError: A name to adopt is of none of them.
        GuardError: One is somebody else's, and not adopted; or one of ours is for good, and is to expire. Nothing was
            made.
        EnvironmentFailed: One could not be made; what was made before stays.
    """
    if unknown := adopt - {thing.name for thing in things}:
        raise UsageError(
            f"nothing here is named {', '.join(sorted(unknown))}, so it cannot be adopted",
            evidence={"names": ", ".join(dict.fromkeys(thing.name for thing in things))},
        )
    standing = look(things)
    _refuse_foreign(standing, adopt)
    _refuse_shorter(standing)
    done: list[str] = []
    for one in standing:
        try:
            said = _have(one, journal)
        except HarnessError as error:
            if done:
                error.evidence["made before"] = ", ".join(done)
            error.next_step = f"{error.next_step or 'mend what is told above'}; {_THEN}"
            raise
        say(f"{one.thing.what}: {said}")
        for line in one.found.differences if one.found.state in {State.ADOPTED, State.FOREIGN} else ():
            say(f"  not as it would be made, and left so: {line}")
        done.append(one.thing.what)


def hold_identity(other: Thing, there: str) -> None:
    """Hold the pods to get their role in one way: the role's trust is that of one, and in the other they would lose it.

    Args:
        other: What gives them the role in the way that is not asked for.
        there: That way, as `--identity` names it.

    Raises:
        GuardError: It is there, and counts for this environment.
    """
    found = other.look()
    if found.state in {State.OURS, State.ADOPTED}:
        raise GuardError(
            f"the pods of this environment get their role by --identity {there}; nothing was made",
            evidence={other.what: str(found)},
            next_step=f"create with --identity {there}; or harness eks delete --identity {there} first",
        )


def _refuse_foreign(standing: Sequence[Stands], adopt: frozenset[str]) -> None:
    foreign = [one for one in standing if one.found.state is State.FOREIGN]
    refused = [one for one in foreign if one.thing.name not in adopt or not one.found.adoptable]
    if refused:
        names = list(dict.fromkeys(one.thing.name for one in refused if one.found.adoptable))
        flags = " ".join(f"--adopt {name}" for name in names)
        steps = [f"give {flags}, if they may be used" if flags else "", _APART]
        if any(one.thing.kind not in _SUFFIXED for one in refused if not one.found.adoptable):
            steps = [_ONE]
        raise GuardError(
            "there is something of that name already, and it is not this environment's; nothing was made",
            evidence={one.thing.what: str(one.found) for one in refused},
            next_step=" ".join(step for step in steps if step),
        )


def _refuse_shorter(standing: Sequence[Stands]) -> None:
    """What was prepared for good has a bucket that somebody counts on: no flag left over gives it to a sweep."""
    for_good = [
        one
        for one in standing
        if one.found.state is State.OURS and one.found.expires == NEVER and one.thing.marks.expires != NEVER
    ]
    if for_good:
        raise GuardError(
            "what is there was prepared for good, and with a lifetime a sweep would remove it; nothing was made",
            evidence={one.thing.what: str(one.found) for one in for_good},
            next_step="leave --lifetime out (and --eks-create, which has one); or harness eks delete first",
        )


def _have(one: Stands, journal: Journal) -> str:
    """Have a thing there; what was done, in a word."""
    thing = one.thing
    if one.found.state is State.ABSENT:
        entry = journal.record(thing.kind, thing.name)
        try:
            thing.make()
        except Taken:
            journal.removed(entry)
            raise GuardError(
                f"the {thing.what} was made by somebody else just now", next_step="look with harness eks status"
            ) from None
        return "made"
    if one.found.state is State.FOREIGN:
        thing.adopt()
        return "adopted"
    if one.found.state is State.OURS and (one.found.differences or not thing.marks.expire_as(one.found)):
        thing.mend()
        after = thing.look()
        left = [*after.differences, *([after.note] if after.note else [])]
        return "mended" if not left else f"mended, but: {'; '.join(left)}"
    if one.found.state is State.OURS:
        return f"there already ({one.found.note})" if one.found.note else "there already"
    return f"{one.found}"


def delete(
    things: Sequence[Thing], *, journal: Journal, say: Say, later: frozenset[str] = frozenset({CLUSTER})
) -> bool:
    """Remove what is ours, let go of what is adopted, leave the rest; the last that was made goes first.

    Args:
        things: In the order in which they are made.
        journal: Told of each that is gone.
        say: Told what was done.
        later: Kinds in the journal that go after all this, as the cluster does.

    Returns:
        Whether anything was ours, or adopted.

    Raises:
        CleanupFailed: Something of ours is still there; names it, with the reason.
    """
    any_ours = False
    left: dict[str, str] = {}
    steps: list[str] = []
    for thing in reversed(things):
        try:
            found = thing.look()
            said = _let_go(thing, found)
        except HarnessError as error:
            left[thing.what] = "; ".join([error.message, *error.evidence.values()])
            steps += [error.next_step] if error.next_step else []
            continue
        any_ours = any_ours or found.state in {State.OURS, State.ADOPTED}
        if found.state in {State.ABSENT, State.OURS}:
            for entry in journal.open():
                if (entry.kind, entry.name) == (thing.kind, thing.name):
                    journal.removed(entry)
        say(f"{thing.what}: {said}")
    known = {(thing.kind, thing.name) for thing in things}
    for entry in journal.open():
        if (entry.kind, entry.name) not in known and entry.kind not in later:
            left[f"{entry.kind} {entry.name}"] = f"in the journal, made with other flags or settings {_OTHERS}"
            steps.append(f"give them as they were for create {_OTHERS}")
    if left:
        raise CleanupFailed(
            f"still there: {', '.join(left)}",
            evidence=left,
            next_step="; ".join(dict.fromkeys([*steps, "then harness eks delete again"])),
        )
    return any_ours


def _let_go(thing: Thing, found: Found) -> str:
    if found.state is State.OURS:
        thing.remove()
        return "removed"
    if found.state is State.ADOPTED and not found.note:
        thing.release()
        return "let go, not removed: it was adopted"
    return "not there" if found.state is State.ABSENT else f"left: {found}"
