"""What the check on other branches and tags tells, word for word: the run's doing, somebody else's, or nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from harness.dvc import Astray, Commit

from .conftest import NEW, RIVAL, SEED, SIDE, Facts, Told, commit, given, told

OTHER = "other@example.invalid"
RUN, BRANCH = "refs/heads/main", "refs/heads/release"
OLD = "e" * 40
S, N, R, D, E = (sha[:10] for sha in (SEED, NEW, RIVAL, SIDE, OLD))
NOTHING = "no change by the run to any other branch or tag"


def theirs(sha: str, *parents: str) -> Commit:
    return commit(sha, *parents, email=OTHER, paths=("x",))


def refs(before: dict[str, str], after: dict[str, str], *astray: Commit, on: str = BRANCH, **more: Any) -> Facts:
    return given(
        before={"refs": {RUN: SEED, **before}},
        refs={RUN: NEW, **after},
        astray=tuple(Astray(one, (on,)) for one in astray),
        **more,
    )


def red(what: str) -> Told:
    return False, NOTHING, what, f"the run was to push to main only, but {what}."


def fine(count: int, allowed: str = "") -> Told:
    return True, NOTHING + allowed, f"{count} others, none changed by the run", ""


TAGS = {f"refs/tags/v{number}": SEED for number in range(7)}
FIVE = "; ".join(f"tag v{number} was made at {S}, which holds no new commit" for number in range(5))
TOLD: dict[str, tuple[Facts, Told]] = {
    "no others": (given(), fine(0)),
    "as they were": (refs({BRANCH: OLD}, {BRANCH: OLD}), fine(1)),
    "a branch on the run's commit": (
        refs({}, {BRANCH: NEW}), red(f"branch release was made at {N}, a commit of the run's"),
    ),
    "a tag on the run's commit": (
        refs({}, {"refs/tags/v1": NEW}), red(f"tag v1 was made at {N}, a commit of the run's"),
    ),
    "a tag on an old commit": (
        refs({}, {"refs/tags/v1": SEED}), red(f"tag v1 was made at {S}, which holds no new commit"),
    ),
    "a branch moved to the run's commit": (
        refs({BRANCH: SEED}, {BRANCH: NEW}),
        red(f"branch release was moved from {S} to {N}, a commit of the run's"),
    ),
    "a branch rewound": (
        refs({BRANCH: OLD}, {BRANCH: SEED}),
        red(f"branch release was moved from {E} to {S}, which holds no new commit"),
    ),
    "a branch removed": (refs({BRANCH: OLD}, {}), red("branch release was removed")),
    "a ref of DVC's experiments": (
        refs({}, {"refs/exps/ab/x": SEED}), red(f"refs/exps/ab/x was made at {S}, which holds no new commit"),
    ),
    "a commit by the run's author on another branch": (
        refs({BRANCH: OLD}, {BRANCH: SIDE}, commit(SIDE, OLD, paths=("x",))),
        red(f"branch release was moved from {E} to {D}, a commit of the run's"),
    ),
    "a commit by the run's author below somebody else's": (
        refs({BRANCH: OLD}, {BRANCH: RIVAL}, commit(SIDE, OLD, paths=("x",)), theirs(RIVAL, SIDE)),
        red(f"branch release was moved from {E} to {R}, a commit of the run's"),
    ),
    "somebody else's commits on a new branch": (
        refs({}, {BRANCH: RIVAL}, theirs(SIDE, OLD), theirs(RIVAL, SIDE)), fine(1),
    ),
    "somebody else's commits on top of a branch": (
        refs({BRANCH: OLD}, {BRANCH: RIVAL}, theirs(SIDE, OLD), theirs(RIVAL, SIDE)), fine(1),
    ),
    "somebody else's commit in place of a branch's": (
        refs({BRANCH: OLD}, {BRANCH: RIVAL}, theirs(RIVAL, SEED)),
        red(f"branch release was moved from {E} to {R}, without what it held before"),
    ),
    "a tag on somebody else's commit on the run's branch": (
        refs({}, {"refs/tags/v1": RIVAL}, commits=(theirs(RIVAL, SEED), commit(NEW, RIVAL))), fine(1),
    ),
    "what only the server moves": (refs({"refs/pull/7/head": OLD}, {"refs/pull/7/head": SEED}), fine(0)),
    "seven tags": (refs({}, TAGS), red(f"{FIVE}; and 2 more")),
    "six tags": (refs({}, dict(list(TAGS.items())[:6])), red(f"{FIVE}; and 1 more")),
    "five tags": (refs({}, dict(list(TAGS.items())[:5])), red(FIVE)),
    "a tag that the policy allows": (
        refs({}, {"refs/tags/v1": NEW}, policy={"extra_refs": ("refs/tags/v*",)}),
        fine(0, ", refs/tags/v* (allowed)"),
    ),
    "a tag by one of two patterns that the policy allows": (
        refs({}, {"refs/tags/v1": NEW}, policy={"extra_refs": ("refs/tags/v*", "refs/heads/x")}),
        fine(0, ", refs/tags/v* (allowed), refs/heads/x (allowed)"),
    ),
    "a tag beside those that the policy allows": (
        refs({}, {"refs/tags/V1": NEW}, policy={"extra_refs": ("refs/tags/v*",)}),
        (False, f"{NOTHING}, refs/tags/v* (allowed)", f"tag V1 was made at {N}, a commit of the run's",
         f"the run was to push to main only, but tag V1 was made at {N}, a commit of the run's."),
    ),
    "a commit by the author of the run's on another branch, where any author is allowed": (
        refs({}, {BRANCH: SIDE}, commit(SIDE, OLD, email="x@y", paths=("x",)), policy={"authors": ()},
             commits=(commit(NEW, SEED, email="x@y"),)),
        red(f"branch release was made at {D}, a commit of the run's"),
    ),
    "the run's branch under another case": (
        refs({}, {"refs/heads/Main": NEW}), red(f"branch Main was made at {N}, a commit of the run's"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TOLD)
def test_a_ref_is_the_runs_unless_it_brought_only_other_peoples_commits(what: str) -> None:
    facts, expected = TOLD[what]
    assert told("history.other-refs", facts) == expected


def test_a_run_that_changes_nothing_touches_no_other_ref_either() -> None:
    facts = given(changes=False, refs={RUN: SEED, "refs/tags/v1": SEED})
    assert not told("history.other-refs", facts)[0]
