from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.pointer import Pointer, read_pointer

MD5 = "a06a0210251465a86fb970018292304d"


def test_either_order_of_fields_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.dvc"
    path.write_text(f"outs:\n- size: 3\n  path: x.csv\n  hash: md5\n  md5: {MD5}\n")
    assert read_pointer(path) == Pointer(md5=MD5, legacy=False)


def test_a_pointer_without_hash_is_of_dvc_2_and_its_md5_ignores_line_endings(tmp_path: Path) -> None:
    path, data = tmp_path / "x.csv.dvc", tmp_path / "x.csv"
    data.write_bytes(b"a\r\nb\r\n")
    unix = hashlib.md5(b"a\nb\n", usedforsecurity=False).hexdigest()
    path.write_text(f"outs:\n- md5: {unix}\n  path: x.csv\n")
    raw = hashlib.md5(data.read_bytes(), usedforsecurity=False).hexdigest()
    pointer = read_pointer(path)
    assert pointer.legacy
    assert pointer.matches(data, raw)
    assert not Pointer(md5=pointer.md5, legacy=False).matches(data, raw)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<<<<<<< HEAD\nouts: [", "does not parse"),
        ("outs: []", "not a pointer to one file"),
        ("just text", "not a pointer to one file"),
        ("outs:\n- path: x", "not a pointer to one file"),
        (f"outs:\n- md5: {MD5}.dir\n  path: x", "points to a folder"),
        ("outs:\n- md5: 123\n  path: x", "an md5 that is none"),
    ],
)
def test_what_is_no_pointer_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "x.csv.dvc"
    path.write_text(text)
    with pytest.raises(PipelineError, match=reason):
        read_pointer(path)


def test_a_file_that_is_not_under_dvc_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"x\.csv\.dvc is not in the repository"):
        read_pointer(tmp_path / "x.csv.dvc")
