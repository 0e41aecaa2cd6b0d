"""Secrets in commits: looked for in what each commit says of itself, and in each file that it brings."""

from __future__ import annotations

from collections.abc import Iterable

from harness.dvc.evidence import Exposure
from harness.dvc.repository import Commit, Repository
from harness.redaction import Redactor


def exposures(repository: Repository, commits: Iterable[Commit], redactor: Redactor) -> tuple[Exposure, ...]:
    """Where the learned secrets stand in commits, in any form that the redactor knows.

    A file counts where more of them stand in it than in the same file at the commit's first parent.

    Args:
        repository: A clone that has the commits.
        commits: Those that are looked at.
        redactor: Knows the secrets.
    """
    found = []
    for commit in commits:
        if redactor.examined(commit.said)[1]:
            found.append(Exposure(commit.sha, "the message, author or committer"))
        for path in commit.paths:
            name, in_name = redactor.examined(path)
            if in_name or _brought(repository, commit, path, redactor):
                found.append(Exposure(commit.sha, f"file {name}"))
    return tuple(found)


def _brought(repository: Repository, commit: Commit, path: str, redactor: Redactor) -> bool:
    now = _places(repository.read(commit.sha, path), redactor)
    before = repository.read(commit.parents[0], path) if now and commit.parents else None
    return now > _places(before, redactor)


def _places(data: bytes | None, redactor: Redactor) -> int:
    return redactor.examined(data.decode("utf-8", "replace"))[1] if data else 0
