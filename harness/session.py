"""A whole run as both front doors drive it: phases shown live, then the report, the files and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console

from harness.diagnostics.memory import MemorySampler, node_peak
from harness.environment import Environment, Ready
from harness.errors import (
    CleanupFailed,
    DagNotReady,
    EnvironmentFailed,
    ExitCode,
    HarnessError,
    Interrupted,
    LifetimeOver,
    UsageError,
)
from harness.explanation import explain
from harness.lifetime import Lifetime
from harness.model import Diagnosis
from harness.names import AIRFLOW_NAMESPACE, RELEASE
from harness.pipeline.inputs import Inputs
from harness.proof import Prover
from harness.recording import Recorder, Verb
from harness.report import files, pause
from harness.report.live import LivePhases
from harness.report.model import KeptCluster, Report, Resources, RunFacts
from harness.report.protocols import VerdictResult, as_declared
from harness.report.summary import Summary
from harness.settings import Settings
from harness.signals import interrupted_once, undisturbed
from harness.timeline import Timeline

# As both charts name it (templates/api-server/api-server-service.yaml of the official one, 1.22.0).
_API_SERVICE = f"service/{RELEASE}-api-server"


class Session:
    """One run, from the first phase to the last line.

    Use it as a context manager: leaving it takes the environment down as far as the keep policy says, whatever
    happened inside, and writes the evidence.
    """

    def __init__(self, settings: Settings, console: Console, *, verb: Verb = "pytest", rerun_of: str = "") -> None:
        self._console = console
        self._live: LivePhases | None = None
        self.timeline = Timeline()
        self.environment = Environment(settings, timeline=self.timeline, status=self._status)
        self._lifetime = Lifetime(self.environment.max_lifetime, target=settings.target)
        self._recorder = Recorder(self.environment, verb=verb, rerun_of=rerun_of)
        self.environment.inputs_checked = self._inputs_checked
        self._paused = 0.0
        self.error: BaseException | None = None
        self.diagnoses: tuple[Diagnosis, ...] = ()
        self._cleaning_up: Exception | None = None
        self._unclean = False
        self._unwritten: EnvironmentFailed | None = None
        self._is_down = False
        self._memory = MemorySampler(settings.state_dir / "engine", beside=lambda: self.environment.cluster is not None)
        self._node_memory: int | None = None

    @contextmanager
    def phases(self) -> Iterator[None]:
        """Show phases while the block runs."""
        environment = self.environment
        shown = LivePhases(self._console, environment.usual, redactor=environment.redactor)
        with shown as live, self._memory, self._lifetime:
            self._live = live
            self.timeline.listen(live)
            try:
                yield
            finally:
                self._live = None

    def down(self) -> None:
        """Take the environment down; a failure to do so is the run's error unless it has one already.

        What explains a failure is collected first: afterwards it is gone. Safe to call twice.
        """
        with undisturbed(self._console):
            if self._is_down:
                return
            self._is_down = True
            self._lifetime.stop()
            if self.outlived:
                self.error, self.environment.outlived = self._lifetime.error(), True
            if self.undeclared:
                self.environment.failed = True
            # Of input that was refused before anything was begun there is nothing to collect.
            refused = isinstance(self.error, UsageError) and not self.timeline.phases
            if (self.error is not None or self.environment.failed) and not refused:
                self.diagnoses = explain(self.environment, self.error)
                self._pause()
            self._node_memory = self._most_of_the_nodes()
            self._down()

    def _down(self) -> None:
        try:
            self.environment.down()
        except Exception as error:  # noqa: BLE001 - it is reported, with the run's own error if there is one
            self._unclean = True
            if isinstance(self.error, HarnessError):
                self.error.evidence["cleaning up failed too"] = str(error)
            elif self.error is not None:
                # An interrupt has nowhere to put it, and what is left behind must be named all the same.
                self._cleaning_up = error
            self.error = self.error or error

    def _inputs_checked(self, inputs: Inputs) -> None:
        if self.environment.settings.pause_on_failure:
            pause.check()
        self._recorder.take(inputs)

    def _pause(self) -> None:
        """Let the reader look at what is about to be taken down, if they asked for that."""
        environment = self.environment
        nothing_goes = environment.cluster is None or environment.keeps_cluster
        if not environment.settings.pause_on_failure or nothing_goes or isinstance(self.error, KeyboardInterrupt):
            return
        report, there = self.report(), reached(environment)
        with self._live.suspended() if self._live is not None else nullcontext():
            self._paused += pause.wait_for_enter(pause.told(report, there, environment.redactor))

    def _most_of_the_nodes(self) -> int | None:
        environment = self.environment
        if environment.cluster is None or environment.toolchain is None:
            return None
        return node_peak(environment.cluster.name, engine=environment.toolchain.engine, runner=environment.runner)

    @property
    def resources(self) -> Resources:
        """What the run took of the machine."""
        environment = self.environment
        return Resources(
            node_memory=self._node_memory,
            own_memory=self._memory.peak_beside or None,
            own_memory_before=self._memory.peak_before or None,
            caches=environment.cache_bytes,
            cache_limit=int(environment.settings.cache_limit_gb * 1e9),
        )

    @property
    def verdicts(self) -> tuple[VerdictResult, ...]:
        """Of each run so far, in order."""
        return tuple(self.environment.verdicts)

    @property
    def outlived(self) -> bool:
        """Whether the run has been ended because it lasted longer than it may."""
        ended = self.error is None or isinstance(self.error, KeyboardInterrupt | LifetimeOver)
        return self._lifetime.over and ended

    @property
    def undeclared(self) -> bool:
        """Whether a verdict is not what was asked for: red without a test that declared it, or the reverse."""
        return not all(map(as_declared, self.verdicts))

    @property
    def exit_code(self) -> ExitCode:
        """How the run ended; no verdict is not a green one.

        A verdict that is not as declared stands, whatever went wrong beside it: what is known to be wrong is not hidden
        by what is not known. It gives way to an interrupt, to what was not removed, and to evidence that is not there.
        """
        if isinstance(self.error, KeyboardInterrupt | Interrupted):
            return ExitCode.INTERRUPTED
        if self.error is not None and not self._red_stands:
            return self.error.exit_code if isinstance(self.error, HarnessError) else ExitCode.ENVIRONMENT_FAILED
        if not self.verdicts:
            return ExitCode.NOTHING_PROVEN
        return ExitCode.VERDICT_RED if self.undeclared else ExitCode.GREEN

    @property
    def _red_stands(self) -> bool:
        left = self._unclean or isinstance(self.error, CleanupFailed)
        return self.undeclared and not left and self._unwritten is None

    def report(self, *, code: ExitCode | None = None) -> Report:
        """Everything the reader is told."""
        environment = self.environment
        return Report(
            facts=facts(environment),
            code=self.exit_code if code is None else code,
            seconds=self.timeline.elapsed,
            evidence=environment.evidence,
            phases=self.timeline.phases,
            verdicts=self.verdicts,
            diagnoses=self.diagnoses,
            error=environment.redactor.text(told(self.error) or told(self._cleaning_up)),
            kept=kept(environment),
            resources=self.resources,
            dag_not_ready=isinstance(self.error, DagNotReady),
        )

    def conclude(
        self,
        console: Console,
        *,
        code: ExitCode | None = None,
        recorded: Callable[[Mapping[str, Any]], object] = lambda _document: None,
    ) -> ExitCode:
        """Write the evidence, and the report to a console; returns the exit code.

        Args:
            console: Where to.
            code: How it ended, where that is not for this to say.
            recorded: Told what stands in `repro.json`, before the report.
        """
        return self.tell(console, code=self.write(code=code), recorded=recorded)

    def write(self, *, code: ExitCode | None = None) -> ExitCode | None:
        """Write the evidence; how the run ended with that, or what was given.

        What is not on disk proves nothing: a run whose evidence cannot be written has that for its error, if it has
        none yet, and the reader is told all the rest. May be called again, to write what is known by then.
        """
        try:
            files.write(self.report(code=code), redactor=self.environment.redactor)
        except OSError as error:
            first, self._unwritten = self._unwritten is None, _unwritten(self.environment.evidence, error)
            if self.error is None:
                self.error = self._unwritten
            elif first and isinstance(self.error, HarnessError):
                self.error.evidence["beside that"] = self._unwritten.message
        if self._unwritten is None or code in {None, ExitCode.INTERRUPTED, ExitCode.USAGE}:
            return code
        return self._unwritten.exit_code

    def tell(
        self,
        console: Console,
        *,
        code: ExitCode | None = None,
        recorded: Callable[[Mapping[str, Any]], object] = lambda _document: None,
    ) -> ExitCode:
        """The report to a console, of evidence that is written; arguments and result as those of `conclude`."""
        report = self.report(code=code)
        document = self._recorder.conclude(report, self.error, paused=self._paused)
        if document is not None:
            recorded(document)
        for problem in self._recorder.problems:
            console.print(problem, highlight=False, markup=False, soft_wrap=True)
        Summary(console, redactor=self.environment.redactor).report(report)
        return report.code

    def _status(self, text: str) -> None:
        if self._live is not None:
            self._live.status(text)


def _unwritten(folder: Path, error: OSError) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"the evidence could not be written into {folder}: {error.strerror}",
        next_step="make room there, or name another folder with HARNESS_EVIDENCE_DIR, then run again",
    )


Recorded = Callable[[Mapping[str, Any]], object]


def run_once(
    settings: Settings,
    console: Console,
    *,
    rerun_of: str = "",
    recorded: Recorded = lambda _document: None,
    judged: Callable[[VerdictResult], object] = lambda _verdict: None,
) -> ExitCode:
    """Up, one proven run, down, report.

    Args:
        settings: Of the run.
        console: Where it is shown.
        rerun_of: Id of the recorded run that it repeats.
        recorded: Told what stands in `repro.json`, before the report.
        judged: Told the verdict, if it came to one, behind the report.
    """

    def work(environment: Environment) -> None:
        environment.up()
        Prover(environment).prove()

    done = _carry_out(settings, console, work, verb="run", rerun_of=rerun_of)
    code = done.conclude(console, recorded=recorded)
    for verdict in done.verdicts:
        judged(verdict)
    return code


def bring_up(
    settings: Settings, console: Console, *, rerun_of: str = "", recorded: Recorded = lambda _document: None
) -> ExitCode:
    """Up, and stay; as `run_once`."""
    session = _carry_out(settings, console, lambda environment: environment.up(), verb="up", rerun_of=rerun_of)
    code = ExitCode.GREEN if session.error is None else session.exit_code
    return session.conclude(console, code=code, recorded=recorded)


def _carry_out(
    settings: Settings,
    console: Console,
    work: Callable[[Environment], object],
    *,
    verb: Verb = "run",
    rerun_of: str = "",
) -> Session:
    """A session in which some work was done, taken down."""
    with interrupted_once(console):
        session = Session(settings, console, verb=verb, rerun_of=rerun_of)
        try:
            with session.phases():
                try:
                    work(session.environment)
                except BaseException as error:  # noqa: BLE001 - whatever it is, what exists is taken down, and reported
                    session.error = error
                    session.environment.failed = True
                session.down()
        finally:
            session.down()  # an interrupt may come between any two lines
    return session


def told(error: BaseException | None) -> str:
    """What ended the run, for the reader; nothing for an interrupt, which the outcome names already."""
    if error is None or isinstance(error, KeyboardInterrupt):
        return ""
    if isinstance(error, HarnessError):
        return str(error)
    return (
        f"a fault of the harness itself: {type(error).__name__}: {error}\n  next: see bundle/error.txt in the evidence"
    )


def facts(environment: Environment) -> RunFacts:
    """What ran where, as far as it is known by now."""
    ready: Ready | None = environment.ready
    unpinned = environment.toolchain.unpinned if environment.toolchain is not None else ()
    if ready is None:
        # A kept cluster may well be up: this run came to its end before it looked, or while it was bringing it up.
        far = "not looked at" if environment.cluster is None else "not brought up"
        return RunFacts(
            run_id=environment.run_id,
            target=f"{environment.settings.target} cluster {environment.cluster_name} ({far})",
            supply=environment.supply_note,
            chart=environment.settings.airflow_chart or "the embedded chart",
            airflow=far,
            s3=environment.object_store,
            stand_ins=environment.stand_ins if environment.toolchain is not None else None,
            unpinned=unpinned,
        )
    return RunFacts(
        run_id=environment.run_id,
        target=f"{environment.settings.target} cluster {ready.cluster.name}, {ready.cluster.kubernetes_version}",
        supply=environment.supply_note,
        chart=ready.release.chart,
        airflow=ready.release.version,
        s3=ready.services.s3.backend,
        stand_ins=environment.stand_ins,
        unpinned=unpinned,
        added=environment.added,
        blocked=environment.blocked,
    )


def kept(environment: Environment) -> KeptCluster | None:
    """How to reach a cluster that is kept, also one in which not everything came up."""
    return reached(environment) if environment.keeps_cluster else None


def reached(environment: Environment) -> KeptCluster:
    """How to reach the cluster of a run while it is there."""
    ready, name = environment.ready, environment.cluster_name
    # A forward ends with the run.
    forwarded = ready is not None and ready.cluster.forwarded
    return KeptCluster(
        name=name,
        ui=ready.release.url if ready is not None and not forwarded else "",
        username=ready.release.username if ready is not None else "",
        password=ready.release.password if ready is not None else SecretStr(""),
        run=f"harness run{environment.target_flags} --keep always --cluster {name}",
        enter=f"harness shell --cluster {name}",
        inspect="harness status",
        delete=f"harness down --cluster {name}",
        **({"no_ui": f"kubectl --namespace {AIRFLOW_NAMESPACE} port-forward {_API_SERVICE} 8080"} if forwarded else {}),
    )
