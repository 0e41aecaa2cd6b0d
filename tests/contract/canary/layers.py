"""Looks for secrets in image layers: whole layers as they stream by, and each secret in the forms it may stand there.

Too much to be decoded (`scan`), so the other way round: the secret is encoded. Files that are packed once more inside a
layer (wheels, archives) are not looked into.
"""

from __future__ import annotations

import base64
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import quote

_CHUNK = 8 << 20
_GZIP = b"\x1f\x8b"
# An entry of an archive is packed where it begins so, and zlib then takes it by this window.
_GZIP_WINDOW = 31


@dataclass
class Looked:
    """What was looked through.

    Attributes:
        found: Names of secrets by the entry of the archive.
        layers: Entries that are no descriptions.
        size: Bytes, as unpacked.
        passed: Entries that were passed over.
    """

    found: dict[str, set[str]] = field(default_factory=dict)
    layers: int = 0
    size: int = 0
    passed: int = 0


def leaks_in_archive(stream: IO[bytes], canaries: Mapping[str, str], *, pass_over: Collection[str] = ()) -> Looked:
    """Read what `docker image save` writes, as it comes.

    Args:
        stream: The archive.
        canaries: Secrets by name.
        pass_over: Digests without `sha256:` of layers that are not of interest.
    """
    needles = {name: _forms(secret) for name, secret in canaries.items()}
    longest = max((len(form) for forms in needles.values() for form in forms), default=1)
    looked = Looked()
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            if member.name.rpartition("/")[2] in pass_over:
                looked.passed += 1
                continue
            looked.layers += not member.name.endswith(".json")
            kept = b""
            for chunk in _unpacked(content):
                looked.size += len(chunk)
                text = kept + chunk
                seen = {name for name, forms in needles.items() if any(form in text for form in forms)}
                if seen:
                    looked.found.setdefault(member.name, set()).update(seen)
                # A secret may stand across the border of two chunks.
                kept = text[-(longest - 1) :] if longest > 1 else b""
    return looked


def _unpacked(content: IO[bytes]) -> Iterator[bytes]:
    chunk = content.read(_CHUNK)
    unpack = zlib.decompressobj(_GZIP_WINDOW) if chunk.startswith(_GZIP) else None
    while chunk:
        yield unpack.decompress(chunk) if unpack is not None else chunk
        chunk = content.read(_CHUNK)


def _forms(secret: str) -> set[bytes]:
    """As it is, in hex, URL-encoded, and what any base64 of a text around it must hold."""
    raw = secret.encode()
    forms = {raw, raw.hex().encode(), quote(secret, safe="").encode()}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        core = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        forms |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return forms
