"""The branch that the pipeline works on, as somebody else reads it and pushes to it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.process import Runner


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of the seeded repository, from outside the cluster.

    Attributes:
        url: Of the repository.
        name: Of the branch.
        env: Variables with which git gets in.
        runner: Runs git.
        scratch: Folder for clones.
    """

    url: str
    name: str
    env: Mapping[str, str] = field(repr=False)
    runner: Runner
    scratch: Path

    def push(self, files: Mapping[str, str | None]) -> str:
        """Commit files as somebody else, straight to the branch; returns the new tip.

        Args:
            files: Content by path in the repository; None removes the file.

        Raises:
            EnvironmentFailed: The Git server refused it.
        """
        run, env = self.runner.run, self.env
        with tempfile.TemporaryDirectory(prefix="foreign-", dir=self.scratch) as scratch:
            clone = Path(scratch) / "clone"
            run(["git", "clone", "--quiet", "--depth", "1", "--branch", self.name, self.url, clone], env=env)
            for name, content in files.items():
                if content is None:
                    (clone / name).unlink()
                else:
                    (clone / name).write_text(content, encoding="utf-8")
            git = ["git", "-C", str(clone), "-c", "user.name=Somebody", "-c", "user.email=somebody@example.invalid"]
            run([*git, "add", "--all"], env=env)
            run([*git, "commit", "--quiet", "--message", "Change the DAG folder"], env=env)
            run([*git, "push", "--quiet", "origin", self.name], env=env)
            return run([*git, "rev-parse", "HEAD"], env=env).stdout.strip()

    def tip(self) -> str:
        """The commit that it is at now.

        Raises:
            EnvironmentFailed: The Git server does not answer, or has no such branch.
        """
        command = ["git", "ls-remote", "--exit-code", self.url, f"refs/heads/{self.name}"]
        return self.runner.run(command, env=self.env).stdout.split()[0]
