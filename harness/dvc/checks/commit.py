"""Checks on the history of the branch and on the run's commit."""

from __future__ import annotations

from typing import Final

from harness.dvc.attribution import descends, first_parents, own_commits
from harness.dvc.case import Case
from harness.dvc.checks.refs import ref_title
from harness.dvc.evidence import Expectation
from harness.dvc.repository import Commit
from harness.dvc.rules import Finding, Rule, counted


def changes(expectation: Expectation) -> bool:
    """Whether a new version is expected."""
    return expectation.changes


def _grew(case: Case) -> Finding:
    before, after, branch = case.evidence.before, case.evidence.tip, case.expectation.policy.branch
    base = before.tip or case.expectation.seeded.sha
    expected = f"{branch} still holds {base[:10]}"
    if after is None and before.tip is None and not case.expectation.changes:
        return Finding(passed=True, expected=f"no branch {branch}, as before", found="none")
    if after is None:
        what = "is gone" if before.tip else "was never created"
        astray = _astray(case)
        where = f"; the run's commit is only on {astray}" if astray else ""
        return Finding(False, expected, "no such branch", f"the branch {branch} {what}{where}.")
    if lost := case.evidence.lost:
        return Finding(
            False,
            f"{branch} still holds {lost[:10]}",
            f"tip {after[:10]}, without it",
            f"the history of {branch} was rewritten: {lost[:10]}, which somebody else had pushed, is lost.",
        )
    if not case.evidence.grew:
        return Finding(
            False,
            expected,
            f"tip {after[:10]}, without it",
            f"the history of {branch} was rewritten: its tip was {base[:10]}, and {after[:10]} no longer holds it.",
        )
    return Finding(passed=True, expected=expected, found=f"tip {after[:10]}")


def _on_branch(case: Case) -> Finding:
    branch = case.expectation.policy.branch
    expected = f"a new commit of the run on {branch}"
    if case.final is not None:
        return Finding(passed=True, expected=expected, found=_name(case.final))
    astray = _astray(case)
    if astray:
        why = f"the run's commit is only on {astray}, not on {branch}: git push went elsewhere."
        return Finding(False, expected, f"only on {astray}", why)
    rivals = len(case.evidence.commits)
    also = f" ({rivals} of other authors)" if rivals else ""
    why = f"the run left no commit on {branch}{also}: nothing was committed, or git push did not happen."
    return Finding(False, expected, f"none{also}", why)


def _count(case: Case) -> Finding:
    if not case.expectation.changes:
        return _none(case)
    wanted = case.expectation.policy.commits
    plain = _plain(case)
    found = _listed(plain)
    made = f"the run made {counted(len(plain), 'commit')} on {case.expectation.policy.branch}"
    why = f"{made} where {wanted} is the rule: {found}."
    return _finding(len(plain) == wanted, counted(wanted, "commit"), found, why)


def _none(case: Case) -> Finding:
    found = [*case.own, *_own_astray(case)]
    why = f"the run had nothing to change, yet it made {_listed(found)}."
    return _finding(not found, "no commit of the run", _listed(found), why)


def _parent(case: Case) -> Finding:
    base = case.evidence.before.tip or case.expectation.seeded.sha
    line = first_parents(case.evidence.commits, case.evidence.tip)
    merges_allowed = case.expectation.policy.merge_commits
    expected = f"on top of the branch's tip just before the push ({base[:10]}, or a rival's commit on it)"
    problems = []
    for commit in case.own:
        if commit.is_merge:
            if not merges_allowed:
                problems.append(f"{commit.sha[:10]} is a merge, which the policy does not allow")
        elif not commit.parents:
            problems.append(f"{commit.sha[:10]} has no parent, so it carries no history")
        elif not descends(commit, base, case.evidence.commits):
            problems.append(f"{commit.sha[:10]} was made on {commit.parents[0][:10]}, which is older than {base[:10]}")
        elif commit.sha not in line and not merges_allowed:
            problems.append(
                f"{commit.sha[:10]} was made on {commit.parents[0][:10]}, not on the tip, and came in by a merge"
            )
    found = ", ".join(f"{commit.sha[:10]} on {'+'.join(sha[:10] for sha in commit.parents)}" for commit in case.own)
    return _finding(not problems, expected, found, f"the commit does not follow the branch: {'; '.join(problems)}.")


def _author(case: Case) -> Finding:
    allowed = case.expectation.policy.authors
    found = ", ".join(dict.fromkeys(f"{commit.author} <{commit.email}>" for commit in case.own))
    if not allowed:
        return Finding(passed=True, expected="any author", found=found)
    wrong = [commit for commit in case.own if commit.email not in allowed]
    who = ", ".join(f"{commit.sha[:10]} by {commit.email or 'nobody'}" for commit in wrong)
    why = f"the pointer was changed by an author whom the policy does not name: {who}."
    return _finding(not wrong, " or ".join(allowed), found, why)


def _paths(case: Case) -> Finding:
    pointer, extra = case.expectation.pointer_path, case.expectation.policy.extra_paths
    touched = sorted({path for commit in case.own for path in commit.paths})
    foreign = [path for path in touched if path != pointer and not _allowed(path, extra)]
    expected = ", ".join((pointer, *(f"{path} (allowed)" for path in extra)))
    if pointer not in touched:
        what = ", ".join(touched) or "nothing"
        why = f"the commit {case.at} leaves the pointer {pointer} as it was; it touches {what}."
        return Finding(False, expected, what, why)
    why = f"the commit touches {', '.join(foreign)}, which is none of the pipeline's business."
    return _finding(not foreign, expected, ", ".join(touched), why)


def _allowed(path: str, extra: tuple[str, ...]) -> bool:
    return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in extra)


def _plain(case: Case) -> list[Commit]:
    return [commit for commit in case.own if not commit.is_merge]


def _own_astray(case: Case) -> list[Commit]:
    return list(own_commits([entry.commit for entry in case.evidence.astray], case.expectation))


def _astray(case: Case) -> str:
    own = {commit.sha for commit in _own_astray(case)}
    refs = dict.fromkeys(ref for entry in case.evidence.astray if entry.commit.sha in own for ref in entry.refs)
    return ", ".join(map(ref_title, refs))


def _name(commit: Commit) -> str:
    return f"{commit.sha[:10]} ({commit.subject})"


def _listed(commits: list[Commit]) -> str:
    return ", ".join(map(_name, commits)) or "none"


def _finding(passed: bool, expected: str, found: str, why: str) -> Finding:  # noqa: FBT001
    return Finding(passed, expected, found, "" if passed else why)


COMMIT_RULES: Final = (
    Rule("history.grew", "the branch's history only grew", _grew),
    Rule("commit.on-branch", "the run's commit is on the branch", _on_branch, ("history.grew",), changes),
    Rule("commit.count", "as many commits as the policy says", _count, ("history.grew", "commit.on-branch")),
    Rule("commit.parent", "its parent is the tip just before the push", _parent, ("commit.on-branch",), changes),
    Rule("commit.author", "its author is one whom the policy names", _author, ("commit.on-branch",), changes),
    Rule("commit.paths", "it touches the pointer and nothing foreign", _paths, ("commit.on-branch",), changes),
)
