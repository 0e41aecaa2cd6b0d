"""What a task is told, all of it through the environment.

=========================================== =================================================== ======================
variable                                    meaning                                             set by
=========================================== =================================================== ======================
GIT_REPO                                    URL of the repository, without credentials          ConfigMap
GIT_BRANCH                                  the branch that is versioned; default main          ConfigMap
DVC_DATA_FILE                               the file under DVC, path in the repository          ConfigMap
GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL           author and committer of the pointer's commit        ConfigMap
GIT_SYNC_USERNAME, GIT_SYNC_PASSWORD        credentials (or GITSYNC_*), read by                 Secret
                                            bin/git-credential-environment only
SHARED_DIR                                  where the shared volume is mounted; default /shared DAG
PIPELINE_RUN_ID                             the DAG run's id                                    DAG
PIPELINE_ROWS                               rows that `modify` appends; default 1               DAG (run's `rows`)
=========================================== =================================================== ======================
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dvc_pipeline.errors import PipelineError

MOST_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of one task.

    Attributes:
        repository: URL (or path) of the Git repository.
        branch: The branch that is read and written.
        data_file: The file under DVC, relative to the repository.
        run_id: The DAG run's id, as Airflow spells it.
        shared: Mount point of the shared volume.
        rows: How many rows `modify` appends; 0 makes a run that changes nothing.
        author_name: Author and committer.
        author_email: Likewise.
    """

    repository: str
    branch: str
    data_file: PurePosixPath
    run_id: str
    shared: Path
    rows: int
    author_name: str
    author_email: str

    @property
    def pointer(self) -> PurePosixPath:
        """The pointer file that DVC keeps beside the data file."""
        return self.data_file.with_name(self.data_file.name + ".dvc")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Config:
        """Read the configuration.

        Raises:
            PipelineError: A variable is missing or cannot be used. The message never holds its value where that
                might be a secret.
        """
        return cls(
            repository=_repository(_required(env, "GIT_REPO")),
            branch=_branch(env.get("GIT_BRANCH") or "main"),
            data_file=_data_file(env.get("DVC_DATA_FILE") or "datasets/penguins.csv"),
            run_id=_one_line("PIPELINE_RUN_ID", _required(env, "PIPELINE_RUN_ID")),
            shared=Path(env.get("SHARED_DIR") or "/shared"),
            rows=_rows(env.get("PIPELINE_ROWS") or "1"),
            author_name=_one_line("GIT_AUTHOR_NAME", env.get("GIT_AUTHOR_NAME") or "Airflow"),
            author_email=_one_line("GIT_AUTHOR_EMAIL", env.get("GIT_AUTHOR_EMAIL") or "airflow@example.invalid"),
        )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise PipelineError(f"{name} is not set: the pod lacks it or the ConfigMap that brings it")
    return value


def _one_line(name: str, value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise PipelineError(f"{name} must be one line of printable text")
    return value


def _repository(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        raise PipelineError("GIT_REPO is not a URL") from None
    # A bare user is how SSH addresses a server (git@host); over HTTP it is half of a credential, or a token.
    if parts.password is not None or (parts.username is not None and parts.scheme in {"http", "https"}):
        raise PipelineError("GIT_REPO carries credentials: take them out of the URL and put them into the Secret")
    if url.startswith("-") or not url.isprintable():
        raise PipelineError("GIT_REPO is not a URL")
    return url


def _branch(name: str) -> str:
    if name.startswith(("-", "/")) or name.endswith(("/", ".lock")) or ".." in name or not name.isprintable():
        raise PipelineError(f"GIT_BRANCH is not the name of a branch: {name!r}")
    return name


def _data_file(text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.name or path.suffix == ".dvc" or text.startswith("-"):
        raise PipelineError(
            f"DVC_DATA_FILE must be a path in the repository, such as datasets/penguins.csv, not {text!r}"
        )
    return path


def _rows(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_ROWS):
        raise PipelineError(f"PIPELINE_ROWS must be a whole number from 0 to {MOST_ROWS}, not {text!r}")
    return int(text)
