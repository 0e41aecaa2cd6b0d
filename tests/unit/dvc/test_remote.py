from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.pointer import parse_pointer
from harness.dvc.remote import (
    Address,
    ManifestError,
    RemoteError,
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
    remote = config.remote()
    assert (remote.name, remote.bucket, remote.prefix, remote.version_aware) == ("two", "bucket", "some/prefix", True)
    assert remote.url == "s3://bucket/some/prefix"
    with pytest.raises(RemoteError, match="not on S3"):
        config.remote("one")


def test_a_remote_may_build_on_another_one() -> None:
    text = b"['remote \"base\"']\nurl = s3://b/p\n['remote \"st\"']\nurl = remote://base/sub\n"
    assert parse_config(text).remote("st").url == "s3://b/p/sub"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no default remote"),
        ("[core]\nremote = x\n", "no remote 'x'"),
        ("url = 1\n", "cannot be read"),
        ("[core]\nremote=x\n['remote \"x\"']\nurl = s3://\n", "no bucket"),
        ("[core]\nremote=x\n['remote \"x\"']\nurl = remote://x\n", "not on S3"),
    ],
)
def test_an_unusable_configuration_is_refused_for_its_own_reason(text: str, reason: str) -> None:
    with pytest.raises(RemoteError, match=reason):
        parse_config(text.encode()).remote()


def test_a_manifest_lists_paths_and_md5s() -> None:
    data = json.dumps([{"md5": MD5, "relpath": "a/b.csv"}, {"md5": OTHER, "relpath": "c"}]).encode()
    assert parse_manifest(data) == (("a/b.csv", MD5), ("c", OTHER))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"md5": "x", "relpath": "a"}]',
        b'[{"md5": "e5ebd4c02cefbe7955977c67ada242b7", "relpath": "../a"}]',
        b'[{"md5": "e5ebd4c02cefbe7955977c67ada242b7"}]',
        b'[{"md5":"e5ebd4c02cefbe7955977c67ada242b7","relpath":"a"},{"md5":"e5ebd4c02cefbe7955977c67ada242b7","relpath":"a"}]',
        b"\xff",
    ],
)
def test_a_bad_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data)


def test_a_folder_names_its_manifest_and_its_members() -> None:
    pointer = parse_pointer(f"outs:\n- md5: {MD5}.dir\n  hash: md5\n  path: d\n".encode(), path="d.dvc")
    manifest = Address("b", f"store/x/files/md5/{MD5[:2]}/{MD5[2:]}.dir")
    assert name_objects(pointer, CONFIG, {}).unread == (manifest,)
    naming = name_objects(pointer, CONFIG, {manifest: json.dumps([{"md5": OTHER, "relpath": "1"}]).encode()})
    assert [(named.label, named.manifest) for named in naming.objects] == [("d/", True), ("d/1", False)]
    assert naming.objects[1].address.key == f"store/x/files/md5/{OTHER[:2]}/{OTHER[2:]}"
    assert "unusable" in name_objects(pointer, CONFIG, {manifest: b"{}"}).problems[0]


def test_a_version_aware_output_lies_under_its_own_path_at_its_version() -> None:
    text = f"outs:\n- md5: {MD5}\n  size: 8\n  hash: md5\n  path: p.csv\n  cloud: {{st: {{version_id: v1}}}}\n"
    (named,) = name_objects(parse_pointer(text.encode(), path="datasets/p.csv.dvc"), CONFIG, {}).objects
    assert named.address == Address("b", "store/x/datasets/p.csv", "v1")
    assert str(named.address) == "s3://b/store/x/datasets/p.csv (version v1)"


def test_a_version_aware_folder_without_versions_was_never_pushed() -> None:
    text = f"outs:\n- hash: md5\n  path: d\n  files:\n  - relpath: '1'\n    md5: {MD5}\n    size: 2\n"
    (problem,) = name_objects(parse_pointer(text.encode(), path="d.dvc"), CONFIG, {}).problems
    assert "dvc push did not happen" in problem


def test_a_content_addressed_pointer_on_a_version_aware_remote_is_a_problem() -> None:
    config = parse_config(b"[core]\nremote=st\n['remote \"st\"']\nurl=s3://b\nversion_aware=true\n")
    pointer = parse_pointer(f"outs:\n- md5: {MD5}\n  path: p\n".encode(), path="p.dvc")
    assert "no version id" in name_objects(pointer, config, {}).problems[0]
