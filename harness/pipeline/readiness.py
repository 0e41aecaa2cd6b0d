"""When a DAG may be triggered: the code that was pushed is the code that Airflow parsed.

Ready means, all at once: the pushed commit is the worktree of the DAG processor; the DAG's last parse *began* after
that flip; its file has no import error; the DAG is there and not stale. Waiting for a new DAG version would be
wrong: with git-sync the bundle has no version, and an unchanged serialised DAG makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagImportError, DagInfo
from harness.errors import DagNotReady, EnvironmentFailed, WaitTimeout
from harness.kubeapi import KubeUnavailable
from harness.pipeline.gitsync import Checkout
from harness.pipeline.imports import lacking_provider, same_file
from harness.wait import Waiter

# An import error has no duration: one recorded so soon after the flip may come from a parse begun before it.
_AMBIGUOUS: Final = timedelta(seconds=5)


class DagReader(Protocol):
    """What of `AirflowApi` readiness needs."""

    def dag(self, dag_id: str) -> DagInfo | None:
        """See `AirflowApi.dag`."""

    def dags(self) -> tuple[DagInfo, ...]:
        """See `AirflowApi.dags`."""

    def import_errors(self) -> tuple[DagImportError, ...]:
        """See `AirflowApi.import_errors`."""


@dataclass(frozen=True, slots=True)
class _State:
    """What one look found.

    `blame` is an import error of ours, `others` the ids that our files define instead, `fault` why the commit cannot
    get there, or cannot be parsed there.
    """

    checkout: Checkout | None
    synced: bool
    dag: DagInfo | None = None
    fresh: bool = False
    blame: DagImportError | None = None
    others: tuple[str, ...] = ()
    fault: str | None = None

    @property
    def ready(self) -> bool:
        return (
            self.synced
            and self.fresh
            and self.dag is not None
            and not self.dag.is_stale
            and not self.dag.has_import_errors
        )

    def __str__(self) -> str:
        if not self.synced:
            return f"the DAG processor has {self.checkout.sha[:12] if self.checkout else 'no commit yet'}"
        if self.dag is None:
            return "commit is there, the DAG is not known yet"
        if self.dag.is_stale or self.dag.has_import_errors:
            return "commit is there, the DAG is marked stale"
        return "parsed from the pushed commit" if self.fresh else "commit is there, not parsed since"


def wait_for_dag(
    api: DagReader,
    dag_id: str,
    pushed_sha: str,
    probe: Callable[[], Checkout | None],
    *,
    waiter: Waiter,
    fault: Callable[[], str | None] = lambda: None,
    broken: Callable[[], str | None] = lambda: None,
    dag_files: Sequence[str] = (),
    timeout: float = 120.0,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> DagInfo:
    """Wait until the DAG of the pushed commit may be triggered.

    Args:
        api: Airflow.
        dag_id: The DAG.
        pushed_sha: The commit under test.
        probe: What the DAG processor has checked out, such as `gitsync.ProcessorCheckout`.
        waiter: How patient to be.
        fault: Why the commit cannot get there, such as `ProcessorCheckout.fault`; asked while it is not there.
        broken: Why it cannot be parsed there, such as `ProcessorCheckout.broken`; asked while it is not parsed.
        dag_files: The files that may define the DAG, relative to the DAG folder (`DagFiles.naming`). Without
            them an import error counts as the DAG's only where Airflow has recorded which file it is in.
        timeout: Seconds, before the waiter's patience is applied.
        now: The time, used only where the probe gives none.

    Raises:
        DagNotReady: The DAG's file does not import (with its traceback), or defines other DAGs than this one.
        WaitFailed: The commit cannot get there.
        EnvironmentFailed: Its file needs a provider that this environment has not.
        WaitTimeout: Not ready in time; names the DAGs that are there.
    """
    look = _Look(
        api, dag_id=dag_id, sha=pushed_sha, probe=probe, fault=fault, broken=broken, dag_files=tuple(dag_files), now=now
    )
    what = f"DAG {dag_id!r} of commit {pushed_sha[:12]}"
    try:
        found = waiter.until(
            what,
            look,
            ready=lambda state: state.ready or state.blame is not None or bool(state.others),
            failed=lambda state: state.fault,
            describe=str,
            timeout=timeout,
            transient=(AirflowUnavailable, KubeUnavailable),
            next_step="`harness logs airflow` shows all that the DAG processor and its git-sync said",
        )
    except WaitTimeout as error:
        raise _explained(error, api) from None
    if found.blame is not None:
        raise _blamed(what, found.blame)
    if found.dag is None or not found.ready:
        where = ", ".join(dag_files) or "its files"
        raise DagNotReady(
            what=what,
            reason=f"{where}: parsed, and define {', '.join(found.others)} instead",
            next_step="give the DAG's id with --dag-id, or correct it in the file",
        )
    return found.dag


class _Look:
    """One look at everything; remembers the import errors that were there before the commit was."""

    def __init__(
        self,
        api: DagReader,
        *,
        dag_id: str,
        sha: str,
        probe: Callable[[], Checkout | None],
        fault: Callable[[], str | None],
        broken: Callable[[], str | None],
        dag_files: tuple[str, ...],
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._dag_id = dag_id
        self._sha = sha
        self._probe = probe
        self._fault = fault
        self._broken = broken
        self._files = dag_files
        self._now = now
        self._before: frozenset[tuple[str, str]] | None = None
        self._seen_at: datetime | None = None
        self._parses: set[datetime] = set()

    def __call__(self) -> _State:
        # The checkout first: whatever is read after it is at least as new.
        checkout = self._probe()
        synced = checkout is not None and checkout.sha == self._sha
        if self._before is None:
            self._before = frozenset((error.file, error.stack_trace) for error in self._api.import_errors())
        if checkout is None or not synced:
            return _State(checkout, synced=False, fault=self._fault())
        # Without a time of its own, the flip was no later than the first look that found it.
        self._seen_at = self._seen_at or self._now()
        flipped = checkout.at or self._seen_at
        dag = self._api.dag(self._dag_id)
        files = self._files or ((dag.file,) if dag is not None and dag.file else ())
        state = _State(
            checkout,
            synced=True,
            dag=dag,
            fresh=dag is not None and self._fresh(dag, flipped),
            blame=self._blame(files, flipped),
            others=self._others(files, flipped) if dag is None or not _parsed_after(dag, flipped) else (),
        )
        over = state.ready or state.blame is not None or bool(state.others)
        return state if over else replace(state, fault=self._broken())

    def _fresh(self, dag: DagInfo, flipped: datetime) -> bool:
        if dag.last_parse_began is not None or dag.last_parsed_time is None:
            return _parsed_after(dag, flipped)
        # A server that gives no duration: the second parse to end after the flip has certainly begun after it.
        if dag.last_parsed_time > flipped:
            self._parses.add(dag.last_parsed_time)
        return len(self._parses) > 1

    def _blame(self, files: tuple[str, ...], flipped: datetime) -> DagImportError | None:
        before = self._before or frozenset()
        for error in self._api.import_errors():
            if not same_file(error.file, files):
                continue
            new = (error.file, error.stack_trace) not in before
            if error.at > flipped + _AMBIGUOUS or (new and error.at > flipped):
                return error
        return None

    def _others(self, files: tuple[str, ...], flipped: datetime) -> tuple[str, ...]:
        """What our files define, once every one of them was parsed at this commit and our DAG was in none of them."""
        if not files:
            return ()
        parsed = [dag for dag in self._api.dags() if same_file(dag.file, files) and _parsed_after(dag, flipped)]
        if not all(any(same_file(dag.file, (file,)) for dag in parsed) for file in files):
            return ()
        # The DAG may have been written between the two questions. One of an earlier commit stays known for long.
        ours = self._api.dag(self._dag_id)
        return tuple(dag.dag_id for dag in parsed) if ours is None or not _parsed_after(ours, flipped) else ()


def _parsed_after(dag: DagInfo, flipped: datetime) -> bool:
    began = dag.last_parse_began
    return began is not None and began > flipped


def _blamed(what: str, error: DagImportError) -> EnvironmentFailed:
    provider = lacking_provider(error.stack_trace)
    if provider is not None:
        return EnvironmentFailed(
            f"the environment lacks provider {provider}, which {error.file} imports",
            next_step="use an image that has it: give its reference in the values, or use `--supply registry`",
            evidence={"import error": error.stack_trace},
        )
    failed = DagNotReady(
        what=what,
        reason=f"{error.file} does not import: {_last_line(error.stack_trace)}",
        next_step=f"correct {error.file}",
    )
    failed.evidence["import error"] = error.stack_trace
    return failed


def _explained(error: WaitTimeout, api: DagReader) -> WaitTimeout:
    try:
        error.evidence["DAGs that are there"] = ", ".join(dag.dag_id for dag in api.dags()) or "none"
        error.evidence.update({f"import error in {e.file}": e.stack_trace for e in api.import_errors()})
    except EnvironmentFailed as further:
        error.evidence["Airflow's API"] = further.message
    error.next_step = "see the logs of the DAG processor and of its git-sync container"
    return error


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no traceback"
