"""The console that reports are written to."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console

# Where there is no terminal: wide enough for the table of checks in any log.
LOG_COLUMNS: Final = 140


class ReportConsole(Console):
    """A rich console whose reader may go away (`harness run | head`) without ending the run.

    rich 15 would then point standard output at /dev/null and exit with code 1, which here means a red verdict
    (`rich.console.Console.on_broken_pipe`).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if options.get("width") is None and not self.is_terminal:
            self.width = max(self.width, LOG_COLUMNS)

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True
