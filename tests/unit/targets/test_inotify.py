from __future__ import annotations

from pathlib import Path

from harness.targets.inotify import WANTED, raise_limits


def test_only_limits_that_are_too_low_are_raised(tmp_path: Path) -> None:
    (tmp_path / "max_user_instances").write_text("128\n")
    (tmp_path / "max_user_watches").write_text("1048576\n")

    assert raise_limits(tmp_path) == {"max_user_instances": WANTED["max_user_instances"]}
    assert (tmp_path / "max_user_instances").read_text() == "512\n"
    assert (tmp_path / "max_user_watches").read_text() == "1048576\n"


def test_a_machine_without_these_limits_is_left_alone(tmp_path: Path) -> None:
    assert raise_limits(tmp_path) == {}
