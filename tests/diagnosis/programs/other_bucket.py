"""What the last task makes goes to a remote whose bucket nobody has made; DVC itself says so, when it writes."""

import sys
from pathlib import Path

from dvc_pipeline import cli
from dvc_pipeline.programs import Programs


class ToAnotherBucket(Programs):
    """`dvc push` to another remote than that of the repository."""

    def dvc(self, *arguments: str, cwd: Path) -> str:
        """Run DVC; before a push the remote is another one."""
        if arguments[0] == "push":
            remote = ("--local", "--default", "elsewhere", "s3://nobody-made-this-bucket/data")
            Programs.dvc(self, "remote", "add", *remote, cwd=cwd)
        return Programs.dvc(self, *arguments, cwd=cwd)


vars(cli)["Programs"] = ToAnotherBucket
sys.exit(cli.main())
