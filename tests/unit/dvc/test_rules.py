"""What becomes of a check: one word of five, and what that word means for the run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.dvc import Check, Outcome, Verdict
from harness.dvc.case import study
from harness.dvc.rules import Finding, Rule, left_out, pronounce

from .conftest import given

CASE = study(*given())


def rule(name: str, finding: Finding | None = None, **more: object) -> Rule:
    found = finding or Finding(passed=True, expected="e", found="f")
    return Rule(f"x.{name}", name, lambda _case: found, **more)  # type: ignore[arg-type] # of a Rule's own


GOOD = rule("good")
BAD = rule("bad", Finding(passed=False, expected="e", found="f", explanation="why"))
BLIND = rule("blind", Finding(passed=False, expected="e", found="f", explanation="no facts", established=False))
HANGING = rule("hanging", needs=("x.bad",))
UNSEEN = rule("unseen", unseen=lambda _expectation: "nobody looks")
MOOT = rule("moot", moot=lambda _case: "there is nothing")


def outcomes(*rules: Rule) -> list[str]:
    return [str(check.outcome) for check in pronounce(rules, CASE)]


def test_each_check_has_one_outcome_of_five() -> None:
    assert outcomes(GOOD, BAD, HANGING, BLIND, UNSEEN) == [
        "passed",
        "failed",
        "not evaluated",
        "not established",
        "not asked",
    ]
    assert set(outcomes(GOOD, BAD, HANGING, BLIND, UNSEEN)) == set(Outcome)


@pytest.mark.parametrize(
    ("one", "passed", "evaluated", "established", "counts"),
    [
        (GOOD, True, True, True, True),
        (BAD, False, True, True, True),
        (BLIND, False, False, False, True),
        (UNSEEN, False, False, True, False),
    ],
    ids=lambda value: value.title if isinstance(value, Rule) else "",
)
def test_what_an_outcome_means(one: Rule, *, passed: bool, evaluated: bool, established: bool, counts: bool) -> None:
    (check,) = pronounce([one], CASE)
    assert (check.passed, check.evaluated, check.established, check.counts) == (passed, evaluated, established, counts)


def test_what_nobody_can_see_has_no_word_but_why() -> None:
    (check,) = pronounce([UNSEEN], CASE)
    assert check == Check("x.unseen", "unseen", Outcome.NOT_ASKED, expected="", found="nobody looks", explanation="")


def test_what_is_left_out_is_not_listed_and_says_why() -> None:
    assert outcomes(GOOD, MOOT) == ["passed"]
    assert left_out([GOOD, MOOT], CASE) == ("x.moot does not apply: there is nothing",)


def test_what_is_left_out_on_this_run_is_not_listed_as_not_asked_on_this_target() -> None:
    assert outcomes(replace(UNSEEN, moot=MOOT.moot)) == []


@pytest.mark.parametrize("absent", [UNSEEN, MOOT], ids=["not asked", "left out"])
def test_what_nobody_could_ask_stands_in_no_other_checks_way(absent: Rule) -> None:
    (hanging,) = pronounce([absent, rule("hanging", needs=(absent.id,))], CASE)[-1:]
    assert hanging.outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("rules", "green", "headline"),
    [
        ([GOOD, UNSEEN], True, "green: nothing changed, as expected, 1 checks passed; x.unseen: nobody looks"),
        ([UNSEEN], False, "red: nothing was checked"),
        ([GOOD, BLIND, UNSEEN], False, "undecided: x.blind: no facts"),
        ([BLIND, BAD, HANGING, UNSEEN], False, "red: x.bad: why"),
    ],
)
def test_what_outcomes_mean_for_the_run(rules: list[Rule], green: bool, headline: str) -> None:  # noqa: FBT001 - pytest's form
    verdict = Verdict(pronounce(rules, CASE), None, changes=False)
    assert (verdict.green, verdict.headline) == (green, headline)
    assert [check.id for check in verdict.undecided] == (["x.blind"] if headline.startswith("undecided") else [])


def test_failures_are_told_the_surest_first_and_never_what_was_not_asked() -> None:
    verdict = Verdict(pronounce([UNSEEN, BLIND, BAD, HANGING], CASE), None, changes=False)
    assert [check.id for check in verdict.failures] == ["x.bad", "x.blind", "x.hanging"]
