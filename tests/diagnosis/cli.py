"""Whole runs of the `harness` command, as a user has them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.model import Diagnosis
from harness.options import OPTIONS

from .book import parsed

CHECKOUT = Path(__file__).parents[2]
_SECONDS = 600.0


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code and all that it said."""

    code: int
    said: str

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        return parsed(self.said)


def flags(config: pytest.Config, *without: str) -> list[str]:
    """The options that this session was given, for the command."""
    given: list[str] = []
    for option in OPTIONS:
        value = config.getoption(option.flag)
        if value is None or option.name in without:
            continue
        for one in value if option.many else [value]:
            given += [option.flag, str(one)]
    return given


def environment_variables() -> Mapping[str, str]:
    """Of this process, with the checkout's code before an installed one."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}


def harness(*arguments: str | Path, cwd: Path) -> Ended:
    """Run the command to its end; its evidence is in the folder "evidence" of where it runs."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        cwd=cwd,
        env={**environment_variables(), "HARNESS_EVIDENCE_DIR": str(cwd / "evidence")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout + done.stderr)
