from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.pointer import Pointer, parse_pointer
from harness.dvc.remote import (
    Address,
    ManifestError,
    NamedObject,
    Naming,
    Remote,
    RemoteError,
    _unquote,
    name_objects,
    object_key,
    parse_config,
    parse_manifest,
)

MD5 = "e5ebd4c02cefbe7955977c67ada242b7"
OTHER = "b026324c6904b2a9cb4b88d6d61c81d1"
CONFIG = parse_config(b"[core]\n    remote = st\n['remote \"st\"']\n    url = s3://b/store/x\n")


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.sampled_from(["", "store", "a/b"]))
def test_a_key_holds_the_whole_md5_below_the_prefix(md5: str, prefix: str) -> None:
    start = f"{prefix}/" if prefix else ""
    assert object_key(prefix, md5, legacy=False) == f"{start}files/md5/{md5[:2]}/{md5[2:]}"
    assert object_key(prefix, md5, legacy=True) == f"{start}{md5[:2]}/{md5[2:]}"
    assert object_key(prefix, md5, legacy=False, is_dir=True) == f"{start}files/md5/{md5[:2]}/{md5[2:]}.dir"


def test_the_remote_named_by_core_is_the_default_one() -> None:
    text = """[core]
  remote = two   # the shared one
    autostage = true
['remote "one"']
url = /tmp/x
[remote "two"]
      url = "s3://bucket/some/prefix/"
      version_aware = true
"""
    config = parse_config(text.encode())
    assert config.remote() == Remote("two", "bucket", "some/prefix", version_aware=True)
    assert config.remote().url == "s3://bucket/some/prefix"


@pytest.mark.parametrize("begin", ["\ufeff[core]", "['core']", '["core"]'])
def test_a_configuration_may_begin_as_dvc_reads_it(begin: str) -> None:
    config = parse_config(f"{begin}\nremote = one\n['remote \"one\"']\nurl = s3://b/x\n".encode())
    assert config.remote() == Remote("one", "b", "x")


def test_capitals_do_not_tell_remotes_apart() -> None:
    config = parse_config(
        b"[core]\nremote = Main\n['remote \"MAIN\"']\nurl = remote://Base/x\n['remote \"base\"']\nurl = s3://b\n"
    )
    assert config.remote() == config.remote("mAIN") == Remote("main", "b", "x")


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("s3://b", ""),
        ("s3://b/Xa/X", "Xa/X"),
        ("'s3://b/x'", "x"),
        ('"s3://b/x"', "x"),
        ("s3://b/50%(x)s", "50%(x)s"),
    ],
)
def test_a_prefix_is_read_as_it_is_written(written: str, prefix: str) -> None:
    config = parse_config(f"['remote \"st\"']\nurl = {written}\n".encode())
    assert config.remote("st") == Remote("st", "b", prefix)


@pytest.mark.parametrize(
    ("option", "aware"),
    [
        ("version_aware = true", True),
        ("version_aware = True", True),
        ("version_aware = 1", True),
        ("version_aware = yes", True),
        ("worktree = on", True),
        ("worktree = false", False),
        ("region = eu", False),
    ],
)
def test_a_remote_is_version_aware_if_it_says_so(option: str, aware: bool) -> None:  # noqa: FBT001
    config = parse_config(f"['remote \"st\"']\nurl = s3://b\n{option}\n".encode())
    assert config.remote("st").version_aware is aware


@pytest.mark.parametrize(
    ("value", "bare"),
    [("''", ""), ("'", "'"), ("", ""), ("'a\"", "'a\""), ("XaX", "XaX"), ('"a"', "a"), ("'ab'", "ab")],
)
def test_quotes_around_a_value_are_no_part_of_it(value: str, bare: str) -> None:
    assert _unquote(value) == bare


def test_a_remote_may_build_on_another_one_that_builds_on_a_third() -> None:
    text = (
        "['remote \"base\"']\nurl = s3://b/p\n['remote \"middle\"']\nurl = remote://base/m\n"
        "['remote \"st\"']\nurl = remote://middle/sub\n"
    )
    assert parse_config(text.encode()).remote("st").url == "s3://b/p/m/sub"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it names no default remote (core.remote)"),
        ("[core]\nautostage = true\n", "it names no default remote (core.remote)"),
        ("[core]\nremote = ''\n", "it names no default remote (core.remote)"),
        ("[core]\nremote = x\n", "there is no remote 'x' in it"),
        ("[core]\nremote=x\n['remote \"x\"']\nurl = remote://y\n", "there is no remote 'y' in it"),
        ("url = 1\n", "it cannot be read (File contains no section headers. file: '<string>', line: 1 'url = 1')"),
        ("[core]\nremote=x\n['remote \"x\"']\nregion = eu\n", "remote 'x' is at no url, not on S3"),
        ("[core]\nremote=x\n['remote \"x\"']\nurl = /tmp/x\n", "remote 'x' is at /tmp/x, not on S3"),
        (
            "[core]\nremote=x\n['remote \"x\"']\nurl = remote://y/z\n['remote \"y\"']\nregion = eu\n",
            "remote 'x' is at no url, not on S3",
        ),
        ("[core]\nremote=x\n['remote \"x\"']\nurl = s3://\n", "remote 'x' has no bucket in its url s3://"),
        ("[core]\nremote=x\n['remote \"x\"']\nurl = remote://x\n", "remote 'x' is at remote://x, not on S3"),
    ],
)
def test_an_unusable_configuration_is_refused_for_its_own_reason(text: str, reason: str) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_config(text.encode()).remote()
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", ["[core]\nremote = a\n[core]\nautostage = true\n", "[core]\nremote = a\nremote = b\n"])
def test_what_dvc_itself_refuses_is_refused(text: str) -> None:
    with pytest.raises(RemoteError, match="it cannot be read"):
        parse_config(text.encode())


def test_a_configuration_that_is_no_text_is_refused() -> None:
    with pytest.raises(RemoteError, match="it cannot be read"):
        parse_config(b"\xff")


def test_a_manifest_lists_paths_and_md5s() -> None:
    data = json.dumps([{"md5": MD5, "relpath": "a/b.csv"}, {"md5": OTHER, "relpath": "c"}]).encode()
    assert parse_manifest(data) == (("a/b.csv", MD5), ("c", OTHER))


ENTRY = f'{{"md5": "{MD5}", "relpath": "a"}}'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
        (b"{}", "it is not a list of files"),
        (b"[1]", "the entry 1 has no md5 of 32 lower-case digits"),
        (b'[{"md5": "x"}]', "the entry {'md5': 'x'} has no md5 of 32 lower-case digits"),
        (b'[{"md5": 7}]', "the entry {'md5': 7} has no md5 of 32 lower-case digits"),
        (f"[{ENTRY}]".replace('"a"', '"../a"').encode(), "the manifest: the file '../a' does not lie below the folder"),
        (f"[{ENTRY}]".replace(', "relpath": "a"', "").encode(), "the manifest: a file has no 'relpath'"),
        (f"[{ENTRY}, {ENTRY}]".encode(), "it names the same file twice"),
    ],
)
def test_a_bad_manifest_is_refused_for_its_own_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(data)
    assert str(caught.value) == reason


def test_a_manifest_that_is_no_text_is_refused() -> None:
    with pytest.raises(ManifestError, match="it is not JSON"):
        parse_manifest(b"\xff")


SERVED = parse_config(
    b"[core]\nremote=st\n['remote \"st\"']\nurl=s3://b/x\n['remote \"far\"']\nurl=s3://c\n"
    b"['remote \"va\"']\nurl=s3://v/y\nversion_aware=true\n"
)
AT, OTHER_AT = f"{MD5[:2]}/{MD5[2:]}", f"{OTHER[:2]}/{OTHER[2:]}"


def test_every_output_names_its_objects_whatever_is_wrong_with_the_one_before_it() -> None:
    md5, cloud = f"md5: {MD5}", "cloud: {va: {version_id: v1}}"
    outs = [
        f"{{path: a, {md5}, push: false}}",
        f"{{path: b, {md5}, remote: gone}}",
        f"{{path: c, {md5}, remote: va, hash: md5}}",
        f"{{path: d, {md5}, size: 3, hash: md5, {cloud}}}",
        f"{{path: e, hash: md5, files: [{{relpath: f, {md5}, size: 3, {cloud}}}]}}",
        f"{{path: g, files: [{{relpath: f, {md5}, {cloud}}}]}}",
        f"{{path: h, hash: md5, files: [{{relpath: f, {md5}}}]}}",
        f"{{path: i, {md5}.dir, hash: md5}}",
        f"{{path: j, {md5}.dir, hash: md5, remote: far}}",
        f"{{path: k, {md5}.dir, size: 9}}",
        f"{{path: l, {md5}, size: 4, remote: far}}",
        f"{{path: m, {md5}, hash: md5}}",
    ]
    pointer = parse_pointer(f"outs: [{', '.join(outs)}]".encode(), path="p.dvc")
    broken, legacy = Address("c", f"files/md5/{AT}.dir"), Address("b", f"x/{AT}.dir")
    manifests = {broken: b"{}", legacy: json.dumps([{"md5": OTHER, "relpath": "1"}]).encode()}
    unread = Address("b", f"x/files/md5/{AT}.dir")
    assert name_objects(pointer, SERVED, manifests) == Naming(
        objects=(
            NamedObject("d", Address("v", "y/d", "v1"), MD5, 3, legacy=False),
            NamedObject("e/f", Address("v", "y/e/f", "v1"), MD5, 3, legacy=False),
            NamedObject("g/f", Address("v", "y/g/f", "v1"), MD5, None, legacy=True),
            NamedObject("i/", unread, MD5, None, legacy=False, manifest=True),
            NamedObject("j/", broken, MD5, None, legacy=False, manifest=True),
            NamedObject("k/", legacy, MD5, None, legacy=True, manifest=True),
            NamedObject("k/1", Address("b", f"x/{OTHER_AT}"), OTHER, None, legacy=True),
            NamedObject("l", Address("c", AT), MD5, 4, legacy=True),
            NamedObject("m", Address("b", f"x/files/md5/{AT}"), MD5, None, legacy=False),
        ),
        unread=(unread,),
        problems=(
            "b: .dvc/config: there is no remote 'gone' in it",
            "c: remote 'va' is version-aware, but the pointer has no version id",
            "h: .dvc/config: the pointer has no version id for its file f: dvc push did not happen",
            f"j: the manifest at {broken} is unusable: it is not a list of files",
        ),
    )


def test_a_version_aware_legacy_output_keeps_its_hashing() -> None:
    text = f"outs: [{{path: d, md5: {MD5}, cloud: {{va: {{version_id: v1}}}}}}]"
    (named,) = name_objects(parse_pointer(text.encode(), path="p.dvc"), SERVED, {}).objects
    assert named == NamedObject("d", Address("v", "y/d", "v1"), MD5, None, legacy=True)


def test_a_pointer_without_outputs_names_nothing() -> None:
    assert name_objects(Pointer(()), CONFIG, {}) == Naming(())


def test_an_address_reads_as_a_url_with_its_version_if_it_has_one() -> None:
    assert [str(Address("b", "k")), str(Address("b", "k", "v1"))] == ["s3://b/k", "s3://b/k (version v1)"]
