"""The verdict: a list of checks, each with what was expected and found. Green only if all that count passed."""

from __future__ import annotations

from dataclasses import dataclass

from harness.dvc.case import study
from harness.dvc.checks import RULES
from harness.dvc.evidence import Evidence, Expectation
from harness.dvc.rules import Check, left_out, pronounce
from harness.errors import EnvironmentFailed
from harness.model import Diagnosis


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the oracle says about one run.

    Attributes:
        checks: In a stable order.
        commit: The run's commit; None if there is none.
        changes: Whether a new version was expected.
        red_expected: Whether the test that asked for the run has declared that it must turn out red.
        must_fail: Id of the check that it has declared must fail then; empty where it has named none.
        diagnoses: Why tasks failed, the likeliest cause first, as far as it was recognised; empty where none failed.
            No part of the judgement.
        notes: Which checks have nothing to say on this run, each with why.
    """

    checks: tuple[Check, ...]
    commit: str | None
    changes: bool
    red_expected: bool = False
    must_fail: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def green(self) -> bool:
        """Whether every check that counts passed. A verdict without such checks proves nothing, so it is not green."""
        counting = [check for check in self.checks if check.counts]
        return bool(counting) and all(check.passed for check in counting)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed, then those without facts, then those that hang on these."""
        red = [check for check in self.checks if check.counts and not check.passed]
        return tuple(sorted(red, key=lambda check: (not check.evaluated, check.established)))

    @property
    def undecided(self) -> tuple[Check, ...]:
        """Where nothing is known to be wrong: the checks without the facts to say so. Empty for green and for red."""
        if any(check.evaluated for check in self.failures):
            return ()
        return tuple(check for check in self.checks if not check.established)

    @property
    def headline(self) -> str:
        """One line: green, or the first thing that is wrong."""
        if self.green:
            what = f"commit {self.commit[:10]}" if self.changes and self.commit else "nothing changed, as expected"
            passed = sum(check.passed for check in self.checks)
            unseen = [f"{check.id}: {check.found}" for check in self.checks if not check.counts]
            return "; ".join([f"green: {what}, {passed} checks passed", *unseen, *self.notes])
        if not self.failures:
            return "red: nothing was checked"
        first = self.failures[0]
        return f"{'undecided' if self.undecided else 'red'}: {first.id}: {first.explanation}"


def judge(expectation: Expectation, evidence: Evidence) -> Verdict:
    """The verdict on one run, from facts alone: pure, and the same for the same facts."""
    case = study(expectation, evidence)
    final = case.final.sha if case.final is not None else None
    return Verdict(pronounce(RULES, case), final, expectation.changes, notes=left_out(RULES, case))


def decided(verdict: Verdict) -> Verdict:
    """The verdict, if it is one: green, or red for something that is known to be wrong.

    Raises:
        EnvironmentFailed: Nothing is known to be wrong, and not all that must be known is: neither green nor red.
    """
    if not verdict.undecided:
        return verdict
    first, *others = verdict.undecided
    raise EnvironmentFailed(
        f"the run cannot be judged: {first.id}: {first.explanation}",
        evidence={check.id: check.explanation for check in others},
        next_step="run again; where it comes back, see that the API server and the node keep up, or raise --patience",
    )
