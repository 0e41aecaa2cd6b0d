"""The commit is published first; only then, a second later, is the object uploaded."""

import sys
import time
from pathlib import Path

from dvc_pipeline import cli
from dvc_pipeline.programs import Programs

LATER: list[tuple[str, ...]] = []


class GitFirst(Programs):
    """`dvc push` behind `git push`."""

    def dvc(self, *arguments: str, cwd: Path) -> str:
        """Run DVC, uploads later."""
        if arguments[0] == "push":
            LATER.append(arguments)
            return ""
        return Programs.dvc(self, *arguments, cwd=cwd)

    def git(self, *arguments: str, cwd: Path) -> str:
        """Run git, and after `git push` what was put off."""
        said = Programs.git(self, *arguments, cwd=cwd)
        if arguments[0] == "push":
            # S3 says the second in which an object came, and no more.
            time.sleep(1)
            for one in LATER:
                Programs.dvc(self, *one, cwd=cwd)
        return said


vars(cli)["Programs"] = GitFirst
sys.exit(cli.main())
