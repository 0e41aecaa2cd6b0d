"""Secrets in commits, looked for with the real git."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from harness.dvc import GitAccess, Repository
from harness.dvc.exposures import exposures
from harness.process import SubprocessRunner
from harness.redaction import Redactor

SECRET = "a-token-of-this-run"
ENCODED = base64.b64encode(f"user:{SECRET}".encode())
# What a commit holds, by what it is to be found in; nothing where it is to be found in nothing.
COMMITS: dict[str, tuple[str, dict[str, bytes], list[str]]] = {
    "subject": (f"from {SECRET}", {"a": b"1"}, ["the message, author or committer"]),
    "trailer": (f"subject\n\nSource: {ENCODED.decode()}", {"a": b"2"}, ["the message, author or committer"]),
    "file": ("x", {"d/p.dvc": f"desc: {SECRET}".encode()}, ["file d/p.dvc"]),
    "file that is no text": ("x", {"b": b"\xff\x00" + ENCODED}, ["file b"]),
    "name of a file": ("x", {f"{SECRET}.txt": b"1"}, ["file [redacted].txt"]),
    "nothing": ("no token of this run", {"c": b"password = hunter2"}, []),
    "file that held it before": ("x", {"kept": f"{SECRET}\nmore".encode()}, []),
    "file that holds it once more": ("x", {"kept": f"{SECRET}\n{SECRET}".encode()}, ["file kept"]),
    "file that was removed": ("x", {}, []),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "remote"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    commit(path, "seed", {"kept": SECRET.encode(), "gone": SECRET.encode()})
    return path


def git(path: Path, *arguments: str) -> str:
    names = {f"GIT_{who}_{what}": "a@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return SubprocessRunner().run(["git", *arguments], cwd=path, env=GitAccess("").env | names).stdout.strip()


def commit(path: Path, message: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(data)
    if not files:
        (path / "gone").unlink()
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", message)


def test_secrets_are_found_wherever_a_commit_holds_them_and_only_those_that_it_brings(
    repository: Path, tmp_path: Path
) -> None:
    seed = git(repository, "rev-parse", "HEAD")
    made = []
    for number, (message, files, _where) in enumerate(COMMITS.values()):
        git(repository, "checkout", "-q", "-b", f"side-{number}", seed)
        commit(repository, message, files)
        made.append(git(repository, "rev-parse", "HEAD"))
    redactor = Redactor()
    redactor.learn(SECRET)
    clone = Repository.clone(SubprocessRunner(), GitAccess(str(repository)), tmp_path / "clone")
    commits = [clone.commits([sha], without=[seed])[0] for sha in made]
    found = exposures(clone, commits, redactor)
    assert [[one.where for one in found if one.sha == commit.sha] for commit in commits] == [
        where for _message, _files, where in COMMITS.values()
    ]
    assert SECRET not in repr(found)


def test_a_commit_without_a_parent_brings_all_that_it_holds(repository: Path, tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.learn(SECRET)
    clone = Repository.clone(SubprocessRunner(), GitAccess(str(repository)), tmp_path / "clone")
    commits = clone.commits([git(repository, "rev-parse", "main")], without=[])
    assert [one.where for one in exposures(clone, commits, redactor)] == ["file gone", "file kept"]


def test_a_secret_is_found_in_a_file_whose_name_is_no_utf8(repository: Path, tmp_path: Path) -> None:
    seed = git(repository, "rev-parse", "HEAD")
    clean, held = (os.fsdecode(b"d/caf" + byte) for byte in (b"\xe8", b"\xe9"))
    commit(repository, "two names that are one where they are shown", {clean: b"x", held: SECRET.encode()})
    redactor = Redactor()
    redactor.learn(SECRET)
    clone = Repository.clone(SubprocessRunner(), GitAccess(str(repository)), tmp_path / "clone")
    (made,) = clone.commits([git(repository, "rev-parse", "HEAD")], without=[seed])
    assert {one.where for one in exposures(clone, [made], redactor)} == {"file d/caf\ufffd"}
