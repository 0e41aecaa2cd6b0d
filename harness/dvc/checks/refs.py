"""The check on all refs besides the run's branch: did the run make, move or remove one?

A ref does not say who moved it, so this is told from what it brought: new commits of other people, none of the run's,
on top of what it held before. Whatever else happened to a ref (made or moved to a commit of the run's or to an old
one, rewound, removed) may have been the run's doing and is red, unless the policy allows that ref.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from harness.dvc.attribution import descends, own_commits
from harness.dvc.case import Case
from harness.dvc.rules import Finding, Rule, cut

# Refs that no push moves: servers keep them for merge requests, pipelines and the like
# (GitHub, GitLab, Bitbucket and Gitea, as `git ls-remote` lists them).
_KEPT_BY_SERVERS: Final = (
    "refs/pull/", "refs/merge-requests/", "refs/pull-requests/", "refs/keep-around/", "refs/pipelines/",
    "refs/environments/",
)  # fmt: skip
_SHOWN = 5


def other_refs(case: Case) -> Finding:
    """Whether every ref but the policy's branch is as it was, or was moved by others."""
    policy = case.expectation.policy
    judged = {
        name
        for name in case.evidence.before.refs.keys() | case.evidence.refs.keys()
        if name != f"refs/heads/{policy.branch}"
        and not name.startswith(_KEPT_BY_SERVERS)
        and not any(fnmatchcase(name, pattern) for pattern in policy.extra_refs)
    }
    problems = [problem for name in sorted(judged) if (problem := _problem(case, name))]
    told = cut(problems, _SHOWN)
    allowed = "".join(f", {pattern} (allowed)" for pattern in policy.extra_refs)
    why = f"the run was to push to {policy.branch} only, but {told}."
    return Finding(
        not problems, f"no change by the run to any other branch or tag{allowed}",
        told or f"{len(judged)} others, none changed by the run", why if problems else "",
    )  # fmt: skip


def ref_title(ref: str) -> str:
    """A ref as the reader calls it."""
    for start, kind in (("refs/heads/", "branch "), ("refs/tags/", "tag ")):
        if ref.startswith(start):
            return kind + ref.removeprefix(start)
    return ref


def _problem(case: Case, name: str) -> str:
    old, new, title = case.evidence.before.refs.get(name), case.evidence.refs.get(name), ref_title(name)
    if new == old:
        return ""
    if new is None:
        return f"{title} was removed"
    change = f"{title} was made at {new[:10]}" if old is None else f"{title} was moved from {old[:10]} to {new[:10]}"
    brought = [entry.commit for entry in case.evidence.astray if name in entry.refs]
    # Parents before children: what is not on the branch is never an ancestor of what is.
    fresh = [*case.evidence.commits, *(entry.commit for entry in case.evidence.astray)]
    tip = next((commit for commit in fresh if commit.sha == new), None)
    if tip is None:
        return f"{change}, which holds no new commit"
    if not set(own_commits(fresh, case.expectation)).isdisjoint({*brought, tip}):
        return f"{change}, a commit of the run's"
    if old is not None and not descends(tip, old, fresh):
        return f"{change}, without what it held before"
    return ""


REF_RULES: Final = (Rule("history.other-refs", "no other branch or tag was touched", other_refs),)
