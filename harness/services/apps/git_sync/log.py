"""Lines as git-sync's logger writes them: JSON objects on standard error (pkg/logging, logr's funcr)."""

from __future__ import annotations

import json
import sys
import time


def info(message: str, **fields: object) -> None:
    """One line of level 0."""
    _write({"level": 0, "msg": message, **fields})


def error(message: str, cause: object, **fields: object) -> None:
    """One line about an error; such lines have no level."""
    _write({"msg": message, "error": str(cause), **fields})


def _write(fields: dict[str, object]) -> None:
    now = time.time_ns()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now // 10**9))
    head = {"logger": "", "ts": f"{stamp}.{now % 10**9 // 1000:06d}"}
    print(json.dumps({**head, **fields}, separators=(",", ":")), file=sys.stderr, flush=True)
