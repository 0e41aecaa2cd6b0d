"""A sweep removes by exact name, and what is gone already is no error."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import CommandFailed
from harness.model import Engine
from harness.process import SubprocessRunner
from harness.targets.removal import remove_container


def engine(tmp_path: Path, said: str) -> Engine:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n", encoding="utf-8")
    docker.chmod(0o755)
    return Engine(docker, "", ours=False, version="20.10")


def test_a_container_that_was_journalled_and_never_made_is_no_error(tmp_path: Path) -> None:
    missing = engine(tmp_path, "Error: No such container: preload")
    remove_container("preload", engine=missing, runner=SubprocessRunner())


def test_a_container_that_the_engine_does_not_remove_is_an_error(tmp_path: Path) -> None:
    busy = engine(tmp_path, "Error response from daemon: device or resource busy")
    with pytest.raises(CommandFailed, match="exit code 1"):
        remove_container("preload", engine=busy, runner=SubprocessRunner())
