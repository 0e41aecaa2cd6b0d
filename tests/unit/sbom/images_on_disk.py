"""Archives of images as an engine saves them, made by hand."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

STATUS = b"""Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2+b5
Description: shell
 More of it.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: libc6
Status: hold ok installed
Architecture: amd64
Version: 1:2.41-12
"""
RELEASE = b'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n'
METADATA = b"Metadata-Version: 2.4\nName: Some_Thing.Else\nVersion: 1.2+local\nLicense-Expression: MIT\n\nLicense: no\n"


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def go_program(modules: str, *, before: bytes = b"") -> bytes:
    """A program with the record that Go's linker writes (debug/buildinfo, since Go 1.18)."""
    text = b"0" * 16 + modules.encode() + b"1" * 16
    record = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16)
    record += varint(len(b"go1.24.4")) + b"go1.24.4" + varint(len(text)) + text
    head = b"\x7fELF" + before
    return head + bytes(-len(head) % 16) + record


def layer(files: Mapping[str, bytes], *, executable: tuple[str, ...] = ()) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if name in executable else 0o644
            out.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def saved(path: Path, *layers: bytes, created: str = "2026-11-21T08:00:00.123456789Z") -> Path:
    """An archive as `docker image save` writes it."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    files = {
        "manifest.json": json.dumps([{"Config": "config.json", "RepoTags": ["a:1"], "Layers": names}]).encode(),
        "config.json": json.dumps({"created": created}).encode(),
        **dict(zip(names, layers, strict=True)),
    }
    path.write_bytes(layer(files))
    return path
