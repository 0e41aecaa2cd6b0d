"""The stand-in against the real Git server over TLS: layout, log, probe, exit codes and secrecy, as git-sync v4.4.2."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from harness.pipeline.gitsync import last_checkout


class Completed(Protocol):
    stdout: str


class Git(Protocol):
    def __call__(self, *arguments: str | Path, cwd: Path | None = None) -> Completed: ...

    def commit(self, folder: Path, name: str, content: bytes) -> str: ...


class Program(Protocol):
    process: subprocess.Popen[str]
    output: str

    def ended(self, timeout: float = 20) -> int: ...

    def stop(self) -> int: ...


class Server(Protocol):
    url: str
    address: str
    ca: Path
    program: Program

    def log(self) -> list[dict[str, object]]: ...


Run = Callable[..., Program]
Wait = Callable[..., object]
READER, TOKEN = "viewer", "r-token"


@pytest.fixture
def sync(start: Callable[..., Program], git_server: Server, tmp_path: Path) -> Run:
    """Start the stand-in with the names that the official chart sets; `name=None` takes a setting away."""

    def run(**changes: str | None) -> Program:
        variables: dict[str, str | None] = {
            "GIT_SYNC_REPO": git_server.url, "GITSYNC_REPO": git_server.url,
            "GIT_SYNC_BRANCH": "main", "GIT_SYNC_REV": "HEAD", "GITSYNC_REF": "v2-2-stable",
            "GIT_SYNC_ROOT": str(tmp_path / "root"), "GITSYNC_ROOT": str(tmp_path / "root"),
            "GIT_SYNC_DEST": "repo", "GITSYNC_LINK": "repo",
            "GITSYNC_PERIOD": "50ms", "GITSYNC_MAX_FAILURES": "0",
            "GIT_SYNC_USERNAME": READER, "GITSYNC_USERNAME": READER,
            "GIT_SYNC_PASSWORD": TOKEN, "GITSYNC_PASSWORD": TOKEN,
            "GIT_SSL_CAINFO": str(git_server.ca),
        }  # fmt: skip
        given = {**variables, **changes}
        return start("git_sync", {name: value for name, value in given.items() if value is not None})

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def current(root: Path) -> str:
    link = root / "repo"
    return link.readlink().name if link.is_symlink() else ""


def head(git: Git, clone: Path) -> str:
    return git("rev-parse", "HEAD", cwd=clone).stdout.strip()


def messages(program: Program) -> list[dict[str, object]]:
    return [json.loads(line) for line in program.output.splitlines() if line.startswith("{")]


def test_one_time_ends_with_0_and_a_relative_link_to_the_commits_worktree(
    sync: Run, git: Git, seeded: Path, root: Path
) -> None:
    commit = head(git, seeded)
    program = sync(GITSYNC_ONE_TIME="true", GITSYNC_ADD_USER="true")
    assert program.ended() == 0, program.output
    assert program.output.splitlines()[0] == "git-sync stand-in (airflow-dvc-harness), contract of v4.4.2"
    assert (root / "repo").readlink() == Path(".worktrees") / commit
    assert (root / "repo" / "README").read_bytes() == b"one\n"
    found = last_checkout(program.output)
    assert found is not None
    assert found.sha == commit


def test_a_worktree_stays_a_repository_when_the_volume_is_mounted_elsewhere(
    sync: Run, git: Git, seeded: Path, root: Path, tmp_path: Path
) -> None:
    assert sync(GITSYNC_ONE_TIME="true").ended() == 0
    shutil.move(root, tmp_path / "elsewhere")
    assert head(git, tmp_path / "elsewhere" / "repo") == head(git, seeded)


def test_a_push_is_followed_and_the_old_worktree_goes(
    sync: Run, git: Git, seeded: Path, root: Path, wait: Wait
) -> None:
    program = sync()
    wait("first sync", lambda: current(root))
    commit = git.commit(seeded, "README", b"two\n")
    git("push", "--quiet", "origin", "HEAD:main", cwd=seeded)
    wait("second sync", lambda: current(root) == commit)
    wait("clean-up", lambda: [path.name for path in (root / ".worktrees").iterdir()] == [commit])
    assert (root / "repo" / "README").read_bytes() == b"two\n"
    updates = [line["remote"] for line in messages(program) if line["msg"] == "updated successfully"]
    assert updates[-1] == commit
    assert len(updates) == 2


def test_without_a_change_it_asks_but_fetches_nothing(
    sync: Run, git_server: Server, seeded: Path, root: Path, wait: Wait
) -> None:
    def asked() -> int:
        return sum(entry.get("user") == READER for entry in git_server.log())

    program = sync()
    wait("first sync", lambda: "updated successfully" in program.output)
    fetched, before = (root / ".git" / "FETCH_HEAD").stat().st_mtime_ns, asked()
    wait("more checks", lambda: asked() >= before + 8)
    assert (root / ".git" / "FETCH_HEAD").stat().st_mtime_ns == fetched


def test_a_link_is_never_absent_while_it_is_flipped(sync: Run, git: Git, seeded: Path, root: Path, wait: Wait) -> None:
    sync()
    wait("first sync", lambda: current(root))
    commit = git.commit(seeded, "README", b"two\n")
    git("push", "--quiet", "origin", "HEAD:main", cwd=seeded)
    contents = set()
    while current(root) != commit:
        contents.add((root / "repo" / "README").read_bytes())
    assert contents <= {b"one\n", b"two\n"}


def test_a_used_volume_is_taken_over_and_the_commit_told_again(sync: Run, git: Git, seeded: Path, root: Path) -> None:
    assert sync(GITSYNC_ONE_TIME="true").ended() == 0
    (root / "repo" / "README").write_bytes(b"spoilt\n")
    program = sync(GITSYNC_ONE_TIME="true")
    assert program.ended() == 0, program.output
    assert (root / "repo" / "README").read_bytes() == b"one\n"
    assert [line["hash"] for line in messages(program) if "hash" in line] == [head(git, seeded)]


def test_an_unusable_volume_is_wiped(sync: Run, git: Git, seeded: Path, root: Path) -> None:
    (root / ".git").mkdir(parents=True)
    (root / "stray").write_text("x")
    assert sync(GITSYNC_ONE_TIME="true").ended() == 0
    assert current(root) == head(git, seeded)
    assert not (root / "stray").exists()


def test_an_annotated_tag_is_its_commit_and_stays_so(sync: Run, git: Git, seeded: Path, root: Path, wait: Wait) -> None:
    git("tag", "--annotate", "--message", "t", "v1", cwd=seeded)
    git("push", "--quiet", "origin", "v1", cwd=seeded)
    program = sync(GIT_SYNC_BRANCH="v1", GITSYNC_HTTP_BIND=None)
    wait("first sync", lambda: "updated successfully" in program.output)
    assert current(root) == head(git, seeded)
    assert program.stop() == 143
    assert program.output.count("updated successfully") == 1


def test_a_first_sync_that_fails_ends_with_1(sync: Run, seeded: Path) -> None:
    program = sync(GIT_SYNC_BRANCH="absent", GITSYNC_PERIOD="10ms")
    assert program.ended() == 1
    assert messages(program)[-1]["msg"] == "too many failures, aborting"


def test_so_many_failures_in_a_row_end_it(sync: Run, seeded: Path) -> None:
    program = sync(GIT_SYNC_BRANCH="absent", GITSYNC_MAX_FAILURES="3")
    assert program.ended() == 1
    assert [line["failCount"] for line in messages(program) if "failCount" in line] == [1, 2, 3]


def test_with_negative_max_failures_it_goes_on_until_the_branch_is_there(
    sync: Run, git: Git, seeded: Path, root: Path, wait: Wait
) -> None:
    program = sync(GIT_SYNC_BRANCH="later", GITSYNC_MAX_FAILURES="-1")
    wait("two failures", lambda: program.output.count("will retry") >= 2)
    git("push", "--quiet", "origin", "HEAD:later", cwd=seeded)
    wait("first sync", lambda: current(root) == head(git, seeded))


def test_a_wrong_password_fails_and_is_nowhere_told(sync: Run, seeded: Path) -> None:
    program = sync(GIT_SYNC_PASSWORD="wr0ng-token", GITSYNC_PASSWORD="wr0ng-token")
    assert program.ended() == 1
    assert "wr0ng-token" not in program.output


def test_the_password_is_on_no_disk_and_in_no_line(sync: Run, seeded: Path, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(TOKEN + "\n")
    program = sync(
        GIT_SYNC_PASSWORD=None, GITSYNC_PASSWORD=None, GITSYNC_PASSWORD_FILE=str(secret), GITSYNC_ONE_TIME="true"
    )
    assert program.ended() == 0, program.output
    written = [path for path in root.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert not written
    assert TOKEN not in program.output


def test_the_password_is_in_no_argument_of_git(sync: Run, seeded: Path, root: Path, tmp_path: Path) -> None:
    seen = tmp_path / "arguments"
    spy = tmp_path / "spy"
    spy.write_text(f'#!/bin/sh\necho "$*" >> "{seen}"\nexec git "$@"\n')
    spy.chmod(0o755)
    assert sync(GITSYNC_GIT=str(spy), GITSYNC_ONE_TIME="true").ended() == 0
    assert "fetch" in seen.read_text()
    assert TOKEN not in seen.read_text()


def test_a_server_whose_ca_is_not_given_is_not_trusted(sync: Run, seeded: Path) -> None:
    program = sync(GIT_SSL_CAINFO=None)
    assert program.ended() == 1
    assert "certificate" in program.output


def test_the_probe_says_503_until_the_first_sync_and_200_even_when_the_server_fails_later(
    sync: Run, git: Git, git_server: Server, seeded: Path, wait: Wait
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def status() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/any", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except urllib.error.URLError:
            return 0

    program = sync(GIT_SYNC_BRANCH="later", GITSYNC_MAX_FAILURES="-1", GITSYNC_HTTP_BIND=f":{port}")
    wait("a failure", lambda: "will retry" in program.output)
    assert status() == 503
    git("push", "--quiet", "origin", "HEAD:later", cwd=seeded)
    wait("ready", lambda: status() == 200)
    git_server.program.stop()
    failures = program.output.count("will retry")
    wait("another failure", lambda: program.output.count("will retry") > failures)
    assert status() == 200


def test_sigterm_ends_it_with_143_in_the_middle_of_a_wait(sync: Run, seeded: Path, root: Path, wait: Wait) -> None:
    program = sync(GITSYNC_PERIOD="1h")
    wait("first sync", lambda: current(root))
    assert program.stop() == 143


def test_a_server_that_never_answers_costs_no_more_than_the_time_for_a_sync(sync: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mlops.git"
        program = sync(GIT_SYNC_REPO=url, GITSYNC_REPO=url, GITSYNC_SYNC_TIMEOUT="500ms")
        assert program.ended(timeout=10) == 1
    assert "time for a sync" in program.output


def test_a_touch_file_tells_of_the_sync(sync: Run, seeded: Path, root: Path) -> None:
    assert sync(GITSYNC_ONE_TIME="true", GITSYNC_TOUCH_FILE="touched").ended() == 0
    assert (root / "touched").is_file()


def test_options_for_git_are_honoured(sync: Run, seeded: Path, root: Path, git_server: Server) -> None:
    program = sync(GITSYNC_ONE_TIME="true", GIT_SSL_CAINFO=None, GITSYNC_GIT_CONFIG=f'http.sslCAInfo:"{git_server.ca}"')
    assert program.ended() == 0, program.output
