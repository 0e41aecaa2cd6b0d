"""The commit goes to a branch of its own, as if somebody were to merge it later."""

import sys
from pathlib import Path

from dvc_pipeline import cli
from dvc_pipeline.programs import Programs


class ToAnotherBranch(Programs):
    """`git push` to a branch beside the one that is versioned."""

    def git(self, *arguments: str, cwd: Path) -> str:
        """Run Git; what is to be published goes elsewhere."""
        if arguments[0] == "push":
            arguments = (*arguments[:-1], f"{arguments[-1]}-data")
        return Programs.git(self, *arguments, cwd=cwd)


vars(cli)["Programs"] = ToAnotherBranch
sys.exit(cli.main())
