"""The steps in the wrong order: `dvc push` sends what the pointer still names; only then does `dvc add` rewrite it."""

import sys
from pathlib import Path

from dvc_pipeline import cli
from dvc_pipeline.programs import Programs


class PushFirst(Programs):
    """`dvc push` at the place of `dvc add`, and not at its own."""

    def dvc(self, *arguments: str, cwd: Path) -> str:
        """Run DVC, uploads before additions."""
        if arguments[0] == "push":
            return ""
        if arguments[0] == "add":
            Programs.dvc(self, "push", "--quiet", f"{arguments[-1]}.dvc", cwd=cwd)
        return Programs.dvc(self, *arguments, cwd=cwd)


vars(cli)["Programs"] = PushFirst
sys.exit(cli.main())
