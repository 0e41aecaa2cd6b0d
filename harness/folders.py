"""Folders that settings name: made, and seen to take files, before anything is begun."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.errors import UsageError


def make_usable(setting: str, folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder that a setting names, and see that files can be written there.

    Raises:
        UsageError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
    except OSError as error:
        raise UsageError(
            f"nothing can be written into {folder}: {error.strerror}",
            next_step=f"name another folder with HARNESS_{setting.upper()} ({setting} in pyproject.toml), or make room",
        ) from error
