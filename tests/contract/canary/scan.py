"""Looks for secrets in anything, by decoding it. Knows nothing of the redactor, which goes the other way."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote_to_bytes

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){6,}")
_SPACE = re.compile(rb"\\[nrt]|\s")
# Lines of base64 go on in the next one from this length on.
_LINE = 40
_DEPTH = 2


def leaks(data: bytes, canaries: Mapping[str, str]) -> set[str]:
    """Names of the secrets that are in there: plain, URL-encoded, base64 at any alignment, hex, also nested."""
    return {
        name
        for form in _forms(data, _DEPTH)
        for name, secret in canaries.items()
        if secret.encode() in form
    }  # fmt: skip


def leaks_below(folder: Path, canaries: Mapping[str, str]) -> dict[str, set[str]]:
    """The same of every file of a folder, and of its name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = leaks(path.read_bytes(), canaries) if path.is_file() else set()
        if seen := inside | leaks(path.name.encode(), canaries):
            found[str(path.relative_to(folder))] = seen
    return found


def leaks_in_processes(canaries: Mapping[str, str]) -> dict[str, set[str]]:
    """The same of the command line of everything that runs on this machine."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue  # it has ended
        if seen := leaks(words.replace(b"\0", b" "), canaries):
            found[str(path)] = seen
    return found


def _forms(data: bytes, depth: int) -> Iterator[bytes]:
    yield data
    if depth == 0:
        return
    yield unquote_to_bytes(data.replace(b"+", b" "))
    yield unquote_to_bytes(data)
    # Decoded word by word, and once more with the line ends taken out, as `base64` breaks its lines; with what a logger
    # writes around each of them, too.
    for text in (data, _SPACE.sub(b"", data), b"\n".join(_joined(data)) if depth == _DEPTH else b""):
        yield b"\n".join(map(binascii.unhexlify, _HEX.findall(text)))
        words = [word.replace(b"-", b"+").replace(b"_", b"/") for word in _BASE64.findall(text)]
        for start in range(4):
            # All words together: a level costs as much as the text is long, not as it has words.
            yield from _forms(b"\n".join(_decoded(word[start:]) for word in words), depth - 1)


def _joined(data: bytes) -> Iterator[bytes]:
    """The longest words of lines that follow on each other, put together."""
    together: list[bytes] = []
    for line in data.splitlines():
        word = max(_BASE64.findall(line), key=len, default=b"")
        together.append(word)
        if len(word) < _LINE:
            if len(together) > 1:
                yield b"".join(together)
            together = []
    yield b"".join(together)


def _decoded(word: bytes) -> bytes:
    whole = word[:-1] if len(word) % 4 == 1 else word  # one character alone says nothing
    return base64.b64decode(whole + b"=" * (-len(whole) % 4))
