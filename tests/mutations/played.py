"""Plays rows side by side and keeps what came of each; the tests look their row up."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harness.dvc import Outcome, Verdict, decided
from harness.dvc.checks import RULES
from harness.errors import EnvironmentFailed, ExitCode
from harness.process import SubprocessRunner
from harness.processgroup import Scope

from .play import Play
from .recording import Recorded
from .site import Site
from .table import Mutation, Row, Undecided

# A row waits for servers as long as it computes; two at a time would leave processors idle.
THREADS: Final = 4
_MARKS: Final = {
    "killed": "K", "also": "x", "wrong": "!", "unknown": "?", "open": "-", "passed": ".",
    "not listed": " ",
}  # fmt: skip


@dataclass(frozen=True)
class Played:
    """What came of a row.

    Attributes:
        row: It.
        verdict: None if it could not be played.
        error: Why not.
        seconds: From the fresh repository to the verdict.
    """

    row: Row
    verdict: Verdict | None
    error: BaseException | None
    seconds: float

    @property
    def failed(self) -> dict[str, str]:
        """What each check says that is known not to be as it should."""
        return self._said(Outcome.FAILED)

    @property
    def unknown(self) -> dict[str, str]:
        """What each check says that lacks the facts to decide."""
        return self._said(Outcome.NOT_ESTABLISHED)

    def _said(self, outcome: Outcome) -> dict[str, str]:
        checks = self.verdict.failures if self.verdict else ()
        return {check.id: check.explanation for check in checks if check.outcome is outcome}

    @property
    def without_a_verdict(self) -> str:
        """With what the session ends in the verdict's place, with exit code 3; empty where there is one."""
        if self.verdict is None:
            return ""
        try:
            decided(self.verdict)
        except EnvironmentFailed as error:
            return str(error) if error.exit_code is ExitCode.ENVIRONMENT_FAILED else ""
        return ""

    @property
    def as_wanted(self) -> bool:
        if self.verdict is None:
            return False
        if isinstance(self.row, Undecided):
            only = set(self.unknown) == {self.row.open_in} and not self.failed
            return only and all(words in self.without_a_verdict for words in self.row.says)
        if not isinstance(self.row, Mutation):
            return self.verdict.green
        says = self.failed.get(self.row.killed_by, "")
        wanted = {self.row.killed_by, *self.row.also}
        return set(self.failed) == wanted and not self.unknown and all(words in says for words in self.row.says)

    def outcome(self, check: str) -> str:
        """What a check said, as one of the marks' names."""
        found = {one.id: one for one in self.verdict.checks}.get(check) if self.verdict else None
        if found is None:
            return "not listed"
        if found.passed:
            return "passed"
        if found.outcome is Outcome.NOT_ESTABLISHED:
            return "unknown" if isinstance(self.row, Undecided) and check == self.row.open_in else "wrong"
        if not found.evaluated:
            return "open"
        if not isinstance(self.row, Mutation):
            return "wrong"
        return "killed" if check == self.row.killed_by else "also" if check in self.row.also else "wrong"


@dataclass(frozen=True)
class Results:
    """What came of a table's rows, in its order.

    Attributes:
        title: Of the table.
        rows: By name.
        seconds: Wall time of all of them together.
    """

    title: str
    rows: Mapping[str, Played]
    seconds: float

    @property
    def headline(self) -> str:
        wanted = sum(played.as_wanted for played in self.rows.values())
        return f"{self.title}: {wanted} of {len(self.rows)}, {self.seconds:.1f} s"

    def part(self, title: str, table: Mapping[str, Row]) -> Results:
        """Those of the rows that are in a table; they were played among the others, in the same time."""
        return Results(title, {name: played for name, played in self.rows.items() if name in table}, self.seconds)

    def matrix(self) -> str:
        """Rows against checks, as text."""
        checks = [rule.id for rule in RULES]
        width = max((len(name) for name in self.rows), default=0)
        lines = [self.headline, ""]
        lines += [f"{'':{width}}  {'  ' * number}{check}" for number, check in enumerate(checks)]
        for name, played in self.rows.items():
            marks = " ".join(_MARKS[played.outcome(check)] for check in checks)
            note = "" if played.as_wanted else f"  NOT AS WANTED: {_brief(played)}"
            lines.append(f"{name:{width}}  {marks}  {played.seconds:5.1f} s{note}")
        legend = (
            "K the check that must catch it, x fails too, ? the check that must lack the facts (no verdict), "
            "- not evaluated, . passed, ! should not be so"
        )
        return "\n".join([*lines, "", legend, ""])

    def document(self) -> dict[str, object]:
        """The same as plain values."""
        return {
            "title": self.title,
            "seconds": round(self.seconds, 1),
            "rows": {
                name: {
                    "as_wanted": played.as_wanted,
                    "seconds": round(played.seconds, 2),
                    "killed_by": played.row.killed_by if isinstance(played.row, Mutation) else None,
                    "open_in": played.row.open_in if isinstance(played.row, Undecided) else None,
                    "error": str(played.error) if played.error else None,
                    "checks": {rule.id: played.outcome(rule.id) for rule in RULES},
                    "failed": played.failed,
                    "unknown": played.unknown,
                }
                for name, played in self.rows.items()
            },
        }


def write(folder: Path, results: Iterable[Results]) -> None:
    """The matrices into an evidence folder: `kill-matrix.json` and `kill-matrix.txt`."""
    tables = list(results)
    text = json.dumps([table.document() for table in tables], indent=2) + "\n"
    (folder / "kill-matrix.json").write_text(text, encoding="utf-8")
    (folder / "kill-matrix.txt").write_text("\n".join(table.matrix() for table in tables), encoding="utf-8")


def play_all(
    title: str,
    rows: Sequence[Row],
    site: Site,
    recorded: Mapping[str, Recorded],
    *,
    prefix: str,
    threads: int = THREADS,
) -> Results:
    """Play rows, some at a time. A row that cannot be played is a result like the others.

    An interrupt ends the programs of all of them.
    """
    scope = Scope()
    if isinstance(site.runner, SubprocessRunner):
        site = replace(site, runner=site.runner.within(scope))
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="row") as pool:
        # The longest first: those that wait for pods, while the others compute.
        order = sorted(rows, key=lambda row: not row.needs_pods)
        futures = {row.name: pool.submit(_play, row, site, recorded[row.data], prefix) for row in order}
        try:
            played = {row.name: futures[row.name].result() for row in rows}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            scope.cancel()
            raise
    return Results(title, played, time.monotonic() - started)


def _play(row: Row, site: Site, recorded: Recorded, prefix: str) -> Played:
    started = time.monotonic()
    verdict, error = None, None
    play = None
    try:
        play = Play(
            site=site,
            name=row.name,
            recorded=recorded,
            prefix=prefix,
            policy=row.policy,
            changes=row.changes,
            versioned=row.versioned,
            options=row.options,
        )
        row.prepare(play)
        before = play.snapshot()
        row.act(play)
        verdict = play.verdict(before)
    except Exception as caught:  # noqa: BLE001 - shown by the row's own test
        error = caught
    seconds = time.monotonic() - started
    if play is not None:
        site.admin.remove(play.server_name)
        shutil.rmtree(play.folder)
    return Played(row, verdict, error, seconds)


def assert_killed(name: str, rows: Mapping[str, Played]) -> None:
    """The mutation's run is red: the check that must catch it says why, and no check fails that need not."""
    played = rows[name]
    row = played.row
    if played.error is not None:
        raise played.error
    assert isinstance(row, Mutation)
    assert played.verdict is not None
    assert not played.verdict.green, "nothing noticed"
    assert not played.unknown, f"not established: {played.unknown}"
    assert row.killed_by in played.failed, played.failed
    assert set(played.failed) == {row.killed_by, *row.also}, played.failed
    for words in row.says:
        assert words in played.failed[row.killed_by]


def assert_undecided(name: str, rows: Mapping[str, Played]) -> None:
    """There is no verdict on the run, and exit code 3: one check lacks the facts, and nothing is known to be wrong."""
    played = rows[name]
    row = played.row
    if played.error is not None:
        raise played.error
    assert isinstance(row, Undecided)
    assert set(played.unknown) == {row.open_in}, played.unknown
    assert not played.failed, played.failed
    assert played.without_a_verdict, "there is a verdict"
    for words in row.says:
        assert words in played.without_a_verdict


def assert_green(name: str, rows: Mapping[str, Played]) -> None:
    """The run is legal, and no check says otherwise."""
    played = rows[name]
    if played.error is not None:
        raise played.error
    assert played.verdict is not None
    assert played.verdict.green, played.failed | played.unknown


def _brief(played: Played) -> str:
    if played.error is not None:
        return f"{type(played.error).__name__}: {str(played.error).partition(chr(10))[0]}"
    return ", ".join([*played.failed, *(f"{check}?" for check in played.unknown)]) or "green"
