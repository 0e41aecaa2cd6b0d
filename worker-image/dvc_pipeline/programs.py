"""Running Git and DVC: quiet when they succeed, one line without credentials when they fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dvc_pipeline.errors import PipelineError

CREDENTIALS = ("GIT_SYNC_USERNAME", "GIT_SYNC_PASSWORD", "GITSYNC_USERNAME", "GITSYNC_PASSWORD")
_PASSWORDS = ("GIT_SYNC_PASSWORD", "GITSYNC_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_VERBS = ("clone", "fetch", "rev-parse", "reset", "status", "diff", "commit", "log", "add", "pull", "push")
_COMPLAINT = re.compile(r"(fatal|error|remote|warning)\b", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class Programs:
    """Git and DVC in one repository.

    Attributes:
        env: Environment of the task; Git gets all of it, DVC all but the Git credentials.
    """

    env: Mapping[str, str]

    def git(self, *arguments: str, cwd: Path) -> str:
        """Run Git; its standard output.

        Raises:
            PipelineError: It failed.
        """
        # The credential helper answers or nobody does: never a prompt. Messages stay in English for the reader.
        env = {**self.env, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        return os.fsdecode(self._run("git", ("git", *arguments), env=env, cwd=cwd).stdout)

    def git_says(self, *arguments: str, cwd: Path) -> bool:
        """Run a Git command that answers by its exit code: 0 is yes.

        Raises:
            PipelineError: The code is neither 0 nor 1.
        """
        return self._run("git", ("git", *arguments), env=self.env, cwd=cwd, good=(0, 1)).returncode == 0

    def dvc(self, *arguments: str, cwd: Path) -> str:
        """Run DVC; its standard output. Without `--quiet`, which takes its errors too (DVC 3.67, cli/__init__.py).

        Raises:
            PipelineError: It failed.
        """
        env = {name: value for name, value in self.env.items() if name not in CREDENTIALS}
        return os.fsdecode(self._run("dvc", (sys.executable, "-m", "dvc", *arguments), env=env, cwd=cwd).stdout)

    def redact(self, text: str) -> str:
        """The text without passwords that this task knows of and without user parts of URLs."""
        for name in _PASSWORDS:
            if secret := self.env.get(name):
                text = text.replace(secret, "[redacted]")
        return _IN_URL.sub("", text)

    def _run(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, good: Collection[int] = (0,)
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            done = subprocess.run(argv, cwd=cwd, env=env, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            raise PipelineError(f"cannot run {name}: it is not installed, or {cwd} is gone") from None
        if done.returncode not in good:
            verb = next((word for word in argv if word in _VERBS), "")
            raise PipelineError(f"{name} {verb} failed (exit code {done.returncode}): {self._complaint(done)}")
        return done

    def _complaint(self, done: subprocess.CompletedProcess[bytes]) -> str:
        lines = os.fsdecode(done.stderr or done.stdout).splitlines()
        told = [line.strip() for line in lines if _COMPLAINT.match(line.strip())] or [line for line in lines if line]
        return self.redact("; ".join(told[:3])) or "it said nothing"
