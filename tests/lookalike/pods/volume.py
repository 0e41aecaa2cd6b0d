"""Run in a pod: what its volume looks like, and whether it can write there; prints JSON."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

data = Path("/data")
root, lost = data.stat(), data / "lost+found"
try:
    (data / "new").write_text("x")
    written = ""
except OSError as error:
    written = os.strerror(error.errno or 0)
print(  # noqa: T201 - what it says is its result
    json.dumps(
        {
            "owner": [root.st_uid, root.st_gid],
            "mode": stat.filemode(root.st_mode),
            "lost+found": stat.filemode(lost.stat().st_mode) if lost.exists() else "",
            "refused": written,
        }
    )
)
