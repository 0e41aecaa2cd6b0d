"""Pointer files (`.dvc`): bytes in, a frozen `Pointer` out, or one sentence that says why not.

The format is DVC's own (dvc 3.67.1, `dvc/schema.py` and `dvc/output.py`): YAML with a list `outs`. An output with
`hash: md5` is DVC 3's; one without is *legacy* (DVC 2 and before) and lies elsewhere in the remote, its md5 taken
after line ends were made Unix ones. A version-aware remote adds `cloud:` with a version id per remote name, and
lists the `files` of a folder in place of the folder's md5. What `dvc import` has made names a repository in its only
dependency; its data stays in that one's remote: `dvc push` leaves it out (`dvc/stage/__init__.py`: `is_repo_import`,
`dvc/repo/fetch.py`: `stage_filter`), and `--no-download` leaves out the md5.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.dvc.dvcfile import PointerError, flag, kind, load, mapping

_MD5 = re.compile(r"[0-9a-f]{32}")
_DIR = ".dir"


@dataclass(frozen=True, slots=True)
class Version:
    """Where a version-aware remote keeps one file.

    Attributes:
        remote: Name of the remote in `.dvc/config`.
        version_id: The object version in the bucket.
    """

    remote: str
    version_id: str


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a folder that a pointer lists itself (version-aware remotes).

    Attributes:
        relpath: Path below the folder.
        md5: 32 lower-case hexadecimal digits.
        size: Bytes; None if not stated.
        version: Where it is; None if it was not pushed yet.
    """

    relpath: str
    md5: str
    size: int | None
    version: Version | None


@dataclass(frozen=True, slots=True)
class Output:
    """One tracked file or folder.

    Attributes:
        path: Path in the repository.
        md5: 32 lower-case hexadecimal digits, without `.dir`; empty only where `files` stands in its place, and
            for what was imported from another repository without its data.
        size: Bytes, of a folder the sum of its files; None if not stated.
        legacy: Whether it follows the layout and hashing of DVC 2 (it names no `hash`).
        is_dir: Whether it is a folder.
        nfiles: Number of files in the folder, if stated.
        remote: Name of the remote that this output is bound to; None for the default remote.
        version: Where a version-aware remote keeps it; None for ordinary remotes.
        files: Of a folder on a version-aware remote.
        pushed: False if no remote holds it: the output says `cache: false` or `push: false`, or was imported from
            another repository.
    """

    path: str
    md5: str
    size: int | None
    legacy: bool
    is_dir: bool
    nfiles: int | None = None
    remote: str | None = None
    version: Version | None = None
    files: tuple[Member, ...] | None = None
    pushed: bool = True

    @property
    def content(self) -> object:
        """What its data is, wherever it lies: equal for the same data in the same way of hashing."""
        return self.md5, sorted((member.relpath, member.md5) for member in self.files or ())


@dataclass(frozen=True, slots=True)
class Pointer:
    """A parsed pointer file; has at least one output, but for a lock file."""

    outs: tuple[Output, ...]

    def covering(self, path: str) -> Output | None:
        """The output that is this path or the folder around it."""
        return next(
            (out for out in self.outs if path == out.path or (out.is_dir and path.startswith(f"{out.path}/"))), None
        )


def parse_pointer(data: bytes, *, path: str, tracked: str | None = None) -> Pointer:
    """Parse and validate a pointer file.

    Args:
        data: Its bytes.
        path: Its own path in the repository; outputs are named relative to its folder.
        tracked: A path in the repository that must be one of its outputs, or lie in one that is a folder.

    Raises:
        PointerError: The bytes are no usable pointer; the message says why.
    """
    document = mapping(load(data), "the document")
    outs = document.get("outs")
    if not isinstance(outs, list) or not outs:
        raise PointerError("it lists no outputs (key 'outs')")
    wdir = document.get("wdir") or "."
    if not isinstance(wdir, str):
        raise PointerError(f"'wdir' is {kind(wdir)}, not text")
    folder = posixpath.join(posixpath.dirname(path), wdir)
    imported = _is_import(document.get("deps"), outs)
    pointer = Pointer(tuple(output(mapping(entry, "an entry of 'outs'"), folder, imported=imported) for entry in outs))
    paths = [out.path for out in pointer.outs]
    if len(set(paths)) != len(paths):
        raise PointerError("it names the same path twice")
    if tracked is not None:
        covering = pointer.covering(tracked)
        if covering is None:
            raise PointerError(f"its path is {', '.join(paths)}, not {tracked}")
        if imported:
            why = "is imported from another repository ('deps' with 'repo'), so no remote of this one holds it"
            raise PointerError(f"{covering.path} {why}")
        if not covering.pushed:
            raise PointerError(f"{covering.path} is marked 'cache: false' or 'push: false', so no remote holds it")
    return pointer


def is_pointer_path(path: str) -> bool:
    """Whether a file of this name tells DVC which objects to fetch."""
    return path.endswith(".dvc") or posixpath.basename(path) == "dvc.lock"


def _is_import(deps: object, outs: Sequence[object]) -> bool:
    match deps:
        case [{"repo": repo}]:
            return bool(repo) and len(outs) == 1
    return False


def output(entry: Mapping[str, object], folder: str, *, imported: bool = False) -> Output:
    """One entry of a list of outputs; its path is relative to the folder.

    Args:
        entry: It.
        folder: That of the file, or its working folder.
        imported: Whether it comes from another repository.

    Raises:
        PointerError: It is none.
    """
    path = _path(entry.get("path"), folder)
    hash_name = entry.get("hash")
    if hash_name not in (None, "md5"):
        raise PointerError(f"{path}: 'hash' is {hash_name!r}; only md5 is known")
    files = _files(entry["files"], path) if "files" in entry else None
    md5, is_dir = "", files is not None
    if "md5" in entry or (files is None and not imported):
        md5, named_dir = _md5(entry.get("md5"), path)
        is_dir = is_dir or named_dir
    nfiles = _count(entry, "nfiles", path)
    if nfiles is not None and not is_dir:
        raise PointerError(f"{path}: has 'nfiles' but its md5 is not a folder's (no '.dir')")
    remote = entry.get("remote")
    if remote is not None and not isinstance(remote, str):
        raise PointerError(f"{path}: 'remote' is {kind(remote)}, not text")
    return Output(
        path=path,
        md5=md5,
        size=_count(entry, "size", path),
        legacy=hash_name is None,
        is_dir=is_dir,
        nfiles=nfiles,
        remote=remote,
        version=_version(entry, path),
        files=files,
        pushed=flag(entry, "cache", path) and flag(entry, "push", path) and not imported,
    )


def _path(value: object, folder: str) -> str:
    if not isinstance(value, str) or not value:
        raise PointerError("an output has no 'path'" if value in (None, "") else f"'path' is {kind(value)}, not text")
    path = posixpath.normpath(posixpath.join(folder, value))
    if posixpath.isabs(value) or path == ".." or path.startswith("../"):
        raise PointerError(f"the path {value!r} lies outside the repository")
    return path


def _md5(value: object, path: str) -> tuple[str, bool]:
    if value is None:
        raise PointerError(f"{path}: has no md5")
    if not isinstance(value, str):
        raise PointerError(f"{path}: the md5 is {kind(value)}, not text")
    digest, is_dir = (value.removesuffix(_DIR), True) if value.endswith(_DIR) else (value, False)
    if _MD5.fullmatch(digest):
        return digest, is_dir
    if _MD5.fullmatch(digest.lower()):
        raise PointerError(f"{path}: the md5 {value!r} has capital letters, so its object is never found")
    if re.fullmatch(r"[0-9a-fA-F]*", digest):
        raise PointerError(f"{path}: the md5 {value!r} has {len(digest)} digits, not 32")
    raise PointerError(f"{path}: the md5 {value!r} is not hexadecimal")


def _count(entry: Mapping[str, object], key: str, path: str) -> int | None:
    value = entry.get(key)
    if value is None and key not in entry:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise PointerError(f"{path}: {key!r} is {kind(value)}, not a whole number")
    if value < 0:
        raise PointerError(f"{path}: {key!r} is negative")
    return value


def _files(value: object, path: str) -> tuple[Member, ...]:
    if not isinstance(value, list) or not value:
        raise PointerError(f"{path}: 'files' is not a list of files")
    members = []
    for item in value:
        entry = mapping(item, f"{path}: an entry of 'files'")
        relpath = check_relpath(entry.get("relpath"), path)
        md5, is_dir = _md5(entry.get("md5"), f"{path}/{relpath}")
        if is_dir:
            raise PointerError(f"{path}/{relpath}: a folder inside a folder's list")
        where = f"{path}/{relpath}"
        members.append(Member(relpath, md5, _count(entry, "size", where), _version(entry, where)))
    if len({member.relpath for member in members}) != len(members):
        raise PointerError(f"{path}: 'files' names the same file twice")
    return tuple(members)


def check_relpath(value: object, where: str) -> str:
    """The path of a folder's file below that folder, once it is known to stay inside.

    Raises:
        PointerError: It is missing, not text, or leads elsewhere.
    """
    if not isinstance(value, str) or not value:
        raise PointerError(f"{where}: a file has no 'relpath'")
    if posixpath.isabs(value) or posixpath.normpath(value) != value or value.split("/")[0] in (".", ".."):
        raise PointerError(f"{where}: the file {value!r} does not lie below the folder")
    return value


def _version(entry: Mapping[str, object], path: str) -> Version | None:
    if "cloud" not in entry:
        # Pointers of DVC 2.x's first version-aware remotes carry a bare version_id; without the remote's name it
        # cannot be told where the object is, so it is read like any other unknown key.
        return None
    cloud = mapping(entry["cloud"], f"{path}: 'cloud'")
    if len(cloud) != 1:
        raise PointerError(f"{path}: 'cloud' names {len(cloud)} remotes, not one")
    remote, details = next(iter(cloud.items()))
    version_id = mapping(details, f"{path}: 'cloud.{remote}'").get("version_id")
    if not isinstance(version_id, str) or not version_id:
        raise PointerError(f"{path}: 'cloud.{remote}' has no version_id")
    return Version(remote, version_id)
