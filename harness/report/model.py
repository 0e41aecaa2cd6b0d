"""What a report is made of, and how its parts are worded. Frozen values; the same for terminal, JUnit and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from harness.errors import ExitCode
from harness.model import StandIn
from harness.report.protocols import VerdictResult
from harness.timeline import Phase

OUTCOMES: Final[dict[ExitCode, str]] = {
    ExitCode.GREEN: "GREEN",
    ExitCode.VERDICT_RED: "RED",
    ExitCode.INTERRUPTED: "INTERRUPTED",
    ExitCode.ENVIRONMENT_FAILED: "ENVIRONMENT FAILED",
    ExitCode.USAGE: "USAGE ERROR",
    ExitCode.NOTHING_PROVEN: "NOTHING PROVEN",
}
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What ran where: the header of every report.

    Attributes:
        run_id: The run.
        target: Such as "kind cluster h-7f3a, Kubernetes v1.34.4".
        supply: Such as "packages (no image registry answers)".
        chart: Such as "airflow 1.22.0 (official)".
        airflow: Its version.
        s3: What speaks S3, with its version.
        stand_ins: What replaces a real part.
    """

    run_id: str
    target: str
    supply: str
    chart: str
    airflow: str
    s3: str
    stand_ins: tuple[StandIn, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) of each fact, stand-ins last."""
        rows = [
            ("run", self.run_id),
            ("target", self.target),
            ("supply", self.supply),
            ("chart", self.chart),
            ("Airflow", self.airflow),
            ("S3", self.s3),
        ]
        stand_ins = [("stand-in", f"{part.name} for {part.replaces}: {part.because}") for part in self.stand_ins]
        return rows + (stand_ins or [("stand-in", "none: every part is the real one")])


@dataclass(frozen=True, slots=True)
class KeptCluster:
    """A cluster that outlives the run.

    Attributes:
        name: Its name.
        ui: Address of the Airflow UI.
        username: To log in with.
        password: Shown on a terminal only.
        enter: Command that opens a shell with the right context.
        inspect: Command that shows what runs in it.
        delete: Command that removes it.
    """

    name: str
    ui: str
    username: str
    password: SecretStr
    enter: str
    inspect: str
    delete: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a reader is told at the end of a run.

    Attributes:
        facts: What ran where.
        code: How the run ended.
        seconds: Wall time of the run.
        evidence: Folder with the evidence.
        phases: What took how long.
        verdict: None when the run did not come that far.
        diagnoses: One line each, "what | where | do this", the likeliest first.
        error: What ended the run; empty when nothing did.
        kept: None when nothing is kept.
    """

    facts: RunFacts
    code: ExitCode
    seconds: float
    evidence: Path
    phases: tuple[Phase, ...] = ()
    verdict: VerdictResult | None = None
    diagnoses: tuple[str, ...] = ()
    error: str = ""
    kept: KeptCluster | None = None

    @property
    def outcome(self) -> str:
        """The one word (or two) for how the run ended."""
        return OUTCOMES[self.code]

    @property
    def last_line(self) -> str:
        """The line a reader looks for first."""
        checks = self.verdict.checks if self.verdict is not None else ()
        wrong = sum(not check.passed for check in checks)
        counted = f" ({wrong} of {len(checks)} checks failed)" if wrong else ""
        return f"{self.outcome}{counted} in {duration(self.seconds)}, evidence in {self.evidence}"


def duration(seconds: float) -> str:
    """Seconds for the reader: "0.4 s", "12 s", "2 min 05 s"."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02d} s"
