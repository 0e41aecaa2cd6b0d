from __future__ import annotations

import hashlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.bucket import CHUNK_BYTES, digest


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_a_digest_does_not_depend_on_how_the_stream_is_cut(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert digest(pieces) == digest([data])
    assert digest([data]).md5 == hashlib.md5(data).hexdigest()  # noqa: S324
    assert digest([data]).size == len(data)


def test_the_legacy_md5_ignores_line_ends_in_text_only() -> None:
    text, binary = b"a,b\r\n1,2\r\n", b"\x00\r\n"
    assert digest([text]).md5_legacy == digest([b"a,b\n1,2\n"]).md5
    assert digest([text]).md5 != digest([text]).md5_legacy
    assert digest([binary]).md5 == digest([binary]).md5_legacy


def test_many_other_bytes_make_a_block_binary() -> None:
    mostly_text, hardly_text = b"\xff" * 3 + b"a" * 5 + b"\r\n", b"\xff" * 4 + b"a" * 4 + b"\r\n"
    assert digest([mostly_text]).md5 != digest([mostly_text]).md5_legacy
    assert digest([hardly_text]).md5 == digest([hardly_text]).md5_legacy


def test_text_or_not_is_decided_for_each_block_as_dvc_2_did() -> None:
    data = b"\x00" + b"a" * (CHUNK_BYTES - 1) + b"b\r\n"
    expected = hashlib.md5(data.replace(b"\r\n", b"\n")).hexdigest()  # noqa: S324
    assert digest([data[:10], data[10:]]).md5_legacy == expected
