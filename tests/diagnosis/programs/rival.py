"""Just before its last task publishes, somebody else pushes another pointer to the same data."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from dvc_pipeline import cli

WHO = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.invalid")

if sys.argv[1] == "push":
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        repository, branch = os.environ["GIT_REPO"], os.environ.get("GIT_BRANCH", "main")
        subprocess.run(["git", "clone", "--quiet", "--branch", branch, repository, clone], check=True)  # noqa: S607
        pointer = clone / f"{os.environ['DVC_DATA_FILE']}.dvc"
        pointer.write_text(pointer.read_text(encoding="utf-8") + "desc: another version\n", encoding="utf-8")
        git = ("git", "-C", str(clone), *WHO)
        subprocess.run([*git, "commit", "--quiet", "--all", "--message", "Another version"], check=True)
        subprocess.run([*git, "push", "--quiet", "origin", branch], check=True)
sys.exit(cli.main())
