"""What a check is, before and after it is asked, and the order in which checks are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.dvc.case import Case
from harness.dvc.evidence import Expectation


def counted(number: int, noun: str, plural: str = "") -> str:
    """How many there are, for people: `1 file`, `2 files`, or with another plural than by "s"."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        passed: Whether it is as it should be.
        expected: What should be, for the table.
        found: What is, for the table.
        explanation: One plain sentence that says what is wrong; empty if it passed.
    """

    passed: bool
    expected: str
    found: str
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One check before it is asked.

    Attributes:
        id: Stable name, for machines.
        title: What it makes sure of, for people.
        ask: The check itself; pure.
        needs: Checks that must have passed for this one to mean anything.
        applies: Whether it belongs to a verdict of this expectation at all.
        unseen: Why nobody could see what it asks for; empty where somebody could. It then counts neither for nor
            against the run, and is listed.
    """

    id: str
    title: str
    ask: Callable[[Case], Finding]
    needs: tuple[str, ...] = ()
    applies: Callable[[Expectation], bool] = lambda _expectation: True
    unseen: Callable[[Expectation], str] = lambda _expectation: ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a verdict.

    Attributes:
        id: Stable name, such as "object.present".
        title: What it makes sure of.
        passed: Whether it is as it should be; False also if it could not be evaluated.
        expected: What should be.
        found: What is.
        explanation: One plain sentence that says what is wrong; empty if it passed.
        evaluated: False if it could not be evaluated: an earlier check did not pass, or nobody could see.
        counts: False if it says nothing for or against the run, because nobody could see what it asks for.
    """

    id: str
    title: str
    passed: bool
    expected: str
    found: str
    explanation: str
    evaluated: bool = True
    counts: bool = True


def pronounce(rules: Sequence[Rule], case: Case) -> tuple[Check, ...]:
    """Ask the rules that apply, in order.

    One whose needs did not pass is listed as not evaluated, so not passed; one that nobody could answer likewise, but
    it does not count.
    """
    applying = [rule for rule in rules if rule.applies(case.expectation)]
    listed = {rule.id for rule in applying}
    passed: set[str] = set()
    checks = []
    for rule in applying:
        if unseen := rule.unseen(case.expectation):
            checks.append(
                Check(rule.id, rule.title, passed=False, expected="", found=unseen, explanation="", evaluated=False,
                      counts=False)
            )  # fmt: skip
            continue
        missing = [need for need in rule.needs if need in listed and need not in passed]
        if missing:
            why = f"not evaluated because {missing[0]} did not pass"
            checks.append(
                Check(rule.id, rule.title, passed=False, expected="", found="", explanation=why, evaluated=False)
            )
            continue
        finding = rule.ask(case)
        if finding.passed:
            passed.add(rule.id)
        checks.append(Check(rule.id, rule.title, finding.passed, finding.expected, finding.found, finding.explanation))
    return tuple(checks)
