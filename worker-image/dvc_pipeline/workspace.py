"""The run's folder on the shared volume: `<shared>/runs/<run>`, and nothing outside it.

Layout::

    <run>/lock          held while a task works here
    <run>/repository/   the clone; `.git`, `.dvc` and the data file are in it
    <run>/pulled.json   what `pull` found, see `Pulled`
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dvc_pipeline.errors import PipelineError

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Pulled:
    """What `pull` found, so that later tasks and tries need not trust the working tree.

    Attributes:
        base: The commit that was cloned.
        md5: Of the data file's bytes.
        size: Of the data file, in bytes.
    """

    base: str
    md5: str
    size: int


@dataclass(frozen=True, slots=True)
class Workspace:
    """One run's folder.

    Attributes:
        folder: Where it is; need not exist.
    """

    folder: Path

    @classmethod
    def of_run(cls, shared: Path, run_id: str) -> Workspace:
        """The folder of that run."""
        return cls(shared / "runs" / folder_name(run_id))

    @property
    def repository(self) -> Path:
        """Where the clone is."""
        return self.folder / "repository"

    @property
    def _record(self) -> Path:
        return self.folder / "pulled.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder if need be and keep every other pod of this run out of it.

        While it is held, lock files of Git and DVC in it can only be those of a killed try.

        Raises:
            PipelineError: Another pod holds it, or the volume cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise PipelineError(
                f"cannot write to {self.folder}: {error.strerror}; is the volume mounted, and fsGroup set?"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PipelineError(f"another pod of this run still works in {self.folder}") from None
            yield

    def start_over(self) -> None:
        """Remove what an earlier try left in this folder."""
        self._record.unlink(missing_ok=True)
        if self.repository.exists():
            shutil.rmtree(self.repository)

    def remove(self) -> None:
        """Remove this folder."""
        shutil.rmtree(self.folder)

    def discard_stale_locks(self) -> None:
        """Remove the lock files that a killed Git or DVC left behind. Only while the folder is held."""
        stale = [*(self.repository / ".git").rglob("*.lock")]
        temporary = self.repository / ".dvc" / "tmp"
        # DVC's rwlock names process ids, which mean nothing in another pod (treeverse/dvc#3370).
        stale += [temporary / name for name in ("lock", "rwlock", "rwlock.lock")]
        for path in stale:
            path.unlink(missing_ok=True)

    def remember(self, pulled: Pulled) -> None:
        """Write down what was pulled; the last step of `pull`."""
        self._record.write_text(json.dumps(asdict(pulled)), encoding="utf-8")

    def recall(self) -> Pulled | None:
        """What was pulled, or None if `pull` has not finished here."""
        try:
            return Pulled(**json.loads(self._record.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None


def folder_name(run_id: str) -> str:
    """A folder name for a run id: its own if safe, else a readable form made unique by a hash.

    Airflow's own ids hold ":" and "+" ("manual__2026-01-01T00:00:00+00:00"); a caller may choose any other.
    """
    if run_id.strip(".") and len(run_id) <= _LONGEST and not _UNSAFE.search(run_id):
        return run_id
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:12]
    return f"{_UNSAFE.sub('_', run_id)[:_LONGEST].lstrip('.')}-{digest}"


def fingerprint(path: Path) -> tuple[str, int]:
    """MD5 and size in bytes of a file, streamed.

    Raises:
        PipelineError: There is no such file.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
            return digest.hexdigest(), stream.tell()
    except FileNotFoundError:
        raise PipelineError(f"{path.name} is not there") from None
