"""The Git server of the cluster against real git over TLS."""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from harness.errors import CommandFailed, EnvironmentFailed
from harness.model import GitService
from harness.services.git import GitClient

from .conftest import ADMIN, READER, WRITER, Authority, Git, GitServer, Start, User, run_all


@pytest.fixture
def http(git_server: GitServer) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(git_server.ca))
    with httpx.Client(base_url=git_server.address, verify=context, trust_env=False, timeout=20) as client:
        yield client


def test_a_push_is_what_the_next_clone_gets(git: Git, git_server: GitServer, seeded: Path, tmp_path: Path) -> None:
    git("clone", "--quiet", git_server.url, tmp_path / "again", user=READER)
    assert (tmp_path / "again" / "README").read_text() == "one\n"
    assert git("branch", "--show-current", cwd=tmp_path / "again").stdout == "main\n"


def test_a_shallow_clone_can_push(git: Git, git_server: GitServer, seeded: Path, tmp_path: Path) -> None:
    git.commit(seeded, "README", b"two\n")
    git("push", "--quiet", "origin", "HEAD:main", cwd=seeded)
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth", "1", git_server.url, shallow)
    assert git("rev-list", "--count", "HEAD", cwd=shallow).stdout == "1\n"
    tip = git.commit(shallow, "more", b"three\n")
    git("push", "--quiet", cwd=shallow)
    assert git("ls-remote", git_server.url, "main").stdout.startswith(tip)


@pytest.mark.parametrize("protocol", ["0", "1", "2"])
def test_every_protocol_version_is_spoken(git: Git, git_server: GitServer, seeded: Path, protocol: str) -> None:
    listed = git("-c", f"protocol.version={protocol}", "ls-remote", git_server.url, "refs/heads/main")
    assert listed.stdout.endswith("refs/heads/main\n")


def test_a_push_behind_the_tip_is_rejected(git: Git, git_server: GitServer, seeded: Path, tmp_path: Path) -> None:
    git("clone", "--quiet", git_server.url, tmp_path / "other")
    git.commit(seeded, "a", b"a")
    git("push", "--quiet", "origin", "HEAD:main", cwd=seeded)
    git.commit(tmp_path / "other", "b", b"b")
    with pytest.raises(CommandFailed) as refused:
        git("push", "origin", "main", cwd=tmp_path / "other")
    assert "[rejected]" in refused.value.stderr


def test_force_pushes_and_deletions_are_refused(git: Git, git_server: GitServer, seeded: Path) -> None:
    tip = git("rev-parse", "HEAD", cwd=seeded).stdout.strip()
    git("commit", "--quiet", "--amend", "--message", "Another story", cwd=seeded)
    forced = git("push", "--force", "origin", "HEAD:main", cwd=seeded, check=False)
    deleted = git("push", "origin", ":main", cwd=seeded, check=False)
    assert forced.code != 0
    assert "denying non-fast-forward" in forced.stderr
    assert deleted.code != 0
    assert "deletion prohibited" in deleted.stderr
    assert git("ls-remote", git_server.url, "main").stdout.split()[0] == tip


def test_a_wrong_token_fails_authentication(git: Git, git_server: GitServer, tmp_path: Path) -> None:
    failed = git("clone", git_server.url, tmp_path / "x", user=(WRITER[0], "wrong"), check=False)
    assert failed.code == 128
    assert "Authentication failed" in failed.stderr


def test_no_token_asks_for_one(git: Git, git_server: GitServer, http: httpx.Client, tmp_path: Path) -> None:
    failed = git("clone", git_server.url, tmp_path / "x", user=None, check=False)
    assert "could not read Username" in failed.stderr
    answer = http.get("/mlops.git/info/refs?service=git-upload-pack")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')


def test_a_reader_may_fetch_but_not_push(git: Git, git_server: GitServer, seeded: Path, http: httpx.Client) -> None:
    git("fetch", "--quiet", "origin", cwd=seeded, user=READER)
    git.commit(seeded, "b", b"b")
    failed = git("push", "origin", "HEAD:main", cwd=seeded, user=READER, check=False)
    assert failed.code == 128
    assert "403" in failed.stderr
    direct = http.post("/mlops.git/git-receive-pack", auth=READER, content=b"0000")
    assert direct.status_code == 403


def test_an_unknown_repository_is_not_found(git: Git, git_server: GitServer, tmp_path: Path) -> None:
    failed = git("clone", f"{git_server.address}/other.git", tmp_path / "x", check=False)
    assert "not found" in failed.stderr


@pytest.mark.parametrize(
    "path", ["/mlops.git/HEAD", "/mlops.git/config", "/..%2fusers/x", "/mlops.git/../mlops.git/HEAD"]
)
def test_files_of_the_repository_are_not_served(http: httpx.Client, path: str) -> None:
    assert http.get(path, auth=ADMIN).status_code == 404


def test_a_push_above_the_post_buffer_arrives_whole(
    git: Git, git_server: GitServer, seeded: Path, tmp_path: Path
) -> None:
    content = os.urandom(5 * 1024 * 1024)
    git.commit(seeded, "big.bin", content)
    git("push", "--quiet", "origin", "HEAD:main", cwd=seeded)
    git("clone", "--quiet", git_server.url, tmp_path / "again")
    assert (tmp_path / "again" / "big.bin").read_bytes() == content


def test_a_push_cut_off_in_a_chunk_is_broken_off_and_changes_nothing(
    git: Git, git_server: GitServer, seeded: Path
) -> None:
    before = git("ls-remote", git_server.url).stdout
    token = base64.b64encode(":".join(WRITER).encode()).decode()
    request = (
        "POST /mlops.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: application/x-git-receive-pack-request\r\nAuthorization: Basic {token}\r\n\r\n"
        "ffff\r\n0000"
    )
    context = ssl.create_default_context(cafile=str(git_server.ca))
    with (
        socket.create_connection(("127.0.0.1", git_server.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(partial(connection.recv, 4096), b""))
    assert not answer.endswith(b"0\r\n\r\n")
    assert git("ls-remote", git_server.url).stdout == before


def test_gzip_request_bodies_are_understood(http: httpx.Client, seeded: Path) -> None:
    # What git sends for ls-remote in protocol version 2 (gitprotocol-v2(5)), compressed as it does above 1,024 bytes.
    answer = http.post(
        "/mlops.git/git-upload-pack",
        auth=READER,
        content=gzip.compress(b"0014command=ls-refs\n00010000"),
        headers={
            "Content-Encoding": "gzip",
            "Content-Type": "application/x-git-upload-pack-request",
            "Git-Protocol": "version=2",
        },
    )
    assert answer.status_code == 200
    assert b"refs/heads/main" in answer.content


def test_parallel_clones_are_all_served(git: Git, git_server: GitServer, seeded: Path, tmp_path: Path) -> None:
    assert run_all([partial(git, "clone", "--quiet", git_server.url, tmp_path / f"c{n}") for n in range(6)]) == []


def test_of_two_pushes_at_once_one_wins(git: Git, git_server: GitServer, seeded: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        git("clone", "--quiet", git_server.url, tmp_path / name)
        git.commit(tmp_path / name, name, name.encode())
    errors = run_all([partial(git, "push", "origin", "main", cwd=tmp_path / name) for name in ("a", "b")])
    assert len(errors) == 1


def bundle_of(git: Git, folder: Path, *refs: str) -> bytes:
    path = folder.parent / "seed.bundle"
    git("bundle", "create", "--quiet", path, *refs, cwd=folder)
    return path.read_bytes()


@pytest.fixture
def fresh(git: Git, tmp_path: Path) -> Path:
    """A repository that has nothing to do with the server's."""
    folder = tmp_path / "fresh"
    git("init", "--quiet", "--initial-branch", "main", folder)
    git.commit(folder, "seed", b"seed\n")
    git("tag", "v1", cwd=folder)
    return folder


def test_reseeding_replaces_all_refs(
    git: Git, git_server: GitServer, seeded: Path, fresh: Path, http: httpx.Client
) -> None:
    git("push", "--quiet", "origin", "HEAD:refs/heads/leftover", cwd=seeded)
    answer = http.post("/-/reseed/mlops.git", auth=ADMIN, content=bundle_of(git, fresh, "main", "v1"))
    tip = git("rev-parse", "main", cwd=fresh).stdout.strip()
    assert answer.status_code == 200, answer.text
    assert answer.json()["after"] == {"refs/heads/main": tip, "refs/tags/v1": tip}
    assert git("ls-remote", git_server.url).stdout.split() == [tip, "HEAD", tip, "refs/heads/main", tip, "refs/tags/v1"]


def test_reseeding_takes_away_hooks_that_are_not_the_servers_own(
    git: Git, git_server: GitServer, seeded: Path, fresh: Path, http: httpx.Client, tmp_path: Path
) -> None:
    """A test that broke pushes by one may have been killed."""
    hooks = git_server.root / "mlops.git" / "hooks"
    own = {path.name: path.read_bytes() for path in hooks.iterdir()}
    for name in ("pre-receive", "update", "reference-transaction"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    assert git("push", "origin", "HEAD:other", cwd=seeded, check=False).code != 0
    answer = http.post("/-/reseed/mlops.git", auth=ADMIN, content=bundle_of(git, fresh, "main"))
    assert answer.status_code == 200, answer.text
    assert {path.name: path.read_bytes() for path in hooks.iterdir()} == own
    git("clone", "--quiet", git_server.url, tmp_path / "again")
    git.commit(tmp_path / "again", "more", b"more\n")
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "again")


@pytest.mark.parametrize("user", [WRITER, READER])
def test_only_the_admin_may_reseed(git: Git, fresh: Path, http: httpx.Client, user: User) -> None:
    answer = http.post("/-/reseed/mlops.git", auth=user, content=bundle_of(git, fresh, "main"))
    assert answer.status_code == 403


def test_a_bundle_that_is_none_changes_nothing(
    git: Git, git_server: GitServer, seeded: Path, http: httpx.Client
) -> None:
    before = git("ls-remote", git_server.url).stdout
    answer = http.post("/-/reseed/mlops.git", auth=ADMIN, content=b"not a bundle")
    assert answer.status_code == 422
    assert "bundle" in answer.text
    assert git("ls-remote", git_server.url).stdout == before


def test_an_incomplete_bundle_changes_nothing(
    git: Git, git_server: GitServer, seeded: Path, fresh: Path, http: httpx.Client
) -> None:
    git.commit(fresh, "seed", b"more\n")
    before = git("ls-remote", git_server.url).stdout
    answer = http.post("/-/reseed/mlops.git", auth=ADMIN, content=bundle_of(git, fresh, "main", "^main~1"))
    assert answer.status_code == 422
    assert git("ls-remote", git_server.url).stdout == before


def test_reseeding_an_unknown_repository_is_not_found(http: httpx.Client) -> None:
    assert http.post("/-/reseed/other.git", auth=ADMIN, content=b"").status_code == 404


def test_the_push_log_tells_who_moved_which_ref(
    git: Git, git_server: GitServer, seeded: Path, fresh: Path, http: httpx.Client
) -> None:
    first = git("rev-parse", "HEAD", cwd=seeded).stdout.strip()
    second = git.commit(seeded, "README", b"two\n")
    git("push", "--quiet", "origin", "HEAD:main", cwd=seeded)
    http.post("/-/reseed/mlops.git", auth=ADMIN, content=bundle_of(git, fresh, "main"))
    entries = [json.loads(line) for line in http.get("/-/pushes", auth=ADMIN).text.splitlines()]
    seed = git("rev-parse", "main", cwd=fresh).stdout.strip()
    assert [(e["event"], e["ref"], e["before"], e["after"], e["pusher"]) for e in entries] == [
        ("push", "refs/heads/main", "0" * 40, first, "airflow"),
        ("push", "refs/heads/main", first, second, "airflow"),
        ("reseed", "refs/heads/main", second, seed, "harness-admin"),
    ]


def test_the_client_tells_the_pushes_since_a_repository_was_made_anew(
    git: Git, git_server: GitServer, seeded: Path, fresh: Path, tmp_path: Path
) -> None:
    service = GitService(
        git_server.url, git_server.url, git_server.ca, WRITER[0], SecretStr(WRITER[1]), SecretStr(ADMIN[1])
    )
    bundle_of(git, fresh, "main")
    with closing(GitClient(service)) as client:
        client.reseed(tmp_path / "seed.bundle", repository="scratch-b.git")
        (push,) = client.pushes()
        assert (push.ref, push.before) == ("refs/heads/main", "0" * 40)
        second = git.commit(seeded, "README", b"two\n")
        begun = datetime.now(UTC)
        git("push", "--quiet", "origin", "HEAD:main", cwd=seeded)
        first, later = client.pushes()
        assert (first, later.before, later.after) == (push, push.after, second)
        assert begun - timedelta(milliseconds=1) <= later.time <= datetime.now(UTC)
        assert client.pushes(repository="scratch-b.git") == ()
        client.reseed(tmp_path / "seed.bundle")
        assert client.pushes() == ()
        git_server.program.stop()
        with pytest.raises(EnvironmentFailed, match="does not answer"):
            client.pushes()


def test_the_push_log_is_the_admins_alone(http: httpx.Client) -> None:
    assert http.get("/-/pushes", auth=WRITER).status_code == 403


@pytest.fixture
def scratch(git: Git, git_server: GitServer, fresh: Path, http: httpx.Client) -> str:
    """URL of a repository that the admin made."""
    answer = http.post("/-/reseed/scratch-a.git", auth=ADMIN, content=bundle_of(git, fresh, "main"))
    assert answer.status_code == 200, answer.text
    return f"{git_server.address}/scratch-a.git"


def test_a_scratch_repository_is_served_by_the_rules_of_the_others(
    git: Git, scratch: str, fresh: Path, http: httpx.Client, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git("clone", "--quiet", scratch, clone)
    tip = git.commit(clone, "more", b"more\n")
    git("push", "--quiet", "origin", "main", cwd=clone)
    assert git("ls-remote", scratch, "main", user=READER).stdout.startswith(tip)
    refused = git("push", "--force", scratch, "main", cwd=fresh, check=False)
    assert refused.code != 0
    assert git("push", scratch, "main:other", cwd=clone, user=READER, check=False).code == 128
    assert http.get("/scratch-a.git/info/refs?service=git-upload-pack").status_code == 401
    entries = [json.loads(line) for line in http.get("/-/pushes", auth=ADMIN).text.splitlines()]
    assert ("scratch-a.git", "airflow", tip) in [(e["repository"], e["pusher"], e["after"]) for e in entries]


@pytest.mark.parametrize("user", [WRITER, READER])
def test_only_the_admin_makes_and_removes_scratch_repositories(
    git: Git, scratch: str, fresh: Path, http: httpx.Client, user: User
) -> None:
    bundle = bundle_of(git, fresh, "main")
    assert http.post("/-/reseed/scratch-b.git", auth=user, content=bundle).status_code == 403
    assert http.delete("/-/repositories/scratch-a.git", auth=user).status_code == 403
    assert git("ls-remote", scratch).code == 0
    assert git("ls-remote", scratch.replace("scratch-a", "scratch-b"), check=False).code == 128


@pytest.mark.parametrize(
    "name",
    [
        "other.git",
        "scratch-.git",
        "scratch-A.git",
        f"scratch-{'a' * 41}.git",
        "scratch-a",
        "scratch-a%2f..git",
        "..git",
    ],
)
def test_a_repository_of_another_name_is_not_made(
    git: Git, git_server: GitServer, fresh: Path, http: httpx.Client, name: str
) -> None:
    before = sorted(path.name for path in git_server.root.iterdir())
    answer = http.post(f"/-/reseed/{name}", auth=ADMIN, content=bundle_of(git, fresh, "main"))
    assert answer.status_code == 404
    assert sorted(path.name for path in git_server.root.iterdir()) == before


def test_a_removed_repository_is_gone_and_its_name_is_free(
    git: Git, git_server: GitServer, scratch: str, fresh: Path, http: httpx.Client
) -> None:
    assert http.delete("/-/repositories/scratch-a.git", auth=ADMIN).status_code == 200
    assert "not found" in git("ls-remote", scratch, check=False).stderr
    assert [path.name for path in git_server.root.iterdir()] == ["mlops.git"]
    assert http.delete("/-/repositories/scratch-a.git", auth=ADMIN).status_code == 404
    answer = http.post("/-/reseed/scratch-a.git", auth=ADMIN, content=bundle_of(git, fresh, "main"))
    assert answer.json()["before"] == {}


def test_a_repository_that_lasts_cannot_be_removed(
    git: Git, git_server: GitServer, seeded: Path, http: httpx.Client
) -> None:
    assert http.delete("/-/repositories/mlops.git", auth=ADMIN).status_code == 403
    assert git("ls-remote", "--exit-code", git_server.url, "main").code == 0


def test_reseeding_the_lasting_repository_removes_the_scratch_ones_of_an_earlier_run(
    git: Git, git_server: GitServer, scratch: str, fresh: Path, http: httpx.Client
) -> None:
    http.post("/-/reseed/mlops.git", auth=ADMIN, content=b"not a bundle")
    assert git("ls-remote", scratch).code == 0
    http.post("/-/reseed/mlops.git", auth=ADMIN, content=bundle_of(git, fresh, "main"))
    assert "not found" in git("ls-remote", scratch, check=False).stderr
    assert [path.name for path in git_server.root.iterdir()] == ["mlops.git"]


def test_a_refused_bundle_leaves_no_scratch_repository_and_no_change_of_one(
    git: Git, git_server: GitServer, scratch: str, http: httpx.Client
) -> None:
    before = git("ls-remote", scratch).stdout
    for name in ("scratch-a.git", "scratch-b.git"):
        assert http.post(f"/-/reseed/{name}", auth=ADMIN, content=b"not a bundle").status_code == 422
    assert git("ls-remote", scratch).stdout == before
    assert sorted(path.name for path in git_server.root.iterdir()) == ["mlops.git", "scratch-a.git"]


def test_there_is_a_limit_to_scratch_repositories(
    git: Git, git_server: GitServer, fresh: Path, start: Start, tmp_path: Path, wait: Callable[..., object]
) -> None:
    for number in range(128):
        (git_server.root / f"scratch-{number}.git").mkdir()
    git_server.program.stop()
    port = git_server.port
    environment = {
        "GIT_SERVER_LISTEN": f"127.0.0.1:{port}",
        "GIT_SERVER_ROOT": str(git_server.root),
        "GIT_SERVER_USERS": str(git_server.users),
        "GIT_SERVER_TLS": str(git_server.ca.parent),
    }
    again = start("git_server", environment)
    wait("the server", lambda: "serving" in again.output)
    context = ssl.create_default_context(cafile=str(git_server.ca))
    with httpx.Client(base_url=git_server.address, verify=context, trust_env=False, timeout=20) as client:
        bundle = bundle_of(git, fresh, "main")
        refused = client.post("/-/reseed/scratch-one-more.git", auth=ADMIN, content=bundle)
        assert refused.status_code == 507
        assert "128 scratch repositories" in refused.text
        assert client.post("/-/reseed/scratch-7.git", auth=ADMIN, content=bundle).status_code == 200
        assert client.delete("/-/repositories/scratch-9.git", auth=ADMIN).status_code == 200
        assert client.post("/-/reseed/scratch-one-more.git", auth=ADMIN, content=bundle).status_code == 200


def test_the_client_makes_and_removes_scratch_repositories(
    git: Git, git_server: GitServer, fresh: Path, tmp_path: Path
) -> None:
    bundle_of(git, fresh, "main")
    service = GitService(
        git_server.url, git_server.url, git_server.ca, WRITER[0], SecretStr(WRITER[1]), SecretStr(ADMIN[1])
    )
    url = f"{git_server.address}/scratch-b.git"
    with closing(GitClient(service)) as client:
        client.reseed(tmp_path / "seed.bundle", repository="scratch-b.git")
        assert git("ls-remote", "--exit-code", url, "main").code == 0
        client.remove("scratch-b.git")
        client.remove("scratch-b.git")
        assert "not found" in git("ls-remote", url, check=False).stderr
        with pytest.raises(EnvironmentFailed, match=r"refused to remove mlops\.git \(status 403\)"):
            client.remove("mlops.git")


def test_health_needs_no_credentials(http: httpx.Client) -> None:
    assert http.get("/healthz").status_code == 200


def test_a_changed_users_secret_counts_at_once(git_server: GitServer, http: httpx.Client) -> None:
    (git_server.users / "writer.airflow").write_text("new-token")
    path = "/mlops.git/info/refs?service=git-upload-pack"
    assert http.get(path, auth=WRITER).status_code == 401
    assert http.get(path, auth=("airflow", "new-token")).status_code == 200


def test_each_request_is_one_log_line_without_credentials(
    git: Git, git_server: GitServer, seeded: Path, http: httpx.Client, wait: Callable[..., object]
) -> None:
    http.get("/mlops.git/info/refs?service=git-upload-pack", auth=READER)
    wait("the log line", lambda: '"user": "viewer"' in git_server.program.output)
    line = next(entry for entry in git_server.log() if entry.get("user") == "viewer")
    assert line["request"] == "GET /mlops.git/info/refs?service=git-upload-pack"
    assert line["status"] == 200
    for name, token in (WRITER, READER, ADMIN):
        assert token not in git_server.program.output
        assert base64.b64encode(f"{name}:{token}".encode()).decode() not in git_server.program.output


def test_sigterm_stops_it_cleanly(git_server: GitServer) -> None:
    assert git_server.program.stop() == 0


def test_the_repository_outlives_a_restart(
    git: Git, git_server: GitServer, seeded: Path, start: Start, wait: Callable[..., object]
) -> None:
    git_server.program.stop()
    again = start(
        "git_server",
        {
            "GIT_SERVER_LISTEN": f"127.0.0.1:{git_server.port}",
            "GIT_SERVER_ROOT": str(git_server.root),
            "GIT_SERVER_USERS": str(git_server.users),
            "GIT_SERVER_TLS": str(git_server.ca.parent),
        },
    )
    wait("the server", lambda: "serving" in again.output)
    assert git("ls-remote", git_server.url, "main").stdout.endswith("refs/heads/main\n")


@pytest.mark.parametrize("missing", ["tls.key", "users"])
def test_a_missing_secret_is_said_at_the_start(
    start: Start, authority: Authority, tmp_path: Path, missing: str
) -> None:
    users = tmp_path / "users"
    users.mkdir()
    if missing != "users":
        (users / "admin.harness-admin").write_text("x")
    tls = tmp_path if missing == "tls.key" else authority.folder
    program = start("git_server", {"GIT_SERVER_USERS": str(users), "GIT_SERVER_TLS": str(tls)})
    assert program.ended() == 2
    assert "secret" in program.output
