"""The report on the terminal: header, verdict, timeline, diagnosis, what is kept, and one last line."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import ExitCode
from harness.redaction import Redactor
from harness.report.bars import bars
from harness.report.model import KeptCluster, Report, RunFacts, duration
from harness.report.protocols import VerdictResult
from harness.timeline import Phase

_BAR_CELLS = 36
_STYLE = {"done": "green", "failed": "red", "running": "yellow"}


class Summary:
    """Writes reports to a console. Text from outside is redacted and never read as markup.

    Args:
        console: Where to; the login of a kept cluster is shown only if it is a terminal.
        redactor: Applied to everything but that login.
    """

    def __init__(self, console: Console, *, redactor: Redactor | None = None) -> None:
        self._console = console
        self._redactor = redactor or Redactor()

    def header(self, facts: RunFacts) -> None:
        """What runs where; for the beginning of a run."""
        self._pairs(facts.rows())

    def report(self, report: Report) -> None:
        """Everything a reader is told at the end of a run, the most wanted line last."""
        if report.code is ExitCode.USAGE and not report.phases:
            # Nothing was begun, so there is nothing to tell of where and how.
            self._line(report.error, style="red")
            self._blank()
            self._line(report.last_line, style="bold red")
            return
        self.header(report.facts)
        if report.phases:
            self._blank()
            self._timeline(report)
        if report.resources.rows():
            self._blank()
            self._pairs(report.resources.rows())
        if report.verdict is not None:
            self._blank()
            self._verdicts(report, report.verdict)
        if report.error:
            self._blank()
            self._line(report.error, style="red")
        if report.untold:
            self._blank()
            for line in report.untold:
                self._line(str(line), style="bold red")
        if report.next_step:
            self._blank()
            self._line(f"next: {report.next_step}")
        if report.kept is not None:
            self._blank()
            self._kept(report.kept)
        self._blank()
        self._line(report.last_line, style="bold green" if report.code is ExitCode.GREEN else "bold red")

    def _verdicts(self, report: Report, verdict: VerdictResult) -> None:
        if report.title():
            self._line(report.title())
        self._verdict(verdict)
        for line in report.others():
            self._line(line)

    def _verdict(self, verdict: VerdictResult) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("check", "expected", "found", ""):
            table.add_column(name, overflow="fold")
        for check in verdict.checks:
            mark = Text("pass", style="green") if check.passed else Text("FAIL", style="bold red")
            if not check.evaluated:
                mark = Text(check.outcome, style="yellow")
            table.add_row(self._text(check.title), self._text(check.expected), self._text(check.found), mark)
        self._console.print(table, highlight=False)
        for check in verdict.checks:
            if not check.passed and check.evaluated and check.explanation:
                self._line(f"{check.id}: {check.explanation}", style="red")

    def _timeline(self, report: Report) -> None:
        table = Table.grid(padding=(0, 1))
        for bar in bars(report.phases, total=report.seconds):
            seconds = bar.phase.seconds
            table.add_row(
                self._text(bar.phase.name),
                Text(bar.text(_BAR_CELLS, ascii_only=self._ascii), style=_STYLE[bar.phase.outcome]),
                Text("" if seconds is None else duration(seconds), justify="right"),
                self._text(_noted(bar.phase)),
            )
        self._console.print(table, highlight=False)

    def _kept(self, kept: KeptCluster) -> None:
        rows = [("kept", kept.name), ("Airflow", kept.ui or kept.no_ui)]
        commands = [("run", kept.run), ("enter", kept.enter), ("inspect", kept.inspect), ("delete", kept.delete)]
        self._pairs(rows)
        if self._console.is_terminal and kept.ui:
            # The one secret that is shown, and only to someone who looks at a terminal: a file may be kept or sent.
            self._console.print(Text(f"{'login':<9}{kept.username} / {kept.password.get_secret_value()}"))
        self._pairs(commands)

    def _pairs(self, rows: Iterable[tuple[str, str]]) -> None:
        for name, value in rows:
            self._line(f"{name:<9}{value}")

    def _line(self, line: str, *, style: str = "") -> None:
        # Not wrapped: a command or a path that is cut in two cannot be copied.
        self._console.print(self._text(line, style=style), soft_wrap=True)

    def _blank(self) -> None:
        self._console.print()

    def _text(self, text: str, *, style: str = "") -> Text:
        shown = self._redactor.text(text)
        return Text(shown.encode("ascii", "replace").decode() if self._ascii else shown, style=style)

    @property
    def _ascii(self) -> bool:
        return self._console.options.ascii_only


def _noted(phase: Phase) -> str:
    if phase.outcome != "done":
        return f"{phase.outcome}: {phase.note}" if phase.note not in {"", phase.outcome} else phase.outcome
    # Which supply, and why, stands in the header.
    return "" if phase.name == "supply" else phase.note
