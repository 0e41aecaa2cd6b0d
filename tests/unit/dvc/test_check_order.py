"""What the check on the order of the two pushes tells, word for word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from harness.dvc import Address, Outcome, RivalPointer, decided, judge
from harness.errors import EnvironmentFailed
from harness.model import Push, TaskOutcome

from .conftest import (
    BUCKET,
    CONFIG,
    MAIN,
    NEW,
    NEW_BYTES,
    OLD_BYTES,
    POINTER,
    PREFIX,
    PUSHED,
    RIVAL,
    SEED,
    SIDE,
    STORED,
    TRACKED,
    Facts,
    Told,
    address_of,
    commit,
    digest_of,
    given,
    pointer_of,
    told,
)

CHECK = "object.before-commit"
NAMED = address_of(NEW_BYTES, legacy=False)
EXPECTED = "each new object stored before the push that brings its pointer"
SECOND, MOMENT = timedelta(seconds=1), timedelta(milliseconds=1)
LATER = STORED + SECOND
LATE = (
    f"the object at {NAMED} (datasets/penguins.csv) was stored at 12:00:04.000 UTC, "
    "after the push of bbbbbbbbbb at 12:00:03.250 UTC"
)
RED = (False, EXPECTED, "1 object stored later",
       f"the commit was published before its data, and could not be pulled: {LATE}.")  # fmt: skip
GREEN = (True, EXPECTED, "1 new object, so stored", "")
OTHER = Address(BUCKET, f"{PREFIX}/files/md5/{digest_of(OLD_BYTES).md5[:2]}/{digest_of(OLD_BYTES).md5[2:]}")


def at(stored: Any, **facts: Any) -> Facts:
    return given(stored={NAMED: stored} if stored else {}, **facts)


def pushed(*pushes: tuple[str, str, timedelta], ref: str = MAIN) -> tuple[Push, ...]:
    return tuple(Push(ref, before, after, PUSHED + later) for before, after, later in pushes)


def tried(number: int, facts: Facts, *tasks: str) -> Facts:
    """These tasks, or the last one, tried so often."""
    expectation, evidence = facts
    again = {task: TaskOutcome(task, "success", number, 1.0) for task in tasks or ("push_data",)}
    outcome = replace(evidence.outcome, tasks={**evidence.outcome.tasks, **again})
    return expectation, replace(evidence, outcome=outcome)


# The run's commit goes on top of a rival's, and a rival's on top of it.
THREE = (
    commit(RIVAL, SEED, email="r@x", paths=("x",)), commit(NEW, RIVAL), commit(SIDE, NEW, email="r@x", paths=("x",)),
)  # fmt: skip
IN_TURN = pushed((SEED, RIVAL, -SECOND), (RIVAL, NEW, 0 * SECOND), (NEW, SIDE, 9 * SECOND))
# The pointer in a first commit, a note in a second one.
TWO = (commit(RIVAL, SEED), commit(NEW, RIVAL, paths=("log",)))
FIRST_BYTES = b"id,mass\r\n1,20\r\n2,10\r\n"
FIRST = address_of(FIRST_BYTES, legacy=False)


def twice(first: Any, *, path: str = POINTER, pushes: tuple[Push, ...] | None = None) -> Facts:
    """A version in each of two commits, pushed a second after each other; when that of the first one was stored."""
    each = pushed((SEED, RIVAL, 0 * SECOND), (RIVAL, NEW, SECOND))
    times = {NAMED: STORED, **({FIRST: first} if first else {})}
    return given(
        policy={"commits": 2, "extra_paths": (path,)}, stored=times, pushes=each if pushes is None else pushes,
        commits=(commit(RIVAL, SEED, paths=(path,)), commit(NEW, RIVAL)),
        passing=(RivalPointer(RIVAL, path, pointer_of(FIRST_BYTES, legacy=False), CONFIG),),
        digests={**given()[1].digests, FIRST: digest_of(FIRST_BYTES)},
    )  # fmt: skip


FIRST_LATE = RED[3].replace(str(NAMED), str(FIRST)).replace("bbbbbbbbbb", "cccccccccc")
MERGED = (
    commit(RIVAL, SEED, email="r@x", paths=("x",)), commit(NEW, SEED),
    commit(SIDE, RIVAL, NEW, email="r@x", paths=()),
)  # fmt: skip

ROWS: dict[str, tuple[Facts, Told]] = {
    "in the second of the push, which S3 does not tell from before it": (at(STORED), GREEN),
    "at the very moment of the push": (at(PUSHED), GREEN),
    "a moment later, where the store says so": (
        at(PUSHED + MOMENT), (*RED[:3], RED[3].replace("12:00:04.000", "12:00:03.251")),
    ),
    "in the next second": (at(LATER), RED),
    "later, but it was there before": (
        at(LATER, before={"listing": {NAMED.key: 21, OTHER.key: 15}}), (True, EXPECTED, "0 new objects", ""),
    ),
    "between the rivals' pushes": (at(STORED, tip=SIDE, commits=THREE, pushes=IN_TURN), GREEN),
    "before a rival's push, but after its own": (at(LATER, tip=SIDE, commits=THREE, pushes=IN_TURN), RED),
    "before a rival's merge of it": (
        at(LATER, tip=SIDE, commits=MERGED, pushes=pushed((SEED, RIVAL, -SECOND), (RIVAL, SIDE, 9 * SECOND))), GREEN,
    ),
    "after a push to another branch, before that to its own": (
        at(LATER, pushes=(*pushed((SEED, NEW, -SECOND), ref="refs/heads/x"), *pushed((SEED, NEW, 9 * SECOND)))), GREEN,
    ),
    "before the second commit, but after that of the pointer": (
        at(LATER, policy={"commits": 2, "extra_paths": ("log",)}, commits=TWO,
           pushes=pushed((SEED, RIVAL, 0 * SECOND), (RIVAL, NEW, 9 * SECOND))),
        (*RED[:3], RED[3].replace("bbbbbbbbbb", "cccccccccc")),
    ),
    "each version in time for its own commit": (twice(STORED), (True, EXPECTED, "2 new objects, so stored", "")),
    "that of the first commit before the second one, but after its own": (twice(LATER), (*RED[:3], FIRST_LATE)),
    "that of another pointer in the first commit after its own": (
        twice(LATER, path="o.dvc"), (*RED[:3], FIRST_LATE.replace(TRACKED, "penguins.csv")),
    ),
    "both by one push": (
        twice(LATER, pushes=pushed((SEED, NEW, SECOND))), (True, EXPECTED, "2 new objects, so stored", ""),
    ),
    "later, by a task that was tried once": (tried(1, at(LATER)), RED),
    "in time, by a task that was tried again": (tried(2, at(STORED)), GREEN),
    "that of another pointer": (
        at(STORED, pointers={POINTER: pointer_of(NEW_BYTES, legacy=False), "o.dvc": pointer_of(b"o", legacy=False)},
           digests={**given()[1].digests, address_of(b"o", legacy=False): digest_of(b"o")},
           commits=(commit(NEW, SEED, paths=(POINTER, "o.dvc")),)),
        (False, EXPECTED, "not known",
         ("whether the data came before its commit could not be established: the bucket does not say when "
          f"{address_of(b'o', legacy=False)} was stored.")),
    ),
}  # fmt: skip
OPEN = "whether the data came before its commit could not be established: "
UNKNOWN: dict[str, tuple[Facts, str]] = {
    "no push is noted": (
        at(STORED, pushes=()), f"{OPEN}the Git server has noted no push that brought {POINTER} as it is at bbbbbbbbbb.",
    ),
    "none of the run's is": (
        at(STORED, pushes=pushed((SEED, SIDE, SECOND))),
        f"{OPEN}the Git server has noted no push that brought {POINTER} as it is at bbbbbbbbbb.",
    ),
    "none of the first of two commits is": (
        twice(STORED, pushes=pushed((RIVAL, SIDE, SECOND))),
        (f"{OPEN}the Git server has noted no push that brought {POINTER} as it is at bbbbbbbbbb; "
         f"the Git server has noted no push that brought {POINTER} as it is at cccccccccc."),
    ),
    "no time of the first commit's object": (twice(None), f"{OPEN}the bucket does not say when {FIRST} was stored."),
    "no time of the object": (at(None), f"{OPEN}the bucket does not say when {NAMED} was stored."),
    "later, and two tasks were tried again": (
        tried(2, at(LATER), "push_data", "modify_data"),
        f"{OPEN}{LATE}; but tasks modify_data, push_data were tried again, and may have stored again what was there.",
    ),
    "later, by a task that was tried again": (
        tried(2, at(LATER)),
        f"{OPEN}{LATE}; but task push_data was tried again, and may have stored again what was there.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ROWS if name != "that of another pointer"])
def test_a_check_tells_what_it_expected_and_found_and_what_is_wrong(name: str) -> None:
    facts, expected = ROWS[name]
    assert told(CHECK, facts) == expected


@pytest.fixture
def _far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_utc")
def test_times_are_told_in_utc_wherever_the_reader_is() -> None:
    assert told(CHECK, at(LATER)) == RED


def test_the_objects_of_every_pointer_of_the_run_are_asked_for() -> None:
    facts, expected = ROWS["that of another pointer"]
    (check,) = [check for check in judge(*facts).checks if check.id == CHECK]
    assert (check.passed, check.expected, check.found, check.explanation) == expected


@pytest.mark.parametrize("name", UNKNOWN)
def test_without_the_times_there_is_no_verdict(name: str) -> None:
    facts, why = UNKNOWN[name]
    verdict = judge(*facts)
    (check,) = [check for check in verdict.undecided if check.id == CHECK]
    assert (check.id, check.expected, check.found, check.explanation) == (CHECK, EXPECTED, "not known", why)
    with pytest.raises(EnvironmentFailed, match=r"the run cannot be judged: object\.before-commit"):
        decided(verdict)


def test_where_bucket_and_git_server_have_two_clocks_it_is_not_asked() -> None:
    facts = at(LATER, expect={"one_clock": False}, pushes=())
    verdict = judge(*facts)
    (check,) = [check for check in verdict.checks if check.id == CHECK]
    assert (check.outcome, check.found) == (
        Outcome.NOT_ASKED, "not known on this target: the bucket and the Git server do not go by one clock",
    )  # fmt: skip
    assert verdict.green


@pytest.mark.parametrize("one_clock", [True, False])
def test_where_the_git_server_is_the_readers_own_it_is_not_asked_and_the_headline_says_so(one_clock: bool) -> None:  # noqa: FBT001 - by pytest
    verdict = judge(*at(LATER, expect={"push_log": False, "one_clock": one_clock}, pushes=()))
    (check,) = [check for check in verdict.checks if check.id == CHECK]
    said = "not known with --git-remote: that server does not tell the harness when a push came"
    assert (check.outcome, check.found) == (Outcome.NOT_ASKED, said)
    assert f"{CHECK}: {said}" in verdict.headline


def test_of_a_run_that_is_to_change_nothing_it_is_not_asked() -> None:
    assert CHECK not in [check.id for check in judge(*given(changes=False)).checks]
