"""What a report is made of, and how its parts are worded. Frozen values; the same for terminal, JUnit and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from harness.errors import ExitCode
from harness.model import BlockedEgress, Diagnosis, StandIn
from harness.report.protocols import VerdictResult, as_declared
from harness.timeline import Phase

OUTCOMES: Final[dict[ExitCode, str]] = {
    ExitCode.GREEN: "GREEN",
    ExitCode.VERDICT_RED: "RED",
    ExitCode.INTERRUPTED: "INTERRUPTED",
    ExitCode.ENVIRONMENT_FAILED: "ENVIRONMENT FAILED",
    ExitCode.USAGE: "USAGE ERROR",
    ExitCode.NOTHING_PROVEN: "NOTHING PROVEN",
}
# Exit code 3 as well, but nothing is wrong with the environment.
_DAG_NOT_READY = "THE DAG IS NOT READY"
# In the title of any chart that is not the official one (harness/airflow/chart.py, `Chart.title`).
_EMBEDDED = "embedded"
# The check on which most others hang: a task that did not succeed leaves no commit, no object, or no pod.
_TASKS: Final = "tasks.succeeded"
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
        added: What the adapter added to pods that the DAG does not ask for, by kind of pod.
        blocked: What pods tried to reach outside the cluster, and were kept from; None where nobody watched.
    """

    run_id: str
    target: str
    supply: str
    chart: str
    airflow: str
    s3: str
    stand_ins: tuple[StandIn, ...] | None = ()
    unpinned: tuple[str, ...] = ()
    added: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    blocked: tuple[BlockedEgress, ...] | None = ()

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) of each fact; stand-ins, what was added to pods and what they were kept from, last.

        Why each part stands in is said in the page and in verdict.json (`reasons`).
        """
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
        # Which container got it stands in verdict.json.
        whats = {kind: dict.fromkeys(entry.partition(": ")[2] for entry in of) for kind, of in self.added.items()}
        added = [("adapter", f"added to {kind} pods: {', '.join(what) or 'nothing'}") for kind, what in whats.items()]
        added += [("blocked", f"{entry}, {entry.packets} packets") for entry in self.blocked or ()]
        if self.blocked is None:
            added.append(("traffic", "what pods reach outside the cluster is not watched on this target"))
        if self.stand_ins is None:
            return rows + added
        named = "; ".join(f"{part.name} for {part.replaces}" for part in self.stand_ins)
        stand_ins = [("stand-in", named)] if named else []
        if not stand_ins and _EMBEDDED in self.chart:
            stand_ins = [("stand-in", "the embedded chart for the official Airflow chart")]
        return rows + (stand_ins or [("stand-in", "none: the images and the chart are the official ones")]) + added

    def reasons(self) -> list[tuple[str, str]]:
        """Why each part that stands in does so, by its name."""
        return [(part.name, f"for {part.replaces}: {part.because}") for part in self.stand_ins or ()]


@dataclass(frozen=True, slots=True)
class Resources:
    """What the run took of the machine, in bytes; None where it is not known.

    Attributes:
        node_memory: Most that the cluster's node containers used, page cache included.
        own_memory: Most that the harness's own processes, and an engine that it started, used beside the cluster.
        own_memory_before: The same for the time before there was a cluster, when images are built.
        caches: What the caches held when the run began to use them.
        cache_limit: What they may hold.
    """

    node_memory: int | None = None
    own_memory: int | None = None
    own_memory_before: int | None = None
    caches: int | None = None
    cache_limit: int | None = None

    @property
    def memory(self) -> int | None:
        """Most that all of it used.

        Beside the cluster it is at most the sum, since the two highest need not be at the same time.
        """
        beside = [part for part in (self.node_memory, self.own_memory) if part is not None]
        known = [sum(beside)] if beside else []
        return max([*known, *([self.own_memory_before] if self.own_memory_before is not None else [])], default=None)

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) of what is known."""
        rows = []
        if self.memory is not None:
            named = (
                ("node with page cache", self.node_memory),
                ("harness and its engine", self.own_memory),
                ("before the cluster", self.own_memory_before),
            )
            parts = [f"{name} {part / _GIB:.1f}" for name, part in named if part is not None]
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
        run: Command that proves a DAG in it.
        enter: Command that opens a shell with the right context.
        inspect: Command that shows what runs in it.
        delete: Command that removes it.
        no_ui: Why there is no address of the UI, where there is none.
    """

    name: str
    ui: str
    username: str
    password: SecretStr
    run: str
    enter: str
    inspect: str
    delete: str
    no_ui: str = "did not come up"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a reader is told at the end of a run.

    Attributes:
        facts: What ran where.
        code: How the run ended.
        seconds: Wall time of the run.
        evidence: Folder with the evidence.
        phases: What took how long.
        verdicts: Of each run of the DAG that was judged, in order.
        diagnoses: Why it failed, the likeliest first.
        error: What ended the run; empty when nothing did.
        kept: None when nothing is kept.
        resources: What it took of the machine.
        dag_not_ready: Whether the error is that the DAG does not import, or is not defined.
    """

    facts: RunFacts
    code: ExitCode
    seconds: float
    evidence: Path
    phases: tuple[Phase, ...] = ()
    verdicts: tuple[VerdictResult, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    error: str = ""
    kept: KeptCluster | None = None
    resources: Resources = Resources()
    dag_not_ready: bool = False

    @property
    def untold(self) -> list[str]:
        """The diagnoses that say more than the error: none of a DAG that is not ready, whose error is the cause."""
        return [] if self.dag_not_ready else [str(found) for found in self.diagnoses]

    @property
    def shown(self) -> int:
        """Place of the verdict that is shown in full: the first that is not as declared, or else the first."""
        return next((place for place, verdict in enumerate(self.verdicts) if not as_declared(verdict)), 0)

    @property
    def verdict(self) -> VerdictResult | None:
        """The verdict that is shown in full; None when no run was judged."""
        return self.verdicts[self.shown] if self.verdicts else None

    def others(self) -> list[str]:
        """A line for each further verdict."""
        return [_line(place, verdict) for place, verdict in enumerate(self.verdicts) if place != self.shown]

    def title(self) -> str:
        """Which of several verdicts is the one shown in full; empty where there are not several."""
        return _line(self.shown, self.verdicts[self.shown]) if len(self.verdicts) > 1 else ""

    @property
    def outcome(self) -> str:
        """The one word (or two) for how the run ended; what came up without a verdict is not called green."""
        if self.dag_not_ready and self.code is ExitCode.ENVIRONMENT_FAILED:
            return _DAG_NOT_READY
        return "UP" if self.code is ExitCode.GREEN and self.verdict is None else OUTCOMES[self.code]

    @property
    def last_line(self) -> str:
        """The line a reader looks for first."""
        return f"{self.outcome}{self._counted()} in {duration(self.seconds)}, evidence in {self.evidence}"

    @property
    def next_step(self) -> str:
        """What to do now, where neither an error nor a diagnosis says it; empty when there is nothing to do."""
        if self.diagnoses:
            return ""
        if self.code is ExitCode.VERDICT_RED:
            return f"{self._after_red()}; the pods' logs are in {self.evidence / 'logs'}"
        if self.code is ExitCode.NOTHING_PROVEN:
            return "no run was judged, so nothing is known of the DAG: let a test use the fixture `prover`"
        if self.code is ExitCode.INTERRUPTED:
            return (
                "run again" if self.kept is None else f"run again; {self.kept.delete} removes the cluster that is kept"
            )
        return ""

    def _after_red(self) -> str:
        if self.verdict is None or as_declared(self.verdict):
            return "every verdict is as declared, and a test failed all the same: see it above"
        if self.verdict.green:
            return "a run that a test has declared red is green: look for what was to break it, and did not"
        if self.verdict.red_expected:
            return f"a run that a test has declared red by {self.verdict.must_fail} is red, and not by that: see above"
        failed = [check.id for check in self.verdict.checks if not check.passed and check.evaluated]
        if _TASKS in failed:
            return f"begin with {_TASKS}: what the other checks miss may only follow from it"
        return f"begin with {failed[0] if failed else 'the DAG'}, the first check that failed"

    def _counted(self) -> str:
        if self.verdict is None:
            return ""
        wrong = sum(not check.passed and check.evaluated for check in self.verdict.checks)
        if not as_declared(self.verdict) and self.verdict.green:
            return " (a run declared red is green)"
        if wrong and not as_declared(self.verdict):
            of_run = f" of run {self.shown + 1}" if len(self.verdicts) > 1 else ""
            open_ones = _open(self.verdict)
            more = f", {open_ones} could not be evaluated" if open_ones else ""
            counting = sum(check.counts for check in self.verdict.checks)
            return f" ({wrong} of {counting} checks{of_run} failed{more})"
        declared = sum(verdict.red_expected for verdict in self.verdicts)
        runs = "1 run" if len(self.verdicts) == 1 else f"{len(self.verdicts)} runs"
        return f" ({runs}, {declared} red as declared)" if declared else ""


def _open(verdict: VerdictResult) -> int:
    return sum(check.counts and not check.evaluated for check in verdict.checks)


def _line(place: int, verdict: VerdictResult) -> str:
    file = "verdict.json" if place == 0 else f"verdict-{place + 1}.json"
    word = "green" if verdict.green else "red"
    said = _declared(verdict)
    wrong = [check.id for check in verdict.checks if not check.passed and check.evaluated]
    open_ones = _open(verdict)
    more = f" ({open_ones} could not be evaluated)" if open_ones else ""
    which = (
        f": {', '.join(wrong)}{more}" if wrong else f", {sum(check.passed for check in verdict.checks)} checks passed"
    )
    return f"run {place + 1} is {word}{said}{which} ({file})"


def _declared(verdict: VerdictResult) -> str:
    """How a verdict stands to what a test has declared; nothing of a green one of which nothing was."""
    if as_declared(verdict):
        return ", as declared" if verdict.red_expected else ""
    if verdict.green:
        return ", though declared red"
    return f", not by {verdict.must_fail} as declared" if verdict.red_expected else ", not declared"


def duration(seconds: float) -> str:
    """Seconds for the reader: "0.4 s", "12 s", "2 min 05 s"."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02d} s"
