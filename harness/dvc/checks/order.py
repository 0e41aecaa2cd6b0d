"""The check on the order of the two pushes: the object first, then the commit that names it.

Whoever pulls between a commit and its object finds data that is nowhere, and a run that ends there leaves it so. When
a commit came, the Git server has noted; when an object did, the bucket says. That is a whole second, cut off: an object
whose second begins after the push was stored after it, and one that was stored before the push is never called late.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from harness.dvc.attribution import reached
from harness.dvc.case import Case, was_there
from harness.dvc.checks.commit import changes
from harness.dvc.evidence import Expectation
from harness.dvc.remote import NamedObject
from harness.dvc.rules import Finding, Rule, counted, cut
from harness.model import Push

OTHER_CLOCKS: Final = "not known on this target: the bucket and the Git server do not go by one clock"
NO_PUSH_LOG: Final = "not known with --git-remote: that server does not tell the harness when a push came"
_SHOWN = 3


def _before_commit(case: Case) -> Finding:
    late, unknown, fresh = [], [], 0
    final = ((_committed(case, path), path, naming) for path, naming in case.namings.items())
    for sha, path, naming in (*final, *((one.sha, one.path, one.naming) for one in case.passing)):
        new = [wanted for wanted in naming.objects if not was_there(case.expectation, case.evidence, wanted.address)]
        fresh += len(new)
        push = _published(case, sha)
        for wanted in new:
            stored = case.evidence.stored.get(wanted.address)
            if push is None:
                unknown.append(f"the Git server has noted no push that brought {path} as it is at {sha[:10]}")
            elif stored is None:
                unknown.append(f"the bucket does not say when {wanted.address} was stored")
            elif stored > push.time:
                late.append(_told(wanted, stored, push))
    expected = "each new object stored before the push that brings its pointer"
    if late and (tries := _tried_again(case)):
        unknown = [f"{cut(late, _SHOWN)}; but {tries}, and may have stored again what was there"]
    elif late:
        why = f"the commit was published before its data, and could not be pulled: {cut(late, _SHOWN)}."
        return Finding(False, expected, f"{counted(len(late), 'object')} stored later", why)
    if unknown:
        told = cut([*dict.fromkeys(unknown)], _SHOWN)
        why = f"whether the data came before its commit could not be established: {told}."
        return Finding(False, expected, "not known", why, established=False)
    return Finding(
        passed=True, expected=expected, found=f"{counted(fresh, 'new object')}{', so stored' if fresh else ''}"
    )


def _committed(case: Case, path: str) -> str:
    """The commit by which the pointer became what was read; empty where there is none of the run's."""
    touching = [commit for commit in case.own if path in commit.paths]
    commit = touching[-1] if touching else case.final
    return commit.sha if commit else ""


def _published(case: Case, sha: str) -> Push | None:
    """The push by which the branch got a commit."""
    ref = f"refs/heads/{case.expectation.policy.branch}"
    pushes = [push for push in case.evidence.pushes if push.ref == ref]
    return next((push for push in pushes if sha in reached(push.after, case.evidence.commits)), None)


def _told(wanted: NamedObject, stored: datetime, push: Push) -> str:
    return (
        f"the object at {wanted.address} ({wanted.label}) was stored at {_clock(stored)}, "
        f"after the push of {push.after[:10]} at {_clock(push.time)}"
    )


def _clock(time: datetime) -> str:
    return f"{time.astimezone(UTC):%H:%M:%S}.{time.microsecond // 1000:03} UTC"


def _tried_again(case: Case) -> str:
    """Tasks with several tries, of which S3 tells only the last upload: an earlier one may have been in time."""
    again = sorted(task.task_id for task in case.evidence.outcome.tasks.values() if task.try_number > 1)
    if not again:
        return ""
    return f"task {again[0]} was tried again" if len(again) == 1 else f"tasks {', '.join(again)} were tried again"


def _unseen(expectation: Expectation) -> str:
    if not expectation.push_log:
        return NO_PUSH_LOG
    return "" if expectation.one_clock else OTHER_CLOCKS


ORDER_RULES: Final = (
    Rule("object.before-commit", "the data was stored before the commit that names it was pushed", _before_commit,
         ("object.bytes",), changes, unseen=_unseen),
)  # fmt: skip
