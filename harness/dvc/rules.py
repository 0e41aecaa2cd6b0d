"""What a check is, before and after it is asked, and the order in which checks are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.dvc.case import Case
from harness.dvc.evidence import Expectation


def counted(number: int, noun: str, plural: str = "") -> str:
    """How many there are, for people: `1 file`, `2 files`, or with another plural than by "s"."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


def cut(texts: Sequence[str], most: int) -> str:
    """The texts as one, with semicolons; of more than `most` the first, and how many more there are."""
    more = len(texts) - most
    return "; ".join(texts[:most]) + (f"; and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        passed: Whether it is as it should be.
        expected: What should be, for the table.
        found: What is, for the table.
        explanation: One plain sentence that says what is wrong; empty if it passed.
        established: False where the facts to decide it by are missing: nothing is known to be wrong, nor to be right.
    """

    passed: bool
    expected: str
    found: str
    explanation: str = ""
    established: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """One check before it is asked.

    Attributes:
        id: Stable name, for machines.
        title: What it makes sure of, for people.
        ask: The check itself; pure.
        needs: Checks that must have passed for this one to mean anything.
        applies: Whether it belongs to a verdict of this expectation at all.
        moot: Why it has nothing to say on this run, where it has not; it is left out then, and the verdict says so.
    """

    id: str
    title: str
    ask: Callable[[Case], Finding]
    needs: tuple[str, ...] = ()
    applies: Callable[[Expectation], bool] = lambda _expectation: True
    moot: Callable[[Case], str] = lambda _case: ""


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
        evaluated: False if it could not be evaluated, because an earlier check did not pass, or for want of facts.
        established: False if it was for want of facts: nothing is known to be wrong with the run then.
    """

    id: str
    title: str
    passed: bool
    expected: str
    found: str
    explanation: str
    evaluated: bool = True
    established: bool = True


def pronounce(rules: Sequence[Rule], case: Case) -> tuple[Check, ...]:
    """Ask the rules that apply, in order. One whose needs did not pass is listed as not evaluated, so not passed."""
    applying = [rule for rule in rules if rule.applies(case.expectation) and not rule.moot(case)]
    listed = {rule.id for rule in applying}
    passed: set[str] = set()
    checks = []
    for rule in applying:
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
        checks.append(
            Check(
                rule.id,
                rule.title,
                finding.passed,
                finding.expected,
                finding.found,
                finding.explanation,
                evaluated=finding.established,
                established=finding.established,
            )
        )
    return tuple(checks)


def left_out(rules: Sequence[Rule], case: Case) -> tuple[str, ...]:
    """Which rules have nothing to say on this run though they may on others, each with why."""
    found = ((rule.id, rule.moot(case)) for rule in rules if rule.applies(case.expectation))
    return tuple(f"{name} does not apply: {why}" for name, why in found if why)
