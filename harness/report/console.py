"""The console that reports are written to."""

from __future__ import annotations

from rich.console import Console


class ReportConsole(Console):
    """A rich console whose reader may go away (`harness run | head`) without ending the run.

    rich 15 would then point standard output at /dev/null and exit with code 1, which here means a red verdict
    (`rich.console.Console.on_broken_pipe`).
    """

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True
