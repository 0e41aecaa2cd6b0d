"""The look-alike's process as others see it: started to outlive them, found again by its command line, ended."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import procfs
from harness.errors import CleanupFailed, EnvironmentFailed, HarnessError
from harness.lookalike.hosting import Folder, Serving
from harness.orphans import UNMARKED
from harness.process import Runner
from harness.wait import Waiter

MODULE: Final = "harness.lookalike.serving"
_START_SECONDS: Final = 60.0
_LAST_WORDS: Final = 2000


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """The process of one folder.

    No other process has that folder's `gateway.json` on its command line: by this it is told from every other one,
    whatever process id a file may name.
    """

    folder: Folder

    def pid(self) -> int | None:
        """Its process id; None if it does not run."""
        return next((pid for pid in procfs.others() if self._is(pid)), None)

    def start(self, runner: Runner, waiter: Waiter) -> Serving:
        """Start it, and wait until it serves; `gateway.json` and its certificate are there by then.

        Raises:
            EnvironmentFailed: It does not come to serve; with its last words.
        """
        folder = self.folder
        # It must outlive this process, and not be ended as what a killed run has left: the journal names it.
        launcher = 'exec setsid "$0" -m "$1" "$2" >>"$3" 2>&1 </dev/null &'
        command: list[str | Path] = ["sh", "-c", launcher, sys.executable, MODULE, folder.configuration, folder.log]
        runner.run(command, env=UNMARKED, timeout=30)

        def gone(found: tuple[Serving | None, int | None]) -> str | None:
            # It writes nothing but why it ends.
            return "it has ended" if found[1] is None and self.last_words() else None

        try:
            serving, _ = waiter.until(
                "the look-alike of AWS to serve",
                lambda: (folder.serving(), self.pid()),
                ready=lambda found: None not in found,
                failed=gone,
                describe=lambda found: "serves" if found[0] else "starts" if found[1] else "does not run",
                timeout=_START_SECONDS,
                interval=0.1,
            )
        except HarnessError as error:
            raise EnvironmentFailed(
                "the look-alike of AWS does not come up",
                evidence={"why": error.message, "its last words": self.last_words()},
                next_step="the network of the container engine must be one of this machine's own (Linux, no remote "
                "engine): only there does the cluster reach it",
            ) from error
        if serving is None:
            raise EnvironmentFailed("the look-alike of AWS does not say where it serves")
        return serving

    def last_words(self) -> str:
        """The end of its log."""
        log = self.folder.log
        return log.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:].strip() if log.exists() else ""

    def end(self) -> bool:
        """End it; everything that it knows ends with it, and there is nothing else to save.

        Returns:
            Whether it ran.

        Raises:
            CleanupFailed: It does not end.
        """
        pid = self.pid()
        if pid is None:
            return False
        procfs.kill(pid, lambda: self._is(pid))
        if self._is(pid):
            raise CleanupFailed(f"the look-alike of AWS (process {pid}) does not end", next_step=f"kill -9 {pid}")
        return True

    def _is(self, pid: int) -> bool:
        words = procfs.read(pid, "cmdline").split(b"\0")
        return MODULE.encode() in words and str(self.folder.configuration).encode() in words
