"""The pipeline as it is, with gates: at a point closed for this run before it began, a pod waits until it is opened.

A gate is a file on the shared volume. So a fault strikes at a known point of the work, however fast that is.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dvc_pipeline import cli
from dvc_pipeline.programs import Programs

TASK = sys.argv[1]
GATES = Path(os.environ["SHARED_DIR"]) / "gates" / os.environ["PIPELINE_RUN_ID"]
VERBS = ("clone", "fetch", "commit", "pull", "add", "push")


def gate(point: str) -> None:
    """Wait here while it is closed, and say so once."""
    closed = GATES / f"{TASK}.{point}"
    if closed.exists():
        sys.stdout.write(f"gate {TASK}.{point}\n")
        sys.stdout.flush()
        while closed.exists():
            time.sleep(0.05)


def gated(name: str, program: Callable[..., str]) -> Callable[..., str]:
    """A program with a gate before and behind each of its commands."""

    def run(programs: Programs, *arguments: str, cwd: Path) -> str:
        verb = next((word for word in arguments if word in VERBS), "other")
        gate(f"before-{name}-{verb}")
        said = program(programs, *arguments, cwd=cwd)
        gate(f"after-{name}-{verb}")
        return said

    return run


for each in ("git", "dvc"):
    setattr(Programs, each, gated(each, getattr(Programs, each)))
gate("before")
code = cli.main()
gate("after")
sys.exit(code)
