"""What must hold is looked at before a fault, while the pod is held, when all is whole again, and in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.faults import played
from tests.faults.invariants import Look
from tests.faults.scene import Stage
from tests.faults.table import FAULTS, Fault, Whole

AUTHOR, MAIN = "airflow@example.invalid", "refs/heads/main"
BEFORE = Look(
    refs={MAIN: "a"},
    history={MAIN: frozenset({"a"})},
    authors={"a": AUTHOR},
    pointers={},
    configs={},
    digests={},
    manifests={},
    table=b"h\n1\n",
)
AFTER = replace(
    BEFORE,
    refs={MAIN: "b"},
    history={MAIN: frozenset({"a", "b"})},
    authors={"a": AUTHOR, "b": AUTHOR},
    table=b"h\n1\n2\n",
)
# Somebody pushed by force, and mended it.
REWRITTEN = replace(AFTER, history={MAIN: frozenset({"b"})})
TWICE = replace(AFTER, authors={**AFTER.authors, "c": AUTHOR})


@dataclass
class Played:
    """Plays a row of which every look is given; what was done and looked at, in order."""

    looks: list[Look]
    order: list[str] = field(default_factory=list)

    def did(self, what: str, answer: Any = None) -> Callable[..., Any]:
        def do(*_: object, **__: object) -> Any:
            self.order.append(what)
            return answer

        return do

    def look(self) -> Look:
        self.order.append("look")
        return self.looks.pop(0)

    def play(self, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> played.Played:
        scene = SimpleNamespace(
            run_id="run-1", task="push_data", company=[], rival_rows=0, held=0.0,
            reach=self.did("reach"), open=self.did("open"), failed_once=self.did("failed once"),
            tries=lambda: {"push_data": 1}, complaints=lambda: (), follower=SimpleNamespace(settle=lambda _: True),
        )  # fmt: skip
        settings = SimpleNamespace(policy=SimpleNamespace(authors=(AUTHOR,)))
        stage = SimpleNamespace(
            reader=SimpleNamespace(look=self.look), environment=SimpleNamespace(settings=settings), waiter=None,
            dag_id="d", ended=self.did("ended", "success"), quiet=self.did("quiet"),
        )  # fmt: skip
        scene.stage = stage

        @contextmanager
        def breaks(_scene: object) -> Iterator[None]:
            self.order.append("broken")
            yield
            self.order.append("whole")

        monkeypatch.setattr(played, "run", lambda *_: nullcontext(scene))
        return played.play(cast("Stage", stage), replace(fault, breaks=breaks, says=()))


PUSH = FAULTS["crash-behind-git-push"]


def test_a_row_that_publishes_is_looked_at_while_its_pod_is_held_and_when_all_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Played([BEFORE, BEFORE, AFTER, AFTER])
    assert row.play(replace(PUSH, whole=Whole.FAILED), monkeypatch).broken == {}
    said = "look, reach, look, broken, open, failed once, whole, look, ended, quiet, look"
    assert ", ".join(row.order) == said


def test_a_row_that_is_struck_before_anything_is_published_is_looked_at_before_and_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Played([BEFORE, AFTER])
    assert row.play(FAULTS["pull-pod-deleted"], monkeypatch).broken == {}


@pytest.mark.parametrize(
    ("looks", "code", "says"),
    [
        ([BEFORE, REWRITTEN, AFTER, AFTER], "history.grew", "while the pod was held at push.after-git-push: refs"),
        ([BEFORE, BEFORE, REWRITTEN, AFTER], "history.grew", "when all was whole again: refs"),
        ([BEFORE, BEFORE, TWICE, AFTER], "commits.once", "when all was whole again: 2 new commits"),
        ([BEFORE, BEFORE, BEFORE, REWRITTEN], "history.grew", "refs/heads/main held a"),
    ],
)
def test_what_did_not_hold_for_a_while_is_told_though_it_was_mended(
    monkeypatch: pytest.MonkeyPatch, looks: list[Look], code: str, says: str
) -> None:
    broken = Played(list(looks)).play(PUSH, monkeypatch).broken
    assert list(broken) == [code]
    assert broken[code].startswith(says)
