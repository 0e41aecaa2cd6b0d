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
_GIB, _GB = 1024**3, 10**9


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
        stand_ins: What replaces a real part; None where the run ended before that was known.
        unpinned: Images that were trusted at their first pull.
    """

    run_id: str
    target: str
    supply: str
    chart: str
    airflow: str
    s3: str
    stand_ins: tuple[StandIn, ...] | None = ()
    unpinned: tuple[str, ...] = ()

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
        if self.unpinned:
            rows.append(("images", f"not pinned: {', '.join(self.unpinned)}"))
        if self.stand_ins is None:
            return rows
        stand_ins = [("stand-in", f"{part.name} for {part.replaces}: {part.because}") for part in self.stand_ins]
        return rows + (stand_ins or [("stand-in", "none: every part is the real one")])


@dataclass(frozen=True, slots=True)
class Resources:
    """What the run took of the machine, in bytes; None where it is not known.

    Attributes:
        node_memory: Most that the cluster's node containers used, page cache included.
        own_memory: Most that the harness's own processes, and an engine that it started, used.
        caches: What the caches held when the run began to use them.
        cache_limit: What they may hold.
    """

    node_memory: int | None = None
    own_memory: int | None = None
    caches: int | None = None
    cache_limit: int | None = None

    @property
    def memory(self) -> int | None:
        """Most that all of it used: at most the sum, since the two highest need not be at the same time."""
        known = [part for part in (self.node_memory, self.own_memory) if part is not None]
        return sum(known) if known else None

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) of what is known."""
        rows = []
        if self.memory is not None:
            named = (("node with page cache", self.node_memory), ("harness and its engine", self.own_memory))
            parts = [
                name + (f" {part / _GIB:.1f}" if part != self.memory else " only")
                for name, part in named
                if part is not None
            ]
            rows.append(("memory", f"{self.memory / _GIB:.1f} GiB at most ({', '.join(parts)})"))
        if self.caches is not None:
            limit = f" of at most {self.cache_limit / _GB:.0f} GB" if self.cache_limit is not None else ""
            rows.append(("caches", f"{self.caches / _GB:.1f} GB{limit}"))
        return rows


@dataclass(frozen=True, slots=True)
class KeptCluster:
    """A cluster that outlives the run.

    Attributes:
        name: Its name.
        ui: Address of the Airflow UI; empty if Airflow is not up in it.
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
        resources: What it took of the machine.
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
    resources: Resources = Resources()

    @property
    def outcome(self) -> str:
        """The one word (or two) for how the run ended; what came up without a verdict is not called green."""
        return "UP" if self.code is ExitCode.GREEN and self.verdict is None else OUTCOMES[self.code]

    @property
    def last_line(self) -> str:
        """The line a reader looks for first."""
        checks = self.verdict.checks if self.verdict is not None else ()
        wrong = sum(not check.passed for check in checks)
        counted = f" ({wrong} of {len(checks)} checks failed)" if wrong else ""
        return f"{self.outcome}{counted} in {duration(self.seconds)}, evidence in {self.evidence}"

    @property
    def next_step(self) -> str:
        """What to do now, where neither an error nor a diagnosis says it; empty when there is nothing to do."""
        if self.diagnoses:
            return ""
        if self.code is ExitCode.VERDICT_RED:
            where = f"the pods' logs are in {self.evidence / 'logs'}"
            if self.verdict is not None and not self.verdict.green:
                first = next(check.id for check in self.verdict.checks if not check.passed)
                return f"begin with {first}, the first check that failed; {where}"
            return f"the first run is green, and a test failed all the same: see it above; {where}"
        if self.code is ExitCode.NOTHING_PROVEN:
            return "no run was judged, so nothing is known of the DAG: let a test use the fixture `prover`"
        if self.code is ExitCode.INTERRUPTED:
            return (
                "run again" if self.kept is None else f"run again; {self.kept.delete} removes the cluster that is kept"
            )
        return ""


def duration(seconds: float) -> str:
    """Seconds for the reader: "0.4 s", "12 s", "2 min 05 s"."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02d} s"
