from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import GuardError
from harness.targets.namelock import NameLock, name_held, remove_idle_locks


def test_a_name_is_held_once_and_its_lock_file_goes_with_the_hold(tmp_path: Path) -> None:
    with name_held(tmp_path / "one"):
        with pytest.raises(GuardError, match="another run is using the cluster one") as caught:
            NameLock(tmp_path / "one")
        assert "--cluster" in caught.value.next_step
        NameLock(tmp_path / "two").release()
    assert list(tmp_path.iterdir()) == []


def test_locks_of_killed_runs_are_removed_and_held_ones_stay(tmp_path: Path) -> None:
    (tmp_path / ".left.lock").touch()
    held = NameLock(tmp_path / "held")
    remove_idle_locks(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".held.lock"]
    with pytest.raises(GuardError):
        NameLock(tmp_path / "held")
    held.release()
    held.release()


def test_a_lock_file_that_its_holder_removes_meanwhile_is_not_held_by_two(tmp_path: Path) -> None:
    """The classic race: one opens the file, its holder removes it and lets go, and a third makes a new one."""
    holders: list[int] = []
    most: list[int] = []

    def contend() -> int:
        got = 0
        for _ in range(100):
            try:
                lock = NameLock(tmp_path / "one")
            except GuardError:
                continue
            holders.append(1)
            most.append(len(holders))
            holders.pop()
            lock.release()
            got += 1
        return got

    with ThreadPoolExecutor(4) as pool:
        assert sum(run.result() for run in [pool.submit(contend) for _ in range(4)]) > 0
    assert set(most) == {1}
