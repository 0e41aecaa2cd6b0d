from __future__ import annotations

import hashlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.dvc.hashing import CHUNK_BYTES, digest


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
    found = digest([data[:10], data[10:]])
    assert found.md5_legacy == hashlib.md5(data.replace(b"\r\n", b"\n")).hexdigest()  # noqa: S324
    assert (found.size, found.md5) == (len(data), hashlib.md5(data).hexdigest())  # noqa: S324


def test_only_the_beginning_of_a_block_tells_whether_it_is_text() -> None:
    text, binary = b"a" * 510 + b"\r\n" + b"\x00", b"\x00" + b"a" * 600 + b"\r\n"
    assert digest([text]).md5_legacy == digest([text.replace(b"\r", b"")]).md5
    assert digest([binary]).md5_legacy == digest([binary]).md5


def test_what_counts_as_text_is_what_dvc_2_took_for_it() -> None:
    def is_text(byte: int) -> bool:
        data = bytes([byte]) * 4 + b"a" * 4 + b"\r\n"
        return digest([data]).md5_legacy != digest([data]).md5

    assert [byte for byte in range(256) if is_text(byte)] == [8, 9, 10, 12, 13, *range(32, 127)]


def test_an_md5_is_named_by_the_way_of_hashing() -> None:
    found = digest([b"a\r\n"])
    assert (found.named(legacy=True), found.named(legacy=False)) == (found.md5_legacy, found.md5)
    assert found.md5 != found.md5_legacy
