"""Who sweeps never takes a run that begins or ends for one that was killed."""

from __future__ import annotations

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import procfs
from harness.errors import UsageError
from harness.liveness import alive, bury, is_alive, over, scratch


def test_a_run_that_has_made_its_folder_and_not_yet_locked_it_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "new"
    made, go_on = threading.Event(), threading.Event()
    real = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777, *, parents: bool = False, exist_ok: bool = False) -> None:
        real(path, mode, parents, exist_ok)
        if path == folder:
            made.set()
            assert go_on.wait(10)

    monkeypatch.setattr(Path, "mkdir", mkdir)

    def live(until: threading.Event) -> bool:
        with alive(folder):
            until.wait(10)
            return folder.is_dir()

    def look() -> list[Path]:
        with over(folder.parent) as found:
            return found

    end = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        run = pool.submit(live, end)
        assert made.wait(10)
        sweep = pool.submit(look)
        with pytest.raises(TimeoutError):
            sweep.result(0.2)
        go_on.set()
        assert sweep.result(10) == []
        end.set()
        assert run.result(10)


def test_a_folder_without_a_lock_is_of_a_run_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "runs" / "killed").mkdir(parents=True)
    with over(tmp_path / "runs") as found:
        assert [folder.name for folder in found] == ["killed"]


def test_of_two_sweeps_one_has_the_folder(tmp_path: Path) -> None:
    with alive(tmp_path / "runs" / "killed"):
        pass
    with over(tmp_path / "runs") as first, over(tmp_path / "runs") as second:
        assert ([folder.name for folder in first], second) == (["killed"], [])


def test_no_runs_are_over_where_there_never_was_one(tmp_path: Path) -> None:
    with over(tmp_path / "runs") as found:
        assert found == []


def test_two_who_look_at_once_do_not_take_each_other_for_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    with alive(folder):
        assert is_alive(folder)
    other = os.open(folder / "alive", os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_alive(folder)
    finally:
        os.close(other)


def test_a_beginning_that_is_broken_off_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock

    def flock(what: object, how: int) -> None:
        if not isinstance(what, int):
            raise KeyboardInterrupt
        real(what, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(KeyboardInterrupt), alive(tmp_path / "runs" / "new"):
        pass
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_may_be_buried_twice(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    with alive(folder):
        bury(folder)
        bury(folder)
    assert not folder.exists()


def test_a_folder_in_which_something_is_mounted_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed program has mounted in it may be this machine's own /sys."""
    folder = tmp_path / "run"
    (folder / "scratch" / "sys").mkdir(parents=True)
    point = folder / "scratch" / "sys"
    monkeypatch.setattr(procfs, "mounts", lambda: f"22 1 8:1 / {point} rw - sysfs sysfs rw\n")
    with pytest.raises(OSError, match=f"umount --lazy {point}"):
        bury(folder)
    assert point.is_dir()
    monkeypatch.setattr(procfs, "mounts", lambda: "22 1 8:1 / /sys rw - sysfs sysfs rw\n")
    bury(folder)
    assert not folder.exists()


@pytest.mark.parametrize("state", ["file", "file/below", "proc"])
def test_a_state_folder_that_cannot_be_written_is_the_readers_to_mend(tmp_path: Path, state: str) -> None:
    """Whichever verb needs it: `run`, `eks-lookalike up`, `eks status`."""
    (tmp_path / "file").touch()
    # Nobody can make a folder there, root neither.
    (tmp_path / "proc").symlink_to("/proc/self")
    folder = tmp_path / state
    with pytest.raises(UsageError, match="nothing can be written into") as told, scratch(folder, "eks"):
        pass
    assert str(folder / "runs") in told.value.message
    assert "HARNESS_STATE_DIR" in told.value.next_step
