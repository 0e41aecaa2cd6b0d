from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.dvcfile import PointerError
from harness.dvc.pointer import Member, Output, Pointer, Version, check_relpath, is_pointer_path, parse_pointer

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


OUT = f"outs:\n- md5: {MD5}\n  path: p.csv\n"
FILE = f"relpath: a, md5: {MD5}"
IMPORTED = "deps:\n- path: data/p.csv\n  repo:\n    url: https://git.example/team.git\n    rev_lock: abc\n"
REFUSED = [
    ("", "it is empty"),
    ("outs: [", "it is not YAML (expected the node content, but found '<stream end>', line 1)"),
    ("outs:\n- md5: a\n<<<<<<< HEAD\n", "it is not YAML (could not find expected ':', line 4)"),
    ("a: \x00", ('it is not YAML (unacceptable character #x0000: special characters are not allowed in '
                '"<unicode string>", position 3)')),
    (f"{OUT}  size: 2024-13-45\n", "it is not YAML (month must be in 1..12)"),
    ("- a", "the document is a list, not a mapping of names"),
    ("1: a", "the document is a mapping, not a mapping of names"),
    ("outs:\n- a\n? [x]\n: y", "a key is not a plain word (line 3)"),
    ("deps: []", "it lists no outputs (key 'outs')"),
    ("outs: []", "it lists no outputs (key 'outs')"),
    ("outs: x", "it lists no outputs (key 'outs')"),
    ("outs:\n- x", "an entry of 'outs' is text, not a mapping of names"),
    ("outs:\n- size: 8\n  path: p.csv", "datasets/p.csv: has no md5"),
    ("outs:\n- md5:\n  path: p.csv", "datasets/p.csv: has no md5"),
    ("outs:\n- md5: ABCDEF\n  path: p.csv", "datasets/p.csv: the md5 'ABCDEF' has 6 digits, not 32"),
    (OUT.replace(MD5, MD5.upper()),
     f"datasets/p.csv: the md5 '{MD5.upper()}' has capital letters, so its object is never found"),
    (OUT.replace(MD5, MD5[:-1]), f"datasets/p.csv: the md5 '{MD5[:-1]}' has 31 digits, not 32"),
    (OUT.replace(MD5, f"{MD5}0"), f"datasets/p.csv: the md5 '{MD5}0' has 33 digits, not 32"),
    (OUT.replace(MD5, f"x{MD5[1:]}"), f"datasets/p.csv: the md5 'x{MD5[1:]}' is not hexadecimal"),
    (OUT.replace(MD5, "1" * 32), "datasets/p.csv: the md5 is a number, not text"),
    (f"{OUT}  size: '8'\n", "datasets/p.csv: 'size' is text, not a whole number"),
    (f"{OUT}  size: true\n", "datasets/p.csv: 'size' is true/false, not a whole number"),
    (f"{OUT}  size:\n", "datasets/p.csv: 'size' is empty, not a whole number"),
    (f"{OUT}  size: 8.0\n", "datasets/p.csv: 'size' is a decimal number, not a whole number"),
    (f"{OUT}  size: 2024-01-02\n", "datasets/p.csv: 'size' is a date, not a whole number"),
    (f"{OUT}  size: [8]\n", "datasets/p.csv: 'size' is a list, not a whole number"),
    (f"{OUT}  size: -1\n", "datasets/p.csv: 'size' is negative"),
    (f"{OUT}  nfiles: x\n", "datasets/p.csv: 'nfiles' is text, not a whole number"),
    (f"{OUT}  nfiles: 2\n", "datasets/p.csv: has 'nfiles' but its md5 is not a folder's (no '.dir')"),
    (f"{OUT}  hash: sha256\n", "datasets/p.csv: 'hash' is 'sha256'; only md5 is known"),
    (f"{OUT}  remote: {{}}\n", "datasets/p.csv: 'remote' is a mapping, not text"),
    (f"{OUT}  md5: {MD5}\n", "'md5' is given twice (line 4)"),
    (f"outs:\n- md5: {MD5}\n", "an output has no 'path'"),
    (OUT.replace("p.csv", "''"), "an output has no 'path'"),
    (OUT.replace("p.csv", "7"), "'path' is a number, not text"),
    (OUT.replace("p.csv", ".."), f"its path is ., not {PATH[:-4]}"),
    (OUT.replace("p.csv", "../.."), "the path '../..' lies outside the repository"),
    (OUT.replace("p.csv", "../../x"), "the path '../../x' lies outside the repository"),
    (OUT.replace("p.csv", "/x"), "the path '/x' lies outside the repository"),
    (OUT.replace("p.csv", "q.csv"), "its path is datasets/q.csv, not datasets/p.csv"),
    (f"outs:\n- md5: {MD5}\n  path: q\n- md5: {MD5}\n  path: p\n",
     "its path is datasets/q, datasets/p, not datasets/p.csv"),
    (f"{OUT}- md5: {MD5}\n  path: p.csv", "it names the same path twice"),
    (f"{OUT}  push: false", "datasets/p.csv is marked 'cache: false' or 'push: false', so no remote holds it"),
    (f"{OUT}  cache: false", "datasets/p.csv is marked 'cache: false' or 'push: false', so no remote holds it"),
    (f"{OUT}  cache: 1", "datasets/p.csv: 'cache' is a number, not true or false"),
    (f"{OUT}  push: ''", "datasets/p.csv: 'push' is text, not true or false"),
    (f"{OUT}  cloud: x", "datasets/p.csv: 'cloud' is text, not a mapping of names"),
    (f"{OUT}  cloud: {{}}", "datasets/p.csv: 'cloud' names 0 remotes, not one"),
    (f"{OUT}  cloud: {{s: x}}", "datasets/p.csv: 'cloud.s' is text, not a mapping of names"),
    (f"{OUT}  cloud: {{s: {{etag: x}}}}", "datasets/p.csv: 'cloud.s' has no version_id"),
    (f"{OUT}  cloud: {{s: {{version_id: ''}}}}", "datasets/p.csv: 'cloud.s' has no version_id"),
    (f"{OUT}  cloud: {{s: {{version_id: 7}}}}", "datasets/p.csv: 'cloud.s' has no version_id"),
    (f"{OUT}  files: []", "datasets/p.csv: 'files' is not a list of files"),
    (f"{OUT}  files: {{a: b}}", "datasets/p.csv: 'files' is not a list of files"),
    (f"{OUT}  files: [x]", "datasets/p.csv: an entry of 'files' is text, not a mapping of names"),
    (f"{OUT}  files: [{{md5: {MD5}}}]", "datasets/p.csv: a file has no 'relpath'"),
    (f"{OUT}  files: [{{relpath: a}}]", "datasets/p.csv/a: has no md5"),
    (f"{OUT}  files: [{{{FILE}.dir}}]", "datasets/p.csv/a: a folder inside a folder's list"),
    (f"{OUT}  files: [{{{FILE}, size: x}}]", "datasets/p.csv/a: 'size' is text, not a whole number"),
    (f"{OUT}  files: [{{{FILE}, cloud: x}}]", "datasets/p.csv/a: 'cloud' is text, not a mapping of names"),
    (f"{OUT}  files: [{{{FILE}}}, {{{FILE}}}]", "datasets/p.csv: 'files' names the same file twice"),
    (f"{OUT}{IMPORTED}",
     "datasets/p.csv is imported from another repository ('deps' with 'repo'), so no remote of this one holds it"),
    (f"{OUT}wdir: 3", "'wdir' is a number, not text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_a_bad_pointer_is_refused_for_its_own_reason(text: str, reason: str) -> None:
    with pytest.raises(PointerError) as caught:
        parse(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "md5", "pushed"),
    [
        (f"{OUT}{IMPORTED}", MD5, False),
        (f"outs:\n- path: p.csv\n  hash: md5\n{IMPORTED}", "", False),
        (OUT + IMPORTED.replace("repo:", "etag:"), MD5, True),
        (f"{OUT}deps: []\n", MD5, True),
        (f"{OUT}deps: [x]\n", MD5, True),
        (f"{OUT}{IMPORTED}- path: q\n", MD5, True),
        (f"{OUT}- md5: {MD5}\n  path: q.csv\n{IMPORTED}", MD5, True),
    ],
)
def test_what_is_imported_from_another_repository_is_in_no_remote_of_this_one(
    text: str,
    md5: str,
    pushed: bool,  # noqa: FBT001
) -> None:
    out = parse_pointer(text.encode(), path=PATH).outs[0]
    assert (out.md5, out.pushed, out.is_dir) == (md5, pushed, False)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PointerError) as caught:
        parse_pointer(b"a\xff\xfe", path=PATH)
    assert str(caught.value) == "it is not UTF-8 text (invalid start byte at byte 1)"


def test_an_output_covers_itself_and_what_lies_in_it_if_it_is_a_folder() -> None:
    file, folder = Output("a", MD5, 1, legacy=False, is_dir=False), Output("b", MD5, 1, legacy=False, is_dir=True)
    pointer = Pointer((file, folder))
    found = {path: pointer.covering(path) for path in ("a", "a/x", "b", "b/x", "bx", "c")}
    assert found == {"a": file, "a/x": None, "b": folder, "b/x": folder, "bx": None, "c": None}


@pytest.mark.parametrize("relpath", ["/a", "./a", "a/../b", "a//b", ".", "..", "../a", "a/"])
def test_a_folders_file_must_lie_below_the_folder(relpath: str) -> None:
    with pytest.raises(PointerError) as caught:
        check_relpath(relpath, "here")
    assert str(caught.value) == f"here: the file {relpath!r} does not lie below the folder"


@pytest.mark.parametrize("relpath", [None, "", 7])
def test_a_folders_file_must_have_a_path(relpath: object) -> None:
    with pytest.raises(PointerError) as caught:
        check_relpath(relpath, "here")
    assert str(caught.value) == "here: a file has no 'relpath'"


def test_several_outputs_unknown_keys_and_a_working_folder_are_accepted() -> None:
    text = (
        f"wdir: ..\nmeta: {{owner: me}}\ndesc: x\nouts:\n"
        f"- md5: {MD5}\n  size: 8\n  hash: md5\n  path: a.csv\n  isexec: true\n"
        f"- md5: {MD5}.dir\n  size: 4\n  nfiles: 2\n  hash: md5\n  path: d\n  labels: [x]\n  remote: other\n"
    )
    assert parse_pointer(text.encode(), path=PATH, tracked="d/one.csv").outs == (
        Output("a.csv", MD5, 8, legacy=False, is_dir=False),
        Output("d", MD5, 4, legacy=False, is_dir=True, nfiles=2, remote="other"),
    )


def test_a_version_aware_file_and_folder_are_read() -> None:
    text = (
        f"outs:\n- md5: {MD5}\n  size: 8\n  hash: md5\n  path: p.csv\n"
        "  cloud:\n    st:\n      etag: x\n      version_id: v1\n"
        f"- hash: md5\n  path: d\n  files:\n  - relpath: '1'\n    md5: {MD5}\n    size: 2\n"
        "    cloud: {st: {version_id: v2}}\n"
    )
    assert parse_pointer(text.encode(), path=PATH).outs == (
        Output("datasets/p.csv", MD5, 8, legacy=False, is_dir=False, version=Version("st", "v1")),
        Output("datasets/d", "", None, legacy=False, is_dir=True, files=(Member("1", MD5, 2, Version("st", "v2")),)),
    )


def test_a_folders_md5_is_read_beside_its_list_of_files() -> None:
    (out,) = parse_pointer(f"{OUT}  files: [{{{FILE}}}]\n".replace(MD5, f"{MD5}.dir", 1).encode(), path=PATH).outs
    assert (out.md5, out.is_dir, out.legacy, out.files) == (MD5, True, True, (Member("a", MD5, None, None),))


def test_pointers_and_lock_files_are_told_from_other_files() -> None:
    assert [is_pointer_path(path) for path in ("a.csv.dvc", "x/dvc.lock", "dvc.yaml", "a.csv")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("name", ["no", "on", "Yes", "off", "12:30", "1:2.5"])
def test_a_name_that_only_older_yaml_takes_for_something_else_is_text(name: str) -> None:
    # As DVC writes it: without quotes, for in YAML 1.2 it needs none.
    text = f"outs:\n- md5: {MD5}\n  size: 8\n  hash: md5\n  path: {name}\n"
    (out,) = parse_pointer(text.encode(), path=f"data/{name}.dvc").outs
    assert out.path == f"data/{name}"


@pytest.mark.parametrize(("value", "pushed"), [("true", True), ("False", False)])
def test_switches_and_numbers_are_what_they_are(value: str, pushed: bool) -> None:  # noqa: FBT001
    (out,) = parse_pointer(f"outs: [{{md5: {MD5}, size: 10, path: p, push: {value}}}]".encode(), path="p.dvc").outs
    assert (out.pushed, out.size) == (pushed, 10)


@pytest.mark.parametrize("value", ["1.5", ".5", ".inf"])
def test_a_size_that_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(PointerError, match="is a decimal number, not a whole number"):
        parse_pointer(f"outs: [{{md5: {MD5}, size: {value}, path: p}}]".encode(), path="p.dvc")
