from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.model import Engine
from harness.process import SubprocessRunner


@dataclass(frozen=True)
class FakeEngine:
    """A folder that a shell script serves as if it were Docker (`fake_docker.sh`): real processes, no containers."""

    folder: Path
    docker: Path

    @property
    def engine(self) -> Engine:
        return Engine(docker=self.docker, host="", ours=False, version="20.10")

    @property
    def runner(self) -> SubprocessRunner:
        return SubprocessRunner(env={**os.environ, "FAKE_ENGINE": str(self.folder)})

    def said(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def fake_engine(tmp_path: Path) -> FakeEngine:
    folder = tmp_path / "fake-engine"
    (folder / "images").mkdir(parents=True)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    shutil.copyfile(Path(__file__).with_name("fake_docker.sh"), docker)
    docker.chmod(0o755)
    return FakeEngine(folder, docker)
