"""The push log, and git's post-receive hook that writes it.

Run by `git receive-pack` in the bare repository as a file on its own, so it imports nothing of this package.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

PUSH_LOG = "pushes.jsonl"


def note(repository: Path, moved: Iterable[tuple[str, str, str]], *, event: str, pusher: str) -> None:
    """Add moved refs to the push log: one JSON object a line, in one write so that two pushes cannot mix.

    Args:
        repository: The bare repository's folder.
        moved: (before, after, ref) of each; forty zeros stand for "there was none".
        event: "push" or "reseed".
        pusher: The user who moved them.
    """
    common = {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "repository": repository.name,
        "pusher": pusher,
    }
    lines = [json.dumps({**common, "ref": ref, "before": before, "after": after}) for before, after, ref in moved]
    with (repository / PUSH_LOG).open("ab", buffering=0) as log:
        log.write("".join(f"{line}\n" for line in lines).encode())


def main() -> int:
    """Note what git tells the hook on standard input."""
    moved = [line.rstrip("\n").split(" ", 2) for line in sys.stdin]
    note(
        Path.cwd(),
        ((before, after, ref) for before, after, ref in moved),
        event="push",
        pusher=os.environ.get("REMOTE_USER", ""),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
