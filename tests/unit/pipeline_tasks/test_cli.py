from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from dvc_pipeline import cli


@pytest.mark.parametrize("name", ["a/file", None])
def test_a_volume_that_is_full_is_named_in_one_line(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    monkeypatch.setattr(cli, "modify", full)
    env = {"GIT_REPO": "https://git.example/x.git", "PIPELINE_RUN_ID": "run", "SHARED_DIR": str(tmp_path)}
    assert cli.main(["modify"], env=env) == 1
    where = f": {name}" if name else ""
    assert capsys.readouterr().err == f"dvc-pipeline modify: No space left on device{where}\n"
