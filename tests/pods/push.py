"""Run in a pod: DVC adds a file to a repository of its own and pushes it; prints JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = "[core]\n    remote = s3\n    no_scm = true\n['remote \"s3\"']\n    url = {url}\n    connect_timeout = 5\n"


def main() -> None:
    asked = json.loads(sys.argv[1])
    repository = Path(tempfile.mkdtemp())
    (repository / ".dvc").mkdir()
    (repository / ".dvc" / "config").write_text(CONFIG.format(url=asked["url"]))
    (repository / "data").write_text(asked["content"])

    def dvc(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
        return {"code": done.returncode, "verb": arguments[0], "said": done.stderr[-4000:]}

    added = dvc("add", "data")
    print(json.dumps(added if added["code"] else dvc("push")))  # noqa: T201 - what it says is its result


main()
