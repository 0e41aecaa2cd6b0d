"""The clone's URL with the password stands in the commit's message."""

import os
import sys
import urllib.parse
from pathlib import Path

from dvc_pipeline import cli
from dvc_pipeline.programs import Programs


class Telling(Programs):
    """Says where the clone came from."""

    def git(self, *arguments: str, cwd: Path) -> str:
        """Run git, commits with one more line."""
        if "commit" in arguments:
            password = urllib.parse.quote(os.environ["GIT_SYNC_PASSWORD"], safe="")
            arguments = (*arguments[:-1], f"{arguments[-1]}\nSource: https://user:{password}@git/x.git\n")
        return Programs.git(self, *arguments, cwd=cwd)


vars(cli)["Programs"] = Telling
sys.exit(cli.main())
