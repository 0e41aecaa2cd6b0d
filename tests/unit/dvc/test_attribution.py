"""Whose commit is it, and what lies on the branch's own line?"""

from __future__ import annotations

import pytest

from harness.dvc import Commit
from harness.dvc.attribution import descends, final_commit, first_parents, own_commits, reached

from .conftest import NEW, POINTER, RIVAL, SEED, SIDE, commit, given

OTHER = "other@example.invalid"
TOUCHING = commit(NEW, SEED)
RIVALS = commit(RIVAL, SEED, email=OTHER, paths=("x",))
ANY, NAMED = given(policy={"authors": ()})[0], given()[0]


def test_a_named_author_owns_all_commits_and_nobody_else_any_that_leaves_the_pointer() -> None:
    log = commit(SIDE, NEW, paths=("log",))
    assert own_commits([RIVALS, TOUCHING, log], NAMED) == (TOUCHING, log)


def test_who_touches_the_pointer_made_the_run_whoever_it_is() -> None:
    assert own_commits([commit(NEW, SEED, email=OTHER)], NAMED)


def test_where_any_author_is_allowed_the_one_who_touched_the_pointer_is_the_runs() -> None:
    log = commit(SIDE, NEW, paths=("log",))
    assert own_commits([RIVALS, TOUCHING, log], ANY) == (TOUCHING, log)


@pytest.mark.parametrize(
    ("commits", "final"),
    [
        ((), None),
        ((RIVALS,), None),
        ((TOUCHING, commit(SIDE, NEW, paths=("log",))), SIDE),
        ((TOUCHING, commit(SIDE, NEW, RIVAL, paths=())), NEW),
        ((TOUCHING, commit(SIDE, NEW, RIVAL, paths=(POINTER,))), SIDE),
        ((commit(NEW, SEED, RIVAL, paths=()), commit(SIDE, NEW, RIVAL, paths=())), SIDE),
        ((commit(SIDE, SEED, RIVAL, paths=()),), SIDE),
    ],
)
def test_the_final_commit_is_the_last_own_one_that_is_no_mere_merge(
    commits: tuple[Commit, ...], final: str | None
) -> None:
    found = final_commit(commits, NAMED)
    assert (found.sha if found else None) == final


def test_the_branchs_own_line_follows_first_parents() -> None:
    commits = [commit(SIDE, SEED), commit(RIVAL, SEED), commit(NEW, SIDE, RIVAL)]
    assert first_parents(commits, NEW) == (NEW, SIDE)
    assert first_parents([commit(NEW)], NEW) == (NEW,)
    assert first_parents(commits, None) == ()


def test_what_a_commit_reaches_are_its_ancestors_through_any_parent_and_itself() -> None:
    commits = [commit(SIDE, SEED), commit(RIVAL, SEED), commit(NEW, SIDE, RIVAL)]
    assert reached(NEW, commits) == {SIDE, RIVAL, NEW}
    assert reached(RIVAL, commits) == {RIVAL}
    assert reached(SEED, commits) == set()


def test_descent_is_found_through_any_parent_and_only_then() -> None:
    commits = [commit(SIDE, SEED), commit(RIVAL, "e" * 40, SIDE), commit(NEW, RIVAL)]
    assert descends(commits[-1], SEED, commits)
    assert descends(commits[0], SEED, commits)
    assert not descends(commits[-1], "f" * 40, commits)
    assert not descends(commits[0], RIVAL, commits)
