"""Reading Git repositories with the real git."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from harness.dvc import GitAccess, Repository
from harness.dvc.repository import check_out
from harness.errors import CommandFailed
from harness.process import SubprocessRunner

COMMITTER = {
    **GitAccess("").env,
    **{f"GIT_{who}_{what}": "a@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote"
    path.mkdir()
    git = partial(run_git, path)
    git("init", "-q", "-b", "main")
    (path / ".gitattributes").write_text("*.txt text eol=crlf\n")
    (path / "ü b.txt").write_bytes(b"one\ntwo\n")
    (path / "raw.bin").write_bytes(b"\x00\xff\r\n")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    (path / "raw.bin").unlink()
    git("commit", "-q", "-a", "-m", "second")
    git("checkout", "-q", "-b", "side", "HEAD~1")
    git("commit", "-q", "--allow-empty", "-m", "empty")
    git("tag", "-a", "v1", "-m", "v1")
    git("checkout", "-q", "main")
    git("merge", "-q", "--no-edit", "side")
    return path


def run_git(folder: Path, *arguments: str) -> str:
    return SubprocessRunner().run(["git", *arguments], cwd=folder, env=COMMITTER).stdout.strip()


def read(remote: Path, into: Path) -> Repository:
    return Repository.clone(SubprocessRunner(), GitAccess(str(remote)), into)


def test_commits_come_parents_first_with_what_they_touch(remote: Path, tmp_path: Path) -> None:
    repository = read(remote, tmp_path / "m")
    tip = repository.branch("main")
    assert tip is not None
    commits = repository.commits([tip], without=[])
    seen: set[str] = set()
    for commit in commits:
        assert set(commit.parents) <= seen
        seen.add(commit.sha)
    touched = {commit.subject: commit.paths for commit in commits}
    assert touched["first"] == (".gitattributes", "raw.bin", "ü b.txt")
    assert touched["second"] == ("raw.bin",)
    assert touched["empty"] == ()
    assert [commit.paths for commit in commits if commit.is_merge] == [()]
    assert repository.commits([tip], without=[tip]) == ()


def test_bytes_are_read_as_they_were_committed(remote: Path, tmp_path: Path) -> None:
    repository = read(remote, tmp_path / "m")
    first = repository.commits([repository.refs()["refs/heads/main"]], without=[])[0].sha
    assert repository.read(first, "raw.bin") == b"\x00\xff\r\n"
    assert repository.read(first, "ü b.txt") == b"one\ntwo\n"
    assert repository.read(first, "nothing") is None
    assert repository.read(first, "") is None
    assert repository.read(repository.refs()["refs/heads/main"], "raw.bin") is None


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a missing",
        "a 5 7",
        "tab\there",
        "line\nbreak",
        "ends\n",
        "return\r",
        "a\rb",
        '"quoted"',
        "-",
        ":x",
        "deep/ü",
    ],
)
def test_a_file_of_any_name_is_read(remote: Path, tmp_path: Path, name: str) -> None:
    (remote / name).parent.mkdir(exist_ok=True)
    (remote / name).write_bytes(b"\n1 blob 3\nabc\xff\r\n")
    run_git(remote, "add", "-A")
    run_git(remote, "commit", "-q", "-m", "odd")
    repository, tip = read(remote, tmp_path / "m"), run_git(remote, "rev-parse", "HEAD")
    assert repository.read(tip, name) == b"\n1 blob 3\nabc\xff\r\n"
    assert repository.read(tip, f"{name}x") is None
    assert repository.read(tip, f"./{name}") is None


def test_what_is_no_file_is_not_read(remote: Path, tmp_path: Path) -> None:
    (remote / "folder").mkdir()
    (remote / "folder" / "link").symlink_to("../raw.bin")
    run_git(remote, "update-index", "--add", "--cacheinfo", f"160000,{'e' * 40},module")
    run_git(remote, "add", "folder")
    run_git(remote, "commit", "-q", "-m", "no files")
    repository, tip = read(remote, tmp_path / "m"), run_git(remote, "rev-parse", "HEAD")
    repository.read_all([(tip, "folder"), (tip, "module"), (tip, "folder/link"), ("e" * 40, "folder"), (tip, ".")])
    assert repository.read(tip, "folder") is None
    assert repository.read(tip, "module") is None
    assert repository.read("e" * 40, "folder") is None
    assert repository.read(tip, ".") is None
    assert repository.read(tip, "folder/link") == b"../raw.bin", "what Git keeps of a link: where it leads"


def test_many_files_are_read_by_one_program(remote: Path, tmp_path: Path) -> None:
    transcript = tmp_path / "transcript"
    runner = SubprocessRunner(transcript=transcript)
    repository = Repository.clone(runner, GitAccess(str(remote)), tmp_path / "m")
    first = run_git(remote, "rev-list", "--max-parents=0", "HEAD")
    files = [(first, "raw.bin"), (first, "nothing"), (first, "ü b.txt"), (first, "")]
    repository.read_all(files)
    found = [repository.read(*one) for one in files]
    assert found == [b"\x00\xff\r\n", None, b"one\ntwo\n", None]
    assert transcript.read_text(encoding="utf-8").count("cat-file") == 1


def test_trees_and_commits_that_are_not_there_are_left_out(remote: Path, tmp_path: Path) -> None:
    repository = read(remote, tmp_path / "m")
    first, tip = (run_git(remote, "rev-parse", name) for name in ("HEAD~1^", "HEAD"))
    name = run_git(remote, "rev-parse", f"{first}:raw.bin")
    assert repository.trees([tip, first, "e" * 40], "raw.bin") == {first: name}
    assert repository.held([tip, "e" * 40, name]) == {tip}, "an object that is no commit is none of the history"
    assert (repository.trees([], "raw.bin"), repository.held([])) == ({}, frozenset())


def test_an_annotated_tag_stands_for_its_commit(remote: Path, tmp_path: Path) -> None:
    refs = read(remote, tmp_path / "m").refs()
    assert refs["refs/tags/v1"] == refs["refs/heads/side"]


def test_history_that_the_remote_no_longer_has_is_no_ancestor(remote: Path, tmp_path: Path) -> None:
    repository = read(remote, tmp_path / "m")
    tip, side = repository.refs()["refs/heads/main"], repository.refs()["refs/heads/side"]
    assert repository.is_ancestor(side, tip)
    assert not repository.is_ancestor(tip, side)
    assert not repository.is_ancestor("f" * 40, tip)
    assert repository.commits([side], without=["f" * 40]) == repository.commits([side], without=[])


def test_a_remote_that_is_not_there_is_an_environment_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed):
        read(tmp_path / "nowhere", tmp_path / "m")


def test_credentials_are_answered_by_the_helper_and_are_in_no_argument(tmp_path: Path) -> None:
    password = "p@ss: %word'\"$x"
    access = GitAccess("https://127.0.0.1:1/x.git", "airflow", SecretStr(password))
    completed = SubprocessRunner().run(
        ["git", "credential", "fill"], env=access.env, cwd=tmp_path, stdin="protocol=https\nhost=127.0.0.1:1\n\n"
    )
    answer: dict[str, Any] = dict(line.split("=", 1) for line in completed.stdout.splitlines())
    assert (answer["username"], answer["password"]) == ("airflow", password)
    assert password not in " ".join(completed.argv)
    assert all(password not in value for name, value in access.env.items() if name.startswith("GIT_"))


def test_where_an_authority_is_named_the_systems_own_are_not_trusted() -> None:
    env = GitAccess("https://git.example/x.git", ca_file=Path("ca.crt")).env
    assert (env["GIT_SSL_CAINFO"], env["GIT_SSL_CAPATH"]) == ("ca.crt", os.devnull)
    assert not {"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"} & GitAccess("https://git.example/x.git").env.keys()


def test_the_files_of_a_folder_are_named_by_their_bytes(remote: Path, tmp_path: Path) -> None:
    folder = remote / "dags" / "deep"
    folder.mkdir(parents=True)
    (folder / "ü\tb.py").write_bytes(b"one\r\n")
    (remote / "dags-of-others.py").write_bytes(b"x")
    run_git(remote, "add", "-A")
    run_git(remote, "commit", "-q", "-m", "dags")
    repository = read(remote, tmp_path / "m")
    tip = repository.branch("main")
    assert tip is not None
    name = run_git(remote, "rev-parse", "HEAD:dags/deep/ü\tb.py")
    assert repository.files(tip, "dags") == {"dags/deep/ü\tb.py": f"{name}, 5 bytes, mode 100644"}
    assert repository.files(tip, "nothing") == {}


def test_what_stands_in_for_an_object_is_not_read(remote: Path, tmp_path: Path) -> None:
    """An ordinary clone does not fetch refs/replace; a mirror does, and git would then read another history."""
    run_git(remote, "replace", "main", "side")
    names = run_git(remote, "for-each-ref", "refs/replace")
    repository = read(remote, tmp_path / "m")
    tip = repository.branch("main")
    assert tip is not None
    assert tip in names
    (*_before, last) = repository.commits([tip], without=[])
    assert (last.sha, last.subject) == (tip, "Merge branch 'side'")


def test_a_checkout_has_the_line_ends_of_the_commit_whatever_the_readers_attributes_say(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/git").mkdir(parents=True)
    (tmp_path / "config/git/attributes").write_text("*.py text eol=crlf\n")
    (remote / "a.py").write_bytes(b"a = 1\n")
    run_git(remote, "add", "-A")
    run_git(remote, "commit", "-q", "-m", "code")
    check_out(SubprocessRunner(), GitAccess(str(remote)), sha=run_git(remote, "rev-parse", "HEAD"), into=tmp_path / "c")
    assert (tmp_path / "c/a.py").read_bytes() == b"a = 1\n"
