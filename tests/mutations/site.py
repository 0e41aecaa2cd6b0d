"""Where rows are played: a Git server over HTTPS, an S3, real git, real dvc, and pods if there is a cluster.

One value with two makers, `cluster.py` and `local.py`: the rows see no difference.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.dvc import Dvc, GitAccess
from harness.model import GitService, ImageName, PodEvidence, S3Service
from harness.names import GIT_REPOSITORY
from harness.process import Runner
from harness.redaction import Redactor
from harness.services.git import GitClient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BUCKETS = "mutations-"


class Pods(Protocol):
    """Makes real pods and tells what was seen of them."""

    def executor(self, task: str, *, repository: str, ref: str) -> PodEvidence:
        """A pod like the executor's, whose git-sync checks out a ref of a repository, from its start to its end."""

    def task(self, task: str, *, image: ImageName) -> PodEvidence:
        """A pod like the operator's, of an image by its name in the toolchain."""


@dataclass(frozen=True)
class Site:
    """Attributes:
    git: The Git server.
    s3: The object store; its own bucket is not touched.
    client: Of the store; shared by all threads, as boto3's may be. Closed by `tidied`.
    admin: Of the Git server; likewise.
    program: The dvc program.
    runner: Runs git and dvc.
    redactor: Of what they say.
    workspace: A folder for clones, of this session.
    image_id: Of the worker image under test, as rows report it.
    image_ids: Every ID that a pod of that image may show.
    pods: None where there is no cluster.
    """

    git: GitService
    s3: S3Service
    client: S3Client
    admin: GitClient
    program: Path
    runner: Runner
    redactor: Redactor
    workspace: Path
    image_id: str
    image_ids: frozenset[str]
    pods: Pods | None = None
    _made: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def dvc(self) -> Dvc:
        return Dvc(self.program, self.s3, self.redactor)

    @property
    def empty_repository(self) -> Path:
        """A bare repository to copy: one `git init` for all rows."""
        return self.workspace / "empty.git"

    def access(self, repository: str) -> GitAccess:
        """A repository of the server as the DAG's user reaches it."""
        url = self.git.outside.removesuffix(GIT_REPOSITORY) + repository
        return GitAccess(url, self.git.username, self.git.password, self.git.ca_file)

    def make_bucket(self, name: str, *, versioned: bool = False) -> None:
        with self._lock:
            self._made.add(name)
        self.client.create_bucket(Bucket=name)
        if versioned:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Remove what rows make, and first what those of a killed session left."""
        command: list[str | Path] = ["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main"]
        self.runner.run([*command, self.empty_repository], env=self.access(GIT_REPOSITORY).env)
        self._remove([str(bucket.get("Name")) for bucket in self.client.list_buckets()["Buckets"]])
        try:
            yield
        finally:
            self._remove(sorted(self._made))
            self.admin.close()
            self.client.close()

    def _remove(self, buckets: Sequence[str]) -> None:
        for bucket in buckets:
            if bucket.startswith(BUCKETS):
                self._empty(bucket)
                self.client.delete_bucket(Bucket=bucket)

    def _empty(self, bucket: str) -> None:
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            entries: list[Any] = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            for entry in entries:
                version = {} if entry["VersionId"] == "null" else {"VersionId": entry["VersionId"]}
                self.client.delete_object(Bucket=bucket, Key=entry["Key"], **version)
