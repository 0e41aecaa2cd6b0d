"""What a check is, before and after it is asked, and the order in which checks are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

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
        unseen: Why nobody on this target can see what it asks for; empty where somebody can. It is listed then, and
            not asked.
    """

    id: str
    title: str
    ask: Callable[[Case], Finding]
    needs: tuple[str, ...] = ()
    applies: Callable[[Expectation], bool] = lambda _expectation: True
    moot: Callable[[Case], str] = lambda _case: ""
    unseen: Callable[[Expectation], str] = lambda _expectation: ""


class Outcome(StrEnum):
    """What became of a check that is listed in a verdict.

    Attributes:
        PASSED: What it makes sure of is so.
        FAILED: It is not so: the run is red.
        NOT_EVALUATED: A check that had to pass first did not. It has not passed either.
        NOT_ESTABLISHED: On this run the facts to decide it by are missing. Nothing is known to be wrong; without
            another check that failed there is no verdict.
        NOT_ASKED: Nobody on this target can see what it asks for. It counts neither for nor against the run.
    """

    PASSED = "passed"
    FAILED = "failed"
    NOT_EVALUATED = "not evaluated"
    NOT_ESTABLISHED = "not established"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a verdict.

    Attributes:
        id: Stable name, such as "object.present".
        title: What it makes sure of.
        outcome: What became of it.
        expected: What should be.
        found: What is; why nobody can see, of one that was not asked.
        explanation: One plain sentence that says what is wrong; empty if it passed, or was not asked.
    """

    id: str
    title: str
    outcome: Outcome
    expected: str
    found: str
    explanation: str

    @property
    def passed(self) -> bool:
        """Whether it is known to be as it should be."""
        return self.outcome is Outcome.PASSED

    @property
    def evaluated(self) -> bool:
        """Whether it is known to be as it should be, or not to be."""
        return self.outcome in {Outcome.PASSED, Outcome.FAILED}

    @property
    def established(self) -> bool:
        """Whether no facts of this run are missing that it is to be decided by."""
        return self.outcome is not Outcome.NOT_ESTABLISHED

    @property
    def counts(self) -> bool:
        """Whether it says anything for or against the run."""
        return self.outcome is not Outcome.NOT_ASKED


def pronounce(rules: Sequence[Rule], case: Case) -> tuple[Check, ...]:
    """Ask the rules that apply, in order. What cannot be asked stands in no other rule's way, as what is left out."""
    applying = [rule for rule in rules if rule.applies(case.expectation) and not rule.moot(case)]
    asked = {rule.id for rule in applying if not rule.unseen(case.expectation)}
    passed: set[str] = set()
    checks = []
    for rule in applying:
        check = _pronounced(rule, case, [need for need in rule.needs if need in asked and need not in passed])
        checks.append(check)
        if check.passed:
            passed.add(rule.id)
    return tuple(checks)


def _pronounced(rule: Rule, case: Case, missing: Sequence[str]) -> Check:
    if unseen := rule.unseen(case.expectation):
        return Check(rule.id, rule.title, Outcome.NOT_ASKED, expected="", found=unseen, explanation="")
    if missing:
        why = f"not evaluated because {missing[0]} did not pass"
        return Check(rule.id, rule.title, Outcome.NOT_EVALUATED, expected="", found="", explanation=why)
    finding = rule.ask(case)
    outcome = Outcome.PASSED if finding.passed else Outcome.FAILED if finding.established else Outcome.NOT_ESTABLISHED
    return Check(rule.id, rule.title, outcome, finding.expected, finding.found, finding.explanation)


def left_out(rules: Sequence[Rule], case: Case) -> tuple[str, ...]:
    """Which rules have nothing to say on this run though they may on others, each with why."""
    found = ((rule.id, rule.moot(case)) for rule in rules if rule.applies(case.expectation))
    return tuple(f"{name} does not apply: {why}" for name, why in found if why)
