"""A report by hand, for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from harness.errors import ExitCode
from harness.model import Diagnosis, StandIn
from harness.report.model import KeptCluster, Report, RunFacts
from harness.timeline import Phase


@dataclass(frozen=True)
class Check:
    id: str
    title: str
    passed: bool
    expected: str
    found: str
    explanation: str = ""
    evaluated: bool = True
    counts: bool = True

    @property
    def outcome(self) -> str:
        if not self.counts:
            return "not asked"
        return "passed" if self.passed else "failed" if self.evaluated else "not evaluated"


@dataclass(frozen=True)
class Verdict:
    checks: tuple[Check, ...]
    red_expected: bool = False
    must_fail: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()

    @property
    def green(self) -> bool:
        return all(check.passed for check in self.checks if check.counts)


FACTS = RunFacts(
    run_id="r-7f3a",
    target="kind cluster h-7f3a, Kubernetes v1.34.4",
    supply="packages (no image registry answers)",
    chart="airflow 1.22.0 (embedded)",
    airflow="3.3.2",
    s3="LocalStack 4.14.0",
    stand_ins=(StandIn("git-sync stand-in", "git-sync v4.4.2", "its image needs a registry"),),
)
GREEN = Verdict((Check("object.present", "the object is in the bucket", True, "md5/59/4c0d", "md5/59/4c0d"),))
RED = Verdict(
    (
        *GREEN.checks,
        Check("commit.one", "one new commit", False, "1 commit", "2 commits <b>[red]", "the run committed twice"),
    )
)
PHASES = (
    Phase("kind cluster", 0.0, 16.0, "done"),
    Phase("git", 4.0, 8.0, "done", "reused"),
    Phase("helm", 16.0, 50.0, "failed"),
)
KEPT = KeptCluster(
    name="h-7f3a",
    ui="http://127.0.0.1:40123",
    username="admin",
    password=SecretStr("the-airflow-password"),
    run="harness run --keep always --cluster h-7f3a",
    enter="harness shell --cluster-name h-7f3a",
    inspect="harness status --cluster-name h-7f3a",
    delete="harness down --cluster-name h-7f3a",
)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A run that ended well."""
    return _report(tmp_path / "evidence")


@pytest.fixture
def red_report(report: Report) -> Report:
    """A run whose verdict is red."""
    return replace(
        report,
        code=ExitCode.VERDICT_RED,
        phases=PHASES,
        verdicts=(RED,),
        diagnoses=(Diagnosis("GIT_CONFLICT", "a rival pushed first", "task push_data", "rebase"),),
    )


@pytest.fixture
def kept() -> KeptCluster:
    """A cluster that outlives the run."""
    return KEPT


def _report(folder: Path) -> Report:
    return Report(
        facts=FACTS, code=ExitCode.GREEN, seconds=100.0, evidence=folder, phases=PHASES[:2], verdicts=(GREEN,)
    )
