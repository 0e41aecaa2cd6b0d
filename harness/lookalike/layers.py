"""The layers of the look-alike's registry, on disk: uploads under way, and what is whole by its digest."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_PIECE: Final = 1 << 18
_ALGORITHM: Final = "sha256:"


@dataclass(slots=True)
class Upload:
    """A layer that is being sent.

    Attributes:
        repository: That it is sent to.
        path: Its bytes so far.
        size: How many they are.
    """

    repository: str
    path: Path
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)

    def append(self, pieces: Iterable[bytes]) -> None:
        """Take in what comes; what came before it broke off counts, as it is on disk.

        Raises:
            ValueError: What comes was cut short.
        """
        with self.path.open("ab") as out:
            for piece in pieces:
                out.write(piece)
                self._hash.update(piece)
                self.size += len(piece)

    @property
    def digest(self) -> str:
        """Of the bytes so far."""
        return f"{_ALGORITHM}{self._hash.hexdigest()}"


class Layers:
    """All layers, each once, whichever repositories they are in; who may see which is the registry's business."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing.

        Args:
            folder: Is made if it is not there.
        """
        self._folder = folder
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def begin(self, repository: str) -> str:
        """Begin an upload; its id."""
        name = str(uuid.uuid4())
        with self._lock:
            self._uploads[name] = Upload(repository, self._folder / f"{name}.upload")
        return name

    def upload(self, name: str, repository: str) -> Upload | None:
        """An upload under way to that repository."""
        with self._lock:
            found = self._uploads.get(name)
        return found if found is not None and found.repository == repository else None

    def finish(self, name: str, digest: str) -> bool:
        """End an upload; whether its bytes have that digest. If not, they are gone."""
        with self._lock:
            upload = self._uploads.pop(name)
        upload.path.touch()  # of a layer without a byte
        if upload.digest != digest:
            upload.path.unlink()
            return False
        upload.path.replace(self._path(digest))
        return True

    def drop(self, name: str) -> None:
        """Give an upload up."""
        with self._lock:
            upload = self._uploads.pop(name)
        upload.path.unlink(missing_ok=True)

    def size(self, digest: str) -> int:
        """Bytes of a layer that is here."""
        return self._path(digest).stat().st_size

    def read(self, digest: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a layer that is here, from one of them on."""
        with self._path(digest).open("rb") as source:
            source.seek(start)
            while piece := source.read(_PIECE):
                yield piece

    def _path(self, digest: str) -> Path:
        return self._folder / digest.removeprefix(_ALGORITHM)
