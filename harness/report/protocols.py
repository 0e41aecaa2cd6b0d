"""What the report needs to know of a verdict, so that it needs nothing of the box that makes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.model import Diagnosis


class CheckResult(Protocol):
    """One thing that was checked."""

    @property
    def id(self) -> str:
        """Stable name, such as `object-present`."""

    @property
    def title(self) -> str:
        """What was checked, for the reader."""

    @property
    def outcome(self) -> str:
        """`passed`, `failed`, or why neither: `not evaluated`, `not established`, `not asked`."""

    @property
    def passed(self) -> bool:
        """Whether what was found is what was expected."""

    @property
    def evaluated(self) -> bool:
        """Whether it passed or failed."""

    @property
    def counts(self) -> bool:
        """Whether it says anything for or against the run; not, where nobody on the target can see."""

    @property
    def expected(self) -> str:
        """What should be there."""

    @property
    def found(self) -> str:
        """What is there."""

    @property
    def explanation(self) -> str:
        """What a failure means; may be empty."""


class VerdictResult(Protocol):
    """What the oracle says."""

    @property
    def checks(self) -> Sequence[CheckResult]:
        """Every check, in the order in which it reads best."""

    @property
    def green(self) -> bool:
        """Whether the pipeline did its job."""

    @property
    def red_expected(self) -> bool:
        """Whether a test has declared that this run must turn out red."""

    @property
    def must_fail(self) -> str:
        """Id of the check that the test has declared must fail then; empty where it has named none."""

    @property
    def diagnoses(self) -> Sequence[Diagnosis]:
        """Why tasks failed, the likeliest cause first, as far as it was recognised."""


def as_declared(verdict: VerdictResult) -> bool:
    """Whether a verdict is the one that was asked for: green, unless a test has declared the run red.

    Then by the check that the test has named, if it has named one: red for another reason is not what it asked for.
    """
    if verdict.green is verdict.red_expected:
        return False
    failed = {check.id for check in verdict.checks if not check.passed and check.evaluated}
    return not verdict.must_fail or verdict.must_fail in failed
