"""What a run starts from is copied byte for byte or not at all, and its digest says what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report import copies
from harness.report.copies import Kept, digest, keep, members


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    (folder / "lib").mkdir(parents=True)
    (folder / "a.py").write_bytes(b"x = '\xff'\r\n")
    (folder / "lib" / "run").write_text("#!/bin/sh\n")
    (folder / "lib" / "run").chmod(0o755)
    for never in (".git/config", "__pycache__/a.pyc", ".dvc/cache/ab/cd", ".dvc/config.local"):
        (folder / never).parent.mkdir(parents=True, exist_ok=True)
        (folder / never).write_text("not part of it")
    (folder / ".dvc" / "config").write_text("[core]\n    remote = s3\n")
    return folder


def kept(path: Path, evidence: Path, *, why_not: str = "") -> Kept:
    return keep(path, beside=evidence, name="inputs/it", suspicious=lambda raw: b"SECRET" in raw, why_not=why_not)


def test_a_copy_has_the_same_bytes_modes_and_digest_and_no_caches(dags: Path, tmp_path: Path) -> None:
    found = kept(dags, tmp_path / "evidence")
    copy = tmp_path / "evidence" / found.copy
    assert [path.relative_to(copy).as_posix() for path in members(copy)] == [".dvc/config", "a.py", "lib/run"]
    assert (copy / "a.py").read_bytes() == (dags / "a.py").read_bytes()
    assert digest(copy) == digest(dags) == found.sha256
    assert found.files == 3
    assert not (copy / ".git").exists()


def test_a_file_is_copied_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2\n")
    found = kept(tmp_path / "a.csv", tmp_path / "evidence")
    assert (tmp_path / "evidence" / found.copy).read_text() == "1,2\n"
    assert found.sha256 == digest(tmp_path / "a.csv")


@pytest.mark.parametrize("change", ["content", "name", "mode", "more"])
def test_every_change_is_another_digest(change: str, dags: Path) -> None:
    before = digest(dags)
    if change == "content":
        (dags / "a.py").write_text("y")
    elif change == "name":
        (dags / "a.py").rename(dags / "b.py")
    elif change == "mode":
        (dags / "lib" / "run").chmod(0o644)
    else:
        (dags / "empty.py").touch()
    assert digest(dags) != before


def test_what_a_link_leads_to_is_copied_as_the_seed_has_it(dags: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "b.py").write_text("b")
    (dags / "common").symlink_to(tmp_path / "shared")
    (dags / "loop").symlink_to(dags)
    found = kept(dags, tmp_path / "evidence")
    copy = tmp_path / "evidence" / found.copy
    assert (copy / "common" / "b.py").read_text() == "b"
    assert not any(path.is_symlink() for path in copy.rglob("*"))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.py", "token = 'SECRET'", "a secret stands in a.py"),
        (".dvc/config", "[core]\n['remote \"s3\"']\n    secret_access_key = abc\n", "a secret stands in .dvc/config"),
    ],
)
def test_where_a_secret_is_seen_nothing_is_copied(
    name: str, content: str, why: str, dags: Path, tmp_path: Path
) -> None:
    (dags / name).write_text(content)
    found = kept(dags, tmp_path / "evidence")
    assert (found.copy, why in found.withheld) == ("", True)
    assert not (tmp_path / "evidence").exists()
    assert found.sha256 == digest(dags), "it is known what it was"


def test_what_is_too_large_is_known_by_its_digest_only(
    dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MOST_BYTES", 10)
    found = kept(dags, tmp_path / "evidence")
    assert "too large" in found.withheld
    assert not (tmp_path / "evidence").exists()


def test_what_is_too_large_to_be_looked_through_is_not_copied_unless_it_is_data(
    dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MOST_LOOKED_THROUGH", 10)
    assert "to be looked through" in kept(dags, tmp_path / "evidence").withheld
    assert keep(dags, beside=tmp_path / "evidence", name="inputs/it", suspicious=None).copy == "inputs/it"


def test_a_reason_that_is_known_already_is_taken(dags: Path, tmp_path: Path) -> None:
    assert kept(dags, tmp_path / "evidence", why_not="it is not YAML").withheld == "it is not YAML"
