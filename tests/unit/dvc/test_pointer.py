from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.pointer import PointerError, is_pointer_path, parse_lock, parse_pointer

MD5 = "e5ebd4c02cefbe7955977c67ada242b7"
PATH = "datasets/p.csv.dvc"
DIGITS = st.text("0123456789abcdef", min_size=32, max_size=32)


def parse(text: str, tracked: str | None = "datasets/p.csv") -> object:
    return parse_pointer(text.encode(), path=PATH, tracked=tracked)


@given(
    md5=DIGITS, size=st.integers(0, 2**50), order=st.permutations(["md5", "size", "hash", "path"]), legacy=st.booleans()
)
def test_every_key_order_gives_the_same_output(md5: str, size: int, order: list[str], legacy: bool) -> None:  # noqa: FBT001
    values = {"md5": f"'{md5}'", "size": str(size), "hash": "md5", "path": "p.csv"}
    lines = [f"{key}: {values[key]}" for key in order if not (legacy and key == "hash")]
    pointer = parse_pointer(("outs:\n- " + "\n  ".join(lines)).encode(), path=PATH, tracked="datasets/p.csv")
    (out,) = pointer.outs
    assert (out.path, out.md5, out.size, out.legacy, out.is_dir) == ("datasets/p.csv", md5, size, legacy, False)


@given(position=st.integers(0, 31), other=st.sampled_from(string.ascii_uppercase + "ghijk-_ ."))
def test_one_wrong_character_in_the_md5_is_refused(position: int, other: str) -> None:
    md5 = MD5[:position] + other + MD5[position + 1 :]
    with pytest.raises(PointerError):
        parse(f"outs:\n- md5: '{md5}'\n  size: 8\n  hash: md5\n  path: p.csv\n")


def reason_or_outputs(data: bytes) -> object:
    try:
        return parse_pointer(data, path=PATH).outs
    except PointerError as error:
        return str(error)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_parsed_or_refused_with_a_reason(data: bytes) -> None:
    assert reason_or_outputs(data)


@given(st.text("outs:-md5 size\n12'\"[]{}&*!|>#,2024T:.", max_size=60))
def test_yaml_like_text_is_parsed_or_refused_with_a_reason(text: str) -> None:
    assert reason_or_outputs(text.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("outs: [", "not YAML"),
        ("outs:\n- md5: a\n<<<<<<< HEAD\n", "not YAML"),
        ("- a", "not a mapping"),
        ("deps: []", "no outputs"),
        ("outs: []", "no outputs"),
        ("outs: x", "no outputs"),
        ("outs:\n- x", "text, not a mapping"),
        ("outs:\n- size: 8\n  path: p.csv", "has no md5"),
        ("outs:\n- md5:\n  path: p.csv", "has no md5"),
        (f"outs:\n- md5: {MD5.upper()}\n  path: p.csv", "capital letters"),
        (f"outs:\n- md5: {MD5[:-1]}\n  path: p.csv", "31 digits, not 32"),
        (f"outs:\n- md5: {MD5}0\n  path: p.csv", "33 digits, not 32"),
        (f"outs:\n- md5: x{MD5[1:]}\n  path: p.csv", "not hexadecimal"),
        ("outs:\n- md5: 12345678901234567890123456789012\n  path: p.csv", "a number, not text"),
        (f"outs:\n- md5: {MD5}\n  size: '8'\n  path: p.csv", "'size' is text, not a number"),
        (f"outs:\n- md5: {MD5}\n  size: true\n  path: p.csv", "'size' is true/false, not a number"),
        (f"outs:\n- md5: {MD5}\n  size:\n  path: p.csv", "'size' is empty, not a number"),
        (f"outs:\n- md5: {MD5}\n  size: -1\n  path: p.csv", "'size' is negative"),
        (f"outs:\n- md5: {MD5}\n  nfiles: 2\n  path: p.csv", "not a folder's"),
        (f"outs:\n- md5: {MD5}\n  hash: sha256\n  path: p.csv", "only md5 is known"),
        (f"outs:\n- md5: {MD5}\n", "no 'path'"),
        (f"outs:\n- md5: {MD5}\n  path: 7", "'path' is a number"),
        (f"outs:\n- md5: {MD5}\n  path: ../../x", "outside the repository"),
        (f"outs:\n- md5: {MD5}\n  path: /x", "outside the repository"),
        (f"outs:\n- md5: {MD5}\n  path: q.csv", "its path is datasets/q.csv, not datasets/p.csv"),
        (f"outs:\n- md5: {MD5}\n  md5: {MD5}\n  path: p.csv", "given twice"),
        (f"outs:\n- md5: {MD5}\n  path: p.csv\n- md5: {MD5}\n  path: p.csv", "the same path twice"),
        (f"outs:\n- md5: {MD5}\n  path: p.csv\n  push: false", "no remote holds it"),
        (f"outs:\n- md5: {MD5}\n  path: p.csv\n  cache: 1", "not true or false"),
        (f"outs:\n- md5: {MD5}\n  path: p.csv\n  cloud: {{}}", "names 0 remotes"),
        (f"outs:\n- md5: {MD5}\n  path: p.csv\n  cloud: {{s: {{etag: x}}}}", "no version_id"),
        ("outs:\n- hash: md5\n  path: p.csv\n  files: []", "not a list of files"),
        (f"outs:\n- hash: md5\n  path: p.csv\n  files: [{{relpath: ../x, md5: {MD5}}}]", "not lie below"),
        (f"outs:\n- md5: {MD5}\n  path: p.csv\nwdir: 3", "'wdir' is a number"),
    ],
)  # fmt: skip
def test_a_bad_pointer_is_refused_for_its_own_reason(text: str, reason: str) -> None:
    with pytest.raises(PointerError, match=reason.replace("(", r"\(")):
        parse(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PointerError, match="not UTF-8"):
        parse_pointer(b"\xff\xfe", path=PATH)


def test_several_outputs_unknown_keys_and_a_working_folder_are_accepted() -> None:
    text = (
        f"wdir: ..\nmeta: {{owner: me}}\ndesc: x\nouts:\n"
        f"- md5: {MD5}\n  size: 8\n  hash: md5\n  path: a.csv\n  isexec: true\n"
        f"- md5: {MD5}.dir\n  size: 4\n  nfiles: 2\n  hash: md5\n  path: d\n  labels: [x]\n  remote: other\n"
    )
    pointer = parse_pointer(text.encode(), path=PATH, tracked="d/one.csv")
    first, second = pointer.outs
    assert (first.path, first.is_dir) == ("a.csv", False)
    assert (second.path, second.md5, second.is_dir, second.nfiles, second.remote) == ("d", MD5, True, 2, "other")


def test_a_version_aware_file_and_folder_are_read() -> None:
    text = (
        f"outs:\n- md5: {MD5}\n  size: 8\n  hash: md5\n  path: p.csv\n"
        "  cloud:\n    st:\n      etag: x\n      version_id: v1\n"
        f"- hash: md5\n  path: d\n  files:\n  - relpath: '1'\n    md5: {MD5}\n    size: 2\n"
        "    cloud: {st: {version_id: v2}}\n"
    )
    file, folder = parse_pointer(text.encode(), path=PATH).outs
    assert file.version is not None
    assert (file.version.remote, file.version.version_id) == ("st", "v1")
    assert folder.files is not None
    assert (folder.is_dir, folder.md5, folder.files[0].relpath, folder.files[0].size) == (True, None, "1", 2)


def test_a_lock_file_gives_the_outputs_of_its_stages() -> None:
    text = f"schema: '2.0'\nstages: {{one: {{cmd: x, outs: [{{path: a, hash: md5, md5: {MD5}, size: 1}}]}}}}"
    assert [out.path for out in parse_lock(text.encode(), path="dvc.lock").outs] == ["a"]
    with pytest.raises(PointerError, match="no outputs"):
        parse_lock(b"stages: {one: {cmd: x}}", path="dvc.lock")


def test_pointers_and_lock_files_are_told_from_other_files() -> None:
    assert [is_pointer_path(path) for path in ("a.csv.dvc", "x/dvc.lock", "dvc.yaml", "a.csv")] == [
        True,
        True,
        False,
        False,
    ]
