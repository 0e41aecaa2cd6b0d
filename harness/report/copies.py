"""What a run started from, copied beside its evidence byte for byte, or not at all: never altered.

A copy that was redacted would be another input. So a file in which a secret is seen, or an input that is too large,
is left out as a whole, and its digest says what it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

MOST_BYTES: Final = 50_000_000
# To look through for secrets takes the redactor up to half a second per MB, in each run.
MOST_LOOKED_THROUGH: Final = 5_000_000
MOST_FILES: Final = 5_000
# Not part of any input: histories, caches, and what DVC keeps for this machine only (it may hold keys).
_NEVER: Final = frozenset({".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_DVC_OWN: Final = frozenset({"cache", "tmp", "config.local"})
# What DVC's remotes call their secrets (https://dvc.org/doc/command-reference/remote/modify).
_DVC_SECRET: Final = re.compile(
    rb"^\s*(?:password|secret_access_key|session_token|access_key_id|sas_token|account_key|connection_string|token)\s*=\s*\S",
    re.MULTILINE,
)

Suspicious = Callable[[bytes], bool]
"""Whether bytes hold what looks like a secret."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One input.

    Attributes:
        path: Where it was, in full.
        sha256: Of its bytes; of a folder over the names, executable bits and bytes of its files.
        bytes: Its size.
        files: How many files; 1 for a file.
        copy: The copy, as a path beside `repro.json`; empty where there is none.
        withheld: Why there is no copy; empty where there is one.
        shipped: Whether it came with the harness.
    """

    path: str
    sha256: str
    bytes: int
    files: int
    copy: str = ""
    withheld: str = ""
    shipped: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def digest(path: Path) -> str:
    """Digest of an input as it is on disk; see `Kept.sha256`.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_dir():
        return _hash(path)
    total = hashlib.sha256()
    for file in members(path):
        executable = "x" if file.stat().st_mode & 0o100 else "-"
        total.update(f"{file.relative_to(path).as_posix()}\0{executable}\0{_hash(file)}\n".encode())
    return total.hexdigest()


def members(folder: Path) -> Iterator[Path]:
    """The files of an input, in the order of their names.

    What a symbolic link leads to counts as content, as in the seed (`shutil.copytree`); a folder counts once.
    """
    seen: set[Path] = set()
    found: list[Path] = []
    for here, folders, files in os.walk(folder, followlinks=True):
        place = Path(here)
        never = _NEVER | _DVC_OWN if place.name == ".dvc" else _NEVER
        if place.resolve() in seen:
            folders.clear()
            continue
        seen.add(place.resolve())
        folders[:] = sorted(name for name in folders if name not in never)
        found += [place / name for name in files if name not in never and (place / name).is_file()]
    return iter(sorted(found))


def keep(
    path: Path, *, beside: Path, name: str, suspicious: Suspicious | None, shipped: bool = False, why_not: str = ""
) -> Kept:
    """Copy an input into the evidence.

    Args:
        path: A file or folder.
        beside: The folder of `repro.json`.
        name: Where the copy goes in it; a folder of that name, or a file.
        suspicious: Whether bytes hold what looks like a secret; None for data, which is not looked through.
        shipped: Whether the input came with the harness.
        why_not: Why it is not to be copied, if that is known already.

    Raises:
        OSError: It cannot be read, or the copy not written.
    """
    files = list(members(path)) if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    withheld = why_not or _reason(path, files, size, suspicious)
    target = beside / PurePosixPath(name)
    if not withheld:
        for file in files:
            place = target / file.relative_to(path) if path.is_dir() else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            place.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
    return Kept(
        path=str(path.absolute()),
        sha256=digest(path if withheld else target),
        bytes=size,
        files=len(files),
        copy="" if withheld else name,
        withheld=withheld,
        shipped=shipped,
    )


def _reason(path: Path, files: list[Path], size: int, suspicious: Suspicious | None) -> str:
    if size > MOST_BYTES or len(files) > MOST_FILES:
        return f"too large to be copied: {size} bytes in {len(files)} files"
    if suspicious is None:
        return ""
    if size > MOST_LOOKED_THROUGH:
        return f"too large to be looked through for secrets: {size} bytes"
    found = [file for file in files if _looks_secret(file, path, suspicious)]
    if not found:
        return ""
    where = found[0].relative_to(path).as_posix() if path.is_dir() else found[0].name
    return f"what looks like a secret stands in {where}"


def _looks_secret(file: Path, root: Path, suspicious: Suspicious) -> bool:
    raw = file.read_bytes()
    in_dvc = root.is_dir() and ".dvc" in file.relative_to(root).parts
    return suspicious(raw) or (in_dvc and _DVC_SECRET.search(raw) is not None)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
