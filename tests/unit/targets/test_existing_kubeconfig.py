"""A kubeconfig that cannot be read says why, and nothing of what stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.existing_settings import ExistingSettings
from harness.targets.existing import kubeconfig


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"token: hunter2-in-plain\nusers: [\n", "not valid YAML at line 3, column 1"),
        (b"\xff\xfe", "not a text file"),
    ],
)
def test_a_damaged_kubeconfig_is_told_by_its_place_and_not_by_its_words(
    content: bytes, why: str, tmp_path: Path
) -> None:
    (tmp_path / "config").write_bytes(content)
    with pytest.raises(UsageError) as told:
        kubeconfig.look_up(ExistingSettings(context="team", kubeconfig=tmp_path / "config"))
    assert str(told.value).startswith(f"the kubeconfig {tmp_path / 'config'} cannot be read: {why}\n")
    assert "hunter2" not in str(told.value)
