"""The commit stays in the pod: `git push` is left out."""

import sys
from pathlib import Path

from dvc_pipeline import cli
from dvc_pipeline.programs import Programs


class WithoutGitPush(Programs):
    """Everything but `git push`."""

    def git(self, *arguments: str, cwd: Path) -> str:
        """Run Git, unless it is to publish."""
        return "" if arguments[0] == "push" else Programs.git(self, *arguments, cwd=cwd)


vars(cli)["Programs"] = WithoutGitPush
sys.exit(cli.main())
