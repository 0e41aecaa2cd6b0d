"""A recorded run as somebody sent it: a folder or an archive, which is not trusted.

Only plain files and folders are taken out of an archive, at paths inside it, up to a limit. In a folder nothing is
followed that leads out of it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Literal

from harness.errors import UsageError

RECORD: Final = "repro.json"
MOST_BYTES: Final = 1_000_000_000
MOST_MEMBERS: Final = 20_000
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Member:
    """One entry of an archive.

    Attributes:
        name: As it stands there.
        kind: What it is.
        executable: Whether its owner may execute it.
        stream: Its bytes; None where it has none.
    """

    name: str
    kind: Literal["file", "folder", "other"]
    executable: bool = False
    stream: IO[bytes] | None = None


def located(bundle: Path, *, scratch: Path) -> Path:
    """The folder of a recorded run, its `repro.json` in it.

    Args:
        bundle: The evidence folder of a run, its `bundle/`, or an archive (tar, also compressed, or zip) of either.
        scratch: An empty folder, into which an archive is unpacked.

    Raises:
        UsageError: There is no such thing, or it holds no recorded run, or what no archive of one holds.
    """
    if bundle.is_dir():
        for folder in (bundle, bundle.absolute().parent):
            if (folder / RECORD).is_file():
                return folder
        raise _none(bundle)
    if not bundle.is_file():
        raise UsageError(f"there is no bundle {bundle}", next_step="name the evidence folder of a run, or an archive")
    unpack(bundle, scratch)
    found = sorted(scratch.rglob(RECORD), key=lambda path: (len(path.parts), path))
    if not found:
        raise _none(bundle)
    return found[0].parent


def inside(folder: Path, name: str) -> Path:
    """A path that a recorded run names, in its folder.

    Raises:
        UsageError: It leads out of the folder, or through a symbolic link, or there is nothing.
    """
    parts = _parts(name)
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise UsageError(f"{name} in the bundle is a symbolic link, which is not followed")
    if not path.exists():
        raise UsageError(f"{name} is missing from the bundle {folder}")
    if path.is_dir():
        links = [entry for entry in path.rglob("*") if entry.is_symlink()]
        if links:
            raise UsageError(
                f"{links[0].relative_to(folder)} in the bundle is a symbolic link, which is not followed",
                next_step="make the bundle without links",
            )
    return path


def unpack(archive: Path, into: Path) -> None:
    """Take the files of an archive out of it.

    Raises:
        UsageError: It is no archive, or holds a link, a device, a path out of it, one name twice, or too much.
    """
    written, count = 0, 0
    try:
        with _opened(archive) as entries:
            for member in entries:
                count += 1
                if count > MOST_MEMBERS:
                    raise _refused(archive, f"more than {MOST_MEMBERS} entries")
                if member.kind == "other":
                    raise _refused(archive, f"{member.name!r}, which is neither a file nor a folder")
                target = into.joinpath(*_parts(member.name))
                if member.kind == "folder":
                    target.mkdir(parents=True, exist_ok=True)
                elif member.stream is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    written += _write(member.stream, target, left=MOST_BYTES - written)
                    target.chmod(0o700 if member.executable else 0o600)
    except _TooMuch:
        raise _refused(archive, f"more than {MOST_BYTES // 10**6} MB") from None
    except FileExistsError as error:
        raise _refused(archive, f"{Path(str(error.filename)).name!r} twice, or as a file and a folder") from None
    except NotADirectoryError as error:
        raise _refused(archive, f"{Path(str(error.filename)).name!r} below a file") from None
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        # A zip that is encrypted, or packed in a way that Python cannot read, is told by the last two.
        raise UsageError(f"{archive} cannot be unpacked: {error}", next_step="name a tar or zip archive") from None


class _TooMuch(Exception):
    """More than an archive may hold."""


@dataclass(slots=True)
class _Bounded:
    """A tar archive that gives no more at once, and no more in all, than one of ours would need.

    `tarfile` reads some headers into memory whole, whatever size they claim.
    """

    stream: Any

    def read(self, size: int = -1) -> bytes:
        """Read; see `io.RawIOBase.read`."""
        if not 0 <= size <= _CHUNK or self.stream.tell() > MOST_BYTES + _CHUNK * 64:
            raise _TooMuch
        found: bytes = self.stream.read(size)
        return found

    def seek(self, position: int, whence: int = 0) -> int:
        """Go to a place; see `io.IOBase.seek`."""
        if position > MOST_BYTES + _CHUNK * 64:
            raise _TooMuch
        return int(self.stream.seek(position, whence))

    def tell(self) -> int:
        """Say where it is; see `io.IOBase.tell`."""
        return int(self.stream.tell())


def _unpacked(archive: Path) -> Any:
    """An archive without its compression, which its first bytes tell."""
    with archive.open("rb") as file:
        head = file.read(6)
    for magic, opened in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if head.startswith(magic):
            return opened(archive, "rb")
    return archive.open("rb")


def _write(stream: IO[bytes], target: Path, *, left: int) -> int:
    size = 0
    with target.open("xb") as out:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            # Counted as it comes: what an archive says of its sizes is not to be trusted either.
            if size > left:
                raise _TooMuch
            out.write(chunk)
    return size


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    with ExitStack() as held:
        if zipfile.is_zipfile(archive):
            yield _of_zip(held.enter_context(zipfile.ZipFile(archive)))
        else:
            bounded: Any = _Bounded(held.enter_context(_unpacked(archive)))
            yield _of_tar(held.enter_context(tarfile.open(fileobj=bounded, mode="r:")))


def _of_tar(tar: tarfile.TarFile) -> Iterator[_Member]:
    for entry in tar:
        if entry.isdir():
            yield _Member(entry.name, "folder")
        elif entry.isreg() and not entry.issparse():
            yield _Member(entry.name, "file", bool(entry.mode & 0o100), tar.extractfile(entry))
        else:
            yield _Member(entry.name, "other")


def _of_zip(packed: zipfile.ZipFile) -> Iterator[_Member]:
    for entry in packed.infolist():
        mode = entry.external_attr >> 16
        # Only an archive that was made on Unix has a mode; there a link is a file with the link's target in it.
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            yield _Member(entry.filename, "other")
        elif entry.is_dir():
            yield _Member(entry.filename, "folder")
        else:
            with packed.open(entry) as stream:
                yield _Member(entry.filename, "file", bool(mode & 0o100), stream)


def _parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise UsageError(f"the bundle names {name!r}, a path that is not inside it")
    return path.parts


def _refused(archive: Path, what: str) -> UsageError:
    return UsageError(f"{archive} is not taken: it holds {what}", next_step="pack the evidence folder of a run anew")


def _none(bundle: Path) -> UsageError:
    return UsageError(
        f"{bundle} holds no {RECORD}",
        next_step="name the evidence folder of a run (.harness/<run>), or an archive of it",
    )
