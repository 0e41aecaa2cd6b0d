from __future__ import annotations

import string
from pathlib import Path

import pytest
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.workspace import Pulled, Workspace, fingerprint, folder_name
from hypothesis import given
from hypothesis import strategies as st

SAFE = frozenset(string.ascii_letters + string.digits + "_.-")


@given(run_id=st.text(min_size=1))
def test_any_run_id_gives_one_safe_folder_inside(run_id: str) -> None:
    name = folder_name(run_id)
    assert SAFE.issuperset(name)
    assert name not in {".", ".."}
    assert len(name) <= 120
    assert Workspace.of_run(Path("/shared"), run_id).folder.parent == Path("/shared/runs")


@given(run_ids=st.lists(st.text(alphabet="a:+/._", min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_two_runs_never_share_a_folder(run_ids: list[str]) -> None:
    assert folder_name(run_ids[0]) != folder_name(run_ids[1])


def test_a_safe_run_id_is_its_own_folder() -> None:
    assert folder_name("harness.run-2026_01") == "harness.run-2026_01"


def test_starting_over_and_removing_leave_everything_else(tmp_path: Path) -> None:
    mine, other = (Workspace.of_run(tmp_path, run) for run in ("mine", "other"))
    for space in (mine, other):
        with space.held():
            space.repository.mkdir()
            (space.repository / "file").touch()
            space.remember(Pulled(base="b", md5="m", size=1))

    with mine.held():
        mine.start_over()
        assert not mine.repository.exists()
        assert mine.recall() is None
        mine.remove()

    assert not mine.folder.exists()
    assert (other.repository / "file").exists()
    assert other.recall() == Pulled(base="b", md5="m", size=1)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    space = Workspace.of_run(tmp_path / "shared", "run")
    with space.held():
        space.repository.mkdir()
        (space.repository / "link").symlink_to(outside, target_is_directory=True)
        space.start_over()
    assert (outside / "kept").exists()


def test_a_second_pod_of_the_run_is_kept_out(tmp_path: Path) -> None:
    space = Workspace.of_run(tmp_path, "run")
    with space.held(), pytest.raises(PipelineError, match="another pod"), Workspace.of_run(tmp_path, "run").held():
        pytest.fail("two pods hold one folder")


def test_a_volume_that_is_no_folder_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(PipelineError, match="is the volume mounted"), Workspace.of_run(tmp_path, "run").held():
        pytest.fail("held what cannot be made")


def test_locks_of_a_killed_try_are_discarded_and_nothing_else(tmp_path: Path) -> None:
    space = Workspace.of_run(tmp_path, "run")
    stale = [".git/index.lock", ".git/refs/heads/main.lock", ".dvc/tmp/lock", ".dvc/tmp/rwlock"]
    kept = [".git/index", ".dvc/tmp/btime", "poetry.lock"]
    for name in (*stale, *kept):
        path = space.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    space.discard_stale_locks()
    assert [name for name in (*stale, *kept) if (space.repository / name).exists()] == kept


def test_a_fingerprint_is_md5_and_size_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\r\n")
    # printf 'a\\r\\n' | md5sum
    assert fingerprint(path) == ("933222b19ff3e7ea5f65517ea1f7d57e", 3)
