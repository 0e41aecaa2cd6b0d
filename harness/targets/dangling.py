"""What carries the harness's label in an engine beyond its time: named for the reader, never removed."""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from pathlib import Path

from harness.model import Engine
from harness.names import LABEL_EXPIRES, LABEL_OWNER, LABEL_RUN, OWNER
from harness.process import Runner

_SECONDS = 60.0


def dangling(engine: Engine, runner: Runner, *, known: Container[str], now: datetime | None = None) -> list[str]:
    """Containers and networks of the harness whose time is over; a kind node has no label, but its network has.

    Args:
        engine: Where to look.
        runner: Runs docker.
        known: Names of clusters that are kept or in use here: what is called so is not dangling.
        now: The time; default: now.

    Returns:
        For each its kind, name, run and time.

    Raises:
        CommandFailed: The engine does not list them.
    """
    found: list[str] = []
    for kind, name in (("container", ".Names"), ("network", ".Name")):
        template = "\t".join(
            f"{{{{{field}}}}}" for field in (name, f'.Label "{LABEL_RUN}"', f'.Label "{LABEL_EXPIRES}"')
        )
        command: list[str | Path] = [engine.docker, kind, "ls", *(["--all"] if kind == "container" else [])]
        command += ["--filter", f"label={LABEL_OWNER}={OWNER}", "--format", template]
        for line in runner.run(command, env=engine.env, timeout=_SECONDS).stdout.splitlines():
            called, run, expires = line.split("\t")
            if called not in known and is_past(expires, now or datetime.now(UTC)):
                found.append(f"{kind} {called} (run {run}, to be gone by {expires})")
    return found


def is_past(expires: str, now: datetime) -> bool:
    """Whether a time is over; one that is missing or damaged is not: nobody knows."""
    try:
        return datetime.fromisoformat(expires) < now
    except (ValueError, TypeError):
        return False
