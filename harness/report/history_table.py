"""A history on the terminal: runs by how and why they ended, and how many are green."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.history import UP, Group, History, tally
from harness.report.model import duration

_LEAST_COLUMNS = 120
_TIME = "%Y-%m-%d %H:%M"
_STYLE = {"green": "green", UP: "green", "interrupted": "yellow"}


def show(history: History, console: Console) -> None:
    """Print it, damaged lines last."""
    counted = tally(history.lines)
    if counted.runs:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("outcome", "code"):
            table.add_column(name, no_wrap=True)
        for name in ("runs", "share"):
            table.add_column(name, justify="right")
        for name in ("first seen", "last seen"):
            table.add_column(name, no_wrap=True)
        table.add_column("median", justify="right", no_wrap=True)
        for group in counted.groups:
            table.add_row(*_row(group, counted.runs))
        # Never squeezed: a code that is cut short is none. rich keeps tables within the console, whatever one asks for.
        columns = console.width
        console.width = max(columns, _LEAST_COLUMNS)
        console.print(table, highlight=False)
        console.width = columns
        console.print(f"\n{_summary(history)}", highlight=False, markup=False, soft_wrap=True)
    else:
        console.print("no run is in the history", highlight=False)
    for one in history.damaged:
        console.print(f"passed over: {one}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _row(group: Group, runs: int) -> tuple[str | Text, ...]:
    return (
        Text(group.outcome, style=_STYLE.get(group.outcome, "red")),
        Text(group.code),
        str(group.count),
        f"{group.count / runs:.0%}",
        f"{group.first.astimezone():{_TIME}}",
        f"{group.last.astimezone():{_TIME}}",
        duration(group.median),
    )


def _summary(history: History) -> str:
    counted = tally(history.lines)
    runs = "1 run" if counted.runs == 1 else f"{counted.runs} runs"
    if counted.share is None:
        return f"{runs}, none of which was to give a verdict and was not broken off"
    return f"{runs}; green: {counted.green} of {counted.told} that were to give a verdict ({counted.share:.0%})"
