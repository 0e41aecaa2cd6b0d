"""What bytes hash to, as DVC hashes them; pure.

MD5 is DVC's, and names objects; it keeps no secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CHUNK_BYTES = 1 << 20
# dvc_data 3.18.3, hashfile/istextfile.py: a block with at most 30 % other bytes, and no NUL, is text.
_TEXT_BYTES = bytes(range(32, 127)) + b"\n\r\t\f\b"
_TEXT_SAMPLE_BYTES = 512
_MOSTLY = 0.30


@dataclass(frozen=True, slots=True)
class Digest:
    """What a stream of bytes was.

    Attributes:
        size: Bytes.
        md5: Of the bytes.
        md5_legacy: As DVC 2 hashed: of the bytes after line ends in text were made Unix ones.
    """

    size: int
    md5: str
    md5_legacy: str

    def named(self, *, legacy: bool) -> str:
        """The md5 that a pointer must give for these bytes."""
        return self.md5_legacy if legacy else self.md5


def digest(chunks: Iterable[bytes]) -> Digest:
    """Hash a stream of bytes, however it is cut."""
    plain = hashlib.md5(usedforsecurity=False)
    unix = hashlib.md5(usedforsecurity=False)
    size = 0
    # DVC 2 decided text or not, and replaced line ends, block by block of 1 MiB (dvc_data 3.18.3, hashfile/hash.py).
    for block in _blocks(chunks):
        size += len(block)
        plain.update(block)
        unix.update(block.replace(b"\r\n", b"\n") if _is_text(block[:_TEXT_SAMPLE_BYTES]) else block)
    return Digest(size, plain.hexdigest(), unix.hexdigest())


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= CHUNK_BYTES:
            yield bytes(held[:CHUNK_BYTES])
            del held[:CHUNK_BYTES]
    if held:
        yield bytes(held)


def _is_text(sample: bytes) -> bool:
    return b"\x00" not in sample and len(sample.translate(None, _TEXT_BYTES)) <= _MOSTLY * len(sample)
