"""Says phases as a run does, makes a file and a program, and takes both down on a signal: what the driver is tried on.

Arguments: a folder; "tidy", "untidy" (leaves the file) or "deaf" (does not end).
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

folder, how = Path(sys.argv[1]), sys.argv[2]


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what it is for


say("... container engine (usually 3 s)")
say("ok  container engine 2.1 s: Docker, started")
made = folder / "made"
made.touch()
program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(folder)])
try:
    say("... kind cluster")
    say("... kind cluster 30 s (usually 25 s): booting")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if how == "deaf":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    say("... DAG run (usually 12 s)")
    time.sleep(600)
except KeyboardInterrupt:
    program.kill()
    program.wait()
    if how == "tidy":
        made.unlink()
    sys.exit(2)
