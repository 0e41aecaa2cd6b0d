"""What the checks on the branch and the commit tell, word for word."""

from __future__ import annotations

from typing import Any

from harness.dvc import Astray

from .conftest import AUTHOR, NEW, POINTER, RIVAL, SEED, SIDE, Facts, Told, commit, given, told, told_of

A, B, C, D = "a" * 10, "b" * 10, "c" * 10, "d" * 10
OTHER = "other@example.invalid"
ON_TOP = f"on top of the branch's tip just before the push ({A}, or a rival's commit on it)"
NOTHING_ON_BRANCH: dict[str, Any] = {"tip": SEED, "commits": (), "commit": SEED}


def astray(*refs: str, email: str = AUTHOR) -> tuple[Astray, ...]:
    return (Astray(commit(NEW, SEED, email=email), refs),)


def by(email: str, sha: str = NEW, parent: str = SEED, paths: tuple[str, ...] = (POINTER,)) -> tuple[object, ...]:
    return (commit(sha, parent, email=email, paths=paths),)


HISTORY: dict[str, tuple[Facts, Told]] = {
    "it grew": (given(), (True, f"main still holds {A}", f"tip {B}", "")),
    "rewritten": (
        given(grew=False, commits=()),
        (False, f"main still holds {A}", f"tip {B}, without it",
         f"the history of main was rewritten: its tip was {A}, and {B} no longer holds it."),
    ),
    "a commit of somebody else's lost": (
        given(grew=False, lost=D * 4, commits=()),
        (False, f"main still holds {D}", f"tip {B}, without it",
         f"the history of main was rewritten: {D}, which somebody else had pushed, is lost."),
    ),
    "deleted": (
        given(tip=None, grew=False, commits=()),
        (False, f"main still holds {A}", "no such branch", "the branch main is gone."),
    ),
    "never created": (
        given(policy={"branch": "data"}, before={"tip": None}, tip=None, commits=(),
              astray=astray("refs/heads/else", "refs/tags/v1", "refs/notes/x")),
        (False, f"data still holds {A}", "no such branch",
         "the branch data was never created; the run's commit is only on branch else, tag v1, refs/notes/x."),
    ),
    "not there, as before": (
        given(changes=False, policy={"branch": "data"}, before={"tip": None}, tip=None),
        (True, "no branch data, as before", "none", ""),
    ),
    "deleted where nothing was to change": (
        given(changes=False, tip=None, grew=False),
        (False, f"main still holds {A}", "no such branch", "the branch main is gone."),
    ),
    "rewritten where nothing was to change": (
        given(changes=False, tip=NEW, grew=False),
        (False, f"main still holds {A}", f"tip {B}, without it",
         f"the history of main was rewritten: its tip was {A}, and {B} no longer holds it."),
    ),
    "created where nothing was to change": (
        given(changes=False, before={"tip": None}), (True, f"main still holds {A}", f"tip {A}", ""),
    ),
}  # fmt: skip
ON_BRANCH: dict[str, tuple[Facts, Told]] = {
    "there": (given(), (True, "a new commit of the run on main", f"{B} (commit b)", "")),
    "on another branch": (
        given(**NOTHING_ON_BRANCH, astray=astray("refs/heads/else")),
        (False, "a new commit of the run on main", "only on branch else",
         "the run's commit is only on branch else, not on main: git push went elsewhere."),
    ),
    "nowhere": (
        given(**NOTHING_ON_BRANCH),
        (False, "a new commit of the run on main", "none",
         "the run left no commit on main: nothing was committed, or git push did not happen."),
    ),
    "only rivals": (
        given(commits=by(OTHER, paths=("x",))),
        (False, "a new commit of the run on main", "none (1 of other authors)",
         "the run left no commit on main (1 of other authors): nothing was committed, or git push did not happen."),
    ),
    "other people's branches do not matter": (
        given(**NOTHING_ON_BRANCH, astray=(Astray(commit(RIVAL, SEED, email=OTHER, paths=()), ("refs/heads/x",)),)),
        (False, "a new commit of the run on main", "none",
         "the run left no commit on main: nothing was committed, or git push did not happen."),
    ),
}  # fmt: skip
TWO = (commit(SIDE, SEED, paths=("x",)), commit(NEW, SIDE))
COUNT: dict[str, tuple[Facts, Told]] = {
    "one": (given(), (True, "1 commit", f"{B} (commit b)", "")),
    "two for one": (
        given(commits=TWO),
        (False, "1 commit", f"{D} (commit d), {B} (commit b)",
         f"the run made 2 commits on main where 1 is the rule: {D} (commit d), {B} (commit b)."),
    ),
    "one for two": (
        given(policy={"commits": 2}),
        (False, "2 commits", f"{B} (commit b)",
         f"the run made 1 commit on main where 2 is the rule: {B} (commit b)."),
    ),
    "none wanted, none made": (given(changes=False), (True, "no commit of the run", "none", "")),
    "none wanted": (
        given(changes=False, tip=NEW, commits=by(AUTHOR, paths=()),
              astray=(Astray(commit(SIDE, SEED, paths=()), ("refs/heads/else",)),)),
        (False, "no commit of the run", f"{B} (commit b), {D} (commit d)",
         f"the run had nothing to change, yet it made {B} (commit b), {D} (commit d)."),
    ),
}  # fmt: skip
RIVAL_MERGE = commit(RIVAL, SEED, NEW, email=OTHER, paths=())
PARENT: dict[str, tuple[Facts, Told]] = {
    "the tip": (given(), (True, ON_TOP, f"{B} on {A}", "")),
    "a rival's commit on the tip": (
        given(commits=(commit(RIVAL, SEED, email=OTHER, paths=()), commit(NEW, RIVAL))),
        (True, ON_TOP, f"{B} on {C}", ""),
    ),
    "none": (
        given(commits=(commit(NEW),)),
        (False, ON_TOP, f"{B} on ",
         f"the commit does not follow the branch: {B} has no parent, so it carries no history."),
    ),
    "an older one": (
        given(tip=RIVAL, commits=(commit(NEW, SIDE), RIVAL_MERGE)),
        (False, ON_TOP, f"{B} on {D}",
         f"the commit does not follow the branch: {B} was made on {D}, which is older than {A}."),
    ),
    "the tip, but merged": (
        given(tip=RIVAL, commits=(commit(NEW, SEED), RIVAL_MERGE)),
        (False, ON_TOP, f"{B} on {A}",
         f"the commit does not follow the branch: {B} was made on {A}, not on the tip, and came in by a merge."),
    ),
    "the tip, merged where that is allowed": (
        given(policy={"merge_commits": True}, tip=RIVAL, commits=(commit(NEW, SEED), RIVAL_MERGE)),
        (True, ON_TOP, f"{B} on {A}", ""),
    ),
    "an older one is wrong even where merges are allowed": (
        given(policy={"merge_commits": True}, tip=RIVAL, commits=(commit(NEW, SIDE), RIVAL_MERGE)),
        (False, ON_TOP, f"{B} on {D}",
         f"the commit does not follow the branch: {B} was made on {D}, which is older than {A}."),
    ),
    "two, and an older one": (
        given(tip=RIVAL, commits=(commit(NEW, SIDE), commit(RIVAL, SEED, NEW))),
        (False, ON_TOP, f"{B} on {D}, {C} on {A}+{B}",
         (f"the commit does not follow the branch: {B} was made on {D}, which is older than {A}; "
         f"{C} is a merge, which the policy does not allow.")),
    ),
}  # fmt: skip
NO_NAME = "the pointer was changed by an author whom the policy does not name: "
AUTHORS: dict[str, tuple[Facts, Told]] = {
    "the one": (given(), (True, AUTHOR, f"Airflow <{AUTHOR}>", "")),
    "one of two": (
        given(policy={"authors": (AUTHOR, "b@x")}, commits=(*by(AUTHOR, SIDE), *by("b@x", NEW, SIDE))),
        (True, f"{AUTHOR} or b@x", f"Airflow <{AUTHOR}>, Airflow <b@x>", ""),
    ),
    "strangers": (
        given(commits=(*by("m@x", SIDE), *by("", NEW, SIDE))),
        (False, AUTHOR, "Airflow <m@x>, Airflow <>", f"{NO_NAME}{D} by m@x, {B} by nobody."),
    ),
    "any": (
        given(policy={"authors": ()}, commits=by("m@x")), (True, "any author", "Airflow <m@x>", ""),
    ),
}  # fmt: skip
PATHS: dict[str, tuple[Facts, Told]] = {
    "the pointer": (given(), (True, POINTER, POINTER, "")),
    "foreign ones": (
        given(commits=by(AUTHOR, paths=(POINTER, "b.py", "a.py"))),
        (False, POINTER, f"a.py, b.py, {POINTER}",
         "the commit touches a.py, b.py, which is none of the pipeline's business."),
    ),
    "not the pointer": (
        given(commits=by(AUTHOR, paths=("y", "x"))),
        (False, POINTER, "x, y", f"the commit {B} leaves the pointer {POINTER} as it was; it touches x, y."),
    ),
    "nothing at all": (
        given(commits=by(AUTHOR, paths=())),
        (False, POINTER, "nothing", f"the commit {B} leaves the pointer {POINTER} as it was; it touches nothing."),
    ),
    "allowed ones": (
        given(policy={"extra_paths": ("docs/", "log")}, commits=by(AUTHOR, paths=(POINTER, "docs/a", "log"))),
        (True, f"{POINTER}, docs/ (allowed), log (allowed)", f"{POINTER}, docs/a, log", ""),
    ),
    "a file's name is no folder's": (
        given(policy={"extra_paths": ("docs/", "log")}, commits=by(AUTHOR, paths=(POINTER, "docs", "log/a", "logs"))),
        (False, f"{POINTER}, docs/ (allowed), log (allowed)", f"{POINTER}, docs, log/a, logs",
         "the commit touches docs, log/a, logs, which is none of the pipeline's business."),
    ),
}  # fmt: skip


@told_of(
    {
        "history.grew": HISTORY,
        "commit.on-branch": ON_BRANCH,
        "commit.count": COUNT,
        "commit.parent": PARENT,
        "commit.author": AUTHORS,
        "commit.paths": PATHS,
    }
)
def test_a_check_tells_what_it_expected_and_found_and_what_is_wrong(check: str, facts: Facts, expected: Told) -> None:
    assert told(check, facts) == expected
