"""Whose commit is it? Other DAGs and people push to the same branch while a run lasts; that is legal.

A commit is the run's own if it touches the pointer under test, or if its author or committer is one that the policy
names (or, where the policy allows any author, the author of one that touches the pointer). Everybody else's commits
are rivals: allowed, and not judged.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.dvc.evidence import Expectation
from harness.dvc.repository import Commit


def own_commits(commits: Sequence[Commit], expectation: Expectation) -> tuple[Commit, ...]:
    """Those of the given commits that the run under judgement made, merges included, in the given order."""
    touching = {commit.sha for commit in commits if expectation.pointer_path in commit.paths}
    authors = set(expectation.policy.authors) or {commit.email for commit in commits if commit.sha in touching}
    return tuple(
        commit
        for commit in commits
        if commit.sha in touching or not authors.isdisjoint({commit.email, commit.committer})
    )


def final_commit(commits: Sequence[Commit], expectation: Expectation) -> Commit | None:
    """The last of the run's own commits (given parents before children) that is no mere merge, or None."""
    own = own_commits(commits, expectation)
    telling = [commit for commit in own if not commit.is_merge or expectation.pointer_path in commit.paths]
    if telling:
        return telling[-1]
    return own[-1] if own else None


def first_parents(commits: Sequence[Commit], tip: str | None) -> tuple[str, ...]:
    """The branch's own line, from its tip (None: it has none) back as far as the given commits go."""
    by_sha = {commit.sha: commit for commit in commits}
    line: list[str] = []
    while tip in by_sha:
        commit = by_sha[tip]
        line.append(commit.sha)
        tip = commit.parents[0] if commit.parents else None
    return tuple(line)


def reached(tip: str, commits: Sequence[Commit]) -> frozenset[str]:
    """The given commits (parents before children) that are in the history of `tip`, itself included."""
    found = {tip}
    for commit in reversed(commits):
        if commit.sha in found:
            found.update(commit.parents)
    return frozenset(commit.sha for commit in commits if commit.sha in found)


def descends(commit: Commit, ancestor: str, commits: Sequence[Commit]) -> bool:
    """Whether `ancestor` is reached from a commit by way of the given commits (parents before children)."""
    line = {ancestor}
    for other in commits:
        if not line.isdisjoint(other.parents):
            line.add(other.sha)
    return not line.isdisjoint(commit.parents)
