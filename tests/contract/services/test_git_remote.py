"""A throw-away branch on a Git server on which nobody is an administrator: the harness's own, run as a foreign one."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from harness.errors import CleanupFailed, EnvironmentFailed, GuardError, UsageError
from harness.foreign_git import KIND, ForeignGit, addresses
from harness.git_settings import GitSettings
from harness.gitaccess import GitAccess
from harness.journal import Journal
from harness.model import Seeded
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from harness.remover import Remover
from harness.services.git_remote import ThrowAwayBranch
from harness.settings import Settings, settings_alone

from .conftest import WRITER, Git, GitServer

RUN = "20261121-101112-ab12"
BRANCH = f"harness/{RUN}"


@pytest.fixture
def runner(tmp_path: Path) -> SubprocessRunner:
    return SubprocessRunner(redactor=Redactor(), transcript=tmp_path / "commands.log")


@pytest.fixture
def of_run(tmp_path: Path, runner: SubprocessRunner) -> Callable[[Settings], ForeignGit]:
    """What a run with certain settings has; each with a folder of its own."""

    def made(settings: Settings) -> ForeignGit:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        found = ForeignGit.of_run(
            settings, run_id=RUN, journal=Journal(folder / "journal.jsonl"), runner=runner, scratch=folder,
            redactor=runner.redactor,
        )  # fmt: skip
        assert found is not None
        return found

    return made


@pytest.fixture
def seed(git: Git, tmp_path: Path) -> Callable[[str], tuple[Path, Seeded]]:
    """Makes the bundle of a seed with one file."""

    def made(content: str) -> tuple[Path, Seeded]:
        folder = tmp_path / f"seed-{content}"
        git("init", "--quiet", "--initial-branch", BRANCH, folder)
        sha = git.commit(folder, "file", content.encode())
        git("bundle", "create", "--quiet", folder / "bundle", BRANCH, cwd=folder)
        return folder / "bundle", Seeded(sha=sha, branch=BRANCH, prefix="p", dags_path="dags")

    return made


def tip(git: Git, server: GitServer, branch: str = BRANCH) -> str:
    return git("ls-remote", server.url, f"refs/heads/{branch}").stdout.partition("\t")[0]


OfRun = Callable[[Settings], ForeignGit]
MakeSeed = Callable[[str], tuple[Path, Seeded]]


def test_a_branch_is_journalled_made_seeded_again_without_force_and_removed(
    git: Git, foreign: GitServer, settings: Settings, of_run: OfRun, seed: MakeSeed, tmp_path: Path
) -> None:
    remote, main = of_run(settings), tip(git, foreign, "main")
    remote.branch.refuse()
    first = remote.put(*seed("one"))
    assert tip(git, foreign) == first.sha
    (entry,) = remote.journal.open()
    assert (entry.kind, entry.name, entry.detail["seed"]) == (KIND, BRANCH, first.sha)
    assert WRITER[1] not in (tmp_path / "run" / "journal.jsonl").read_text()
    # What a run left there, and the next seed on top of it.
    git("clone", "--quiet", "--branch", BRANCH, foreign.url, tmp_path / "work")
    left = git.commit(tmp_path / "work", "more", b"x")
    git("push", "--quiet", "origin", f"HEAD:{BRANCH}", cwd=tmp_path / "work")
    second = remote.put(*seed("two"))
    assert tip(git, foreign) == second.sha
    git("fetch", "--quiet", "origin", BRANCH, cwd=tmp_path / "work")
    assert git("rev-parse", f"{second.sha}^", cwd=tmp_path / "work").stdout.strip() == left
    assert git("ls-tree", "--name-only", second.sha, cwd=tmp_path / "work").stdout == "file\n"
    assert git("show", f"{second.sha}:file", cwd=tmp_path / "work").stdout == "two"
    remote.remove()
    assert tip(git, foreign) == ""
    assert tip(git, foreign, "main") == main
    assert remote.journal.open() == []
    remote.remove()


def test_the_token_is_in_no_command_line_and_no_file(
    foreign: GitServer, settings: Settings, of_run: OfRun, seed: MakeSeed, tmp_path: Path
) -> None:
    remote = of_run(settings)
    remote.branch.refuse()
    remote.put(*seed("one"))
    remote.put(*seed("two"))
    remote.remove()
    said = (tmp_path / "commands.log").read_text()
    assert "push" in said
    assert WRITER[1] not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file() and foreign.users not in path.parents]
    assert [path for path in files if WRITER[1].encode() in path.read_bytes()] == []


def test_it_is_in_the_journal_before_it_is_made(
    settings: Settings, of_run: OfRun, seed: MakeSeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = of_run(settings)
    noted: list[list[str]] = []

    def make(_self: ThrowAwayBranch, *_seed: object) -> None:
        noted.append([entry.name for entry in remote.journal.open()])

    monkeypatch.setattr(ThrowAwayBranch, "make", make)
    remote.put(*seed("one"))
    assert noted == [[BRANCH]]


def test_a_branch_of_that_name_that_is_there_already_is_refused_and_left(
    git: Git, foreign: GitServer, settings: Settings, of_run: OfRun, seed: MakeSeed, seeded: Path
) -> None:
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}", cwd=seeded)
    remote, theirs = of_run(settings), tip(git, foreign)
    with pytest.raises(GuardError, match=r"this run has not made it"):
        remote.branch.refuse()
    # Also one that came after it was looked at.
    with pytest.raises(GuardError, match=r"somebody else has pushed it"):
        remote.put(*seed("one"))
    assert remote.journal.open() == []
    remote.remove()
    assert tip(git, foreign) == theirs


def test_the_default_branch_and_a_repository_without_one_are_refused(
    git: Git, foreign: GitServer, settings: Settings, of_run: OfRun
) -> None:
    bare = foreign.root / "mlops.git"
    main = tip(git, foreign, "main")
    git("update-ref", "-d", "refs/heads/main", cwd=bare)
    with pytest.raises(GuardError, match=r"has no branch: the first one that is pushed would become its default"):
        of_run(settings).branch.refuse()
    git("update-ref", f"refs/heads/{BRANCH}", main, cwd=bare)
    git("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}", cwd=bare)
    with pytest.raises(GuardError, match=r"is the default branch"):
        of_run(settings).branch.refuse()


def test_a_token_that_may_not_read_is_refused_with_the_servers_words(settings: Settings, of_run: OfRun) -> None:
    wrong = settings.model_copy(update={"git": settings.git.model_copy(update={"token": SecretStr("wrong-token")})})
    with pytest.raises(EnvironmentFailed, match=r"does not let airflow read https://127") as refused:
        of_run(wrong).branch.refuse()
    assert "Authentication failed" in refused.value.evidence["git"]
    assert "wrong-token" not in str(refused.value)


def test_a_server_that_is_not_there_or_not_known_by_its_authorities_is_refused(
    settings: Settings, of_run: OfRun
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for change, words in (
        ({"remote": f"https://127.0.0.1:{port}/mlops.git"}, "onnect"),
        ({"ca_file": None}, "certificate"),
    ):
        with pytest.raises(EnvironmentFailed, match=r"does not let airflow read") as refused:
            of_run(settings.model_copy(update={"git": settings.git.model_copy(update=change)})).branch.refuse()
        assert words in refused.value.evidence["git"]


def test_a_token_too_short_to_be_masked_is_refused(settings: Settings, of_run: OfRun) -> None:
    short = settings.model_copy(update={"git": settings.git.model_copy(update={"token": SecretStr("r-token")})})
    with pytest.raises(UsageError, match=r"cannot be redacted reliably"):
        of_run(short)


def test_a_token_that_may_only_read_is_refused_and_nothing_stays_in_the_journal(
    foreign: GitServer, settings: Settings, of_run: OfRun, seed: MakeSeed
) -> None:
    (foreign.users / "reader.guest").write_text("guest-token")
    change = {"username": "guest", "token": SecretStr("guest-token")}
    remote = of_run(settings.model_copy(update={"git": settings.git.model_copy(update=change)}))
    remote.branch.refuse()
    with pytest.raises(EnvironmentFailed, match=r"refused to make the branch harness/") as refused:
        remote.put(*seed("one"))
    assert "right to write" in refused.value.next_step
    remote.remove()
    assert remote.journal.open() == []


def test_a_server_that_protects_such_branches_is_refused_with_its_words(
    foreign: GitServer, settings: Settings, of_run: OfRun, seed: MakeSeed
) -> None:
    hook = foreign.root / "mlops.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'GH013: creations being restricted' >&2\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(EnvironmentFailed, match=r"refused to make the branch") as refused:
        of_run(settings).put(*seed("one"))
    assert "GH013: creations being restricted" in refused.value.evidence["git"]


def test_a_branch_that_the_server_does_not_let_go_is_named_and_stays_in_the_journal(
    git: Git, foreign: GitServer, settings: Settings, of_run: OfRun, seed: MakeSeed
) -> None:
    remote = of_run(settings)
    made = remote.put(*seed("one"))
    git("config", "receive.denyDeletes", "true", cwd=foreign.root / "mlops.git")
    with pytest.raises(CleanupFailed, match=rf"the branch {BRANCH} is still on https") as failed:
        remote.remove()
    assert "deletion" in failed.value.evidence["git"]
    assert [entry.name for entry in remote.journal.open()] == [BRANCH]
    assert tip(git, foreign) == made.sha


def test_what_a_killed_run_left_is_removed_by_its_journal(
    git: Git,
    foreign: GitServer,
    settings: Settings,
    of_run: OfRun,
    seed: MakeSeed,
    runner: SubprocessRunner,
    tmp_path: Path,
) -> None:
    remote = of_run(settings)
    remote.put(*seed("one"))
    git("clone", "--quiet", "--branch", BRANCH, foreign.url, tmp_path / "work")
    git.commit(tmp_path / "work", "more", b"x")
    git("push", "--quiet", "origin", f"HEAD:{BRANCH}", cwd=tmp_path / "work")
    (entry,) = Journal(tmp_path / "run" / "journal.jsonl").open()
    remover = Remover(None, runner, git=settings.git)  # type: ignore[arg-type] # needs no engine
    there = remover.entry(entry, run=RUN)
    assert there is not None
    assert not there.foreign
    assert tip(git, foreign) == ""
    assert remover.entry(entry, run=RUN) is not None


def test_a_sweep_leaves_a_branch_of_that_name_that_the_run_never_made(
    git: Git, foreign: GitServer, settings: Settings, of_run: OfRun, seeded: Path, runner: SubprocessRunner
) -> None:
    remote = of_run(settings)
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}", cwd=seeded)
    entry = remote.journal.record(KIND, BRANCH, seed="0" * 40, **remote.detail)
    there = Remover(None, runner, git=settings.git).entry(entry, run=RUN)  # type: ignore[arg-type] # needs no engine
    assert there is not None
    assert there.foreign == {BRANCH: f"branch {BRANCH} on {foreign.url}"}
    assert tip(git, foreign)


def test_a_sweep_removes_no_branch_of_another_name_whatever_a_journal_says(
    git: Git, foreign: GitServer, settings: Settings, of_run: OfRun, runner: SubprocessRunner
) -> None:
    remote, main = of_run(settings), tip(git, foreign, "main")
    entry = remote.journal.record(KIND, "main", seed=main, **remote.detail)
    with pytest.raises(GuardError, match=r"no throw-away branch"):
        Remover(None, runner, git=settings.git).entry(entry, run=RUN)  # type: ignore[arg-type] # needs no engine
    assert tip(git, foreign, "main") == main


def test_a_sweep_takes_the_token_from_the_runs_file_and_gives_none_to_another_server(
    git: Git,
    foreign: GitServer,
    settings: Settings,
    of_run: OfRun,
    seed: MakeSeed,
    runner: SubprocessRunner,
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text(WRITER[1])
    change = {"token": None, "token_file": tmp_path / "token"}
    of_run(settings.model_copy(update={"git": settings.git.model_copy(update=change)})).put(*seed("one"))
    (entry,) = Journal(tmp_path / "run" / "journal.jsonl").open()
    without = replace(entry, detail={**entry.detail, "token_file": ""})
    other = GitSettings(remote="https://git.example.com/p.git", token=SecretStr("theirs"))
    for git_settings, why in ((GitSettings(), "there is no token for 127"), (other, r"set is for git\.example\.com")):
        remover = Remover(None, runner, git=git_settings)  # type: ignore[arg-type] # needs no engine
        with pytest.raises(CleanupFailed, match=why):
            remover.entry(without, run=RUN)
    Remover(None, runner).entry(entry, run=RUN)  # type: ignore[arg-type] # needs no engine
    assert tip(git, foreign) == ""


def test_a_run_has_its_branch_for_the_policys_and_other_runs_branches_are_none_of_its_business(
    settings: Settings, of_run: OfRun
) -> None:
    changed = of_run(settings).settings(settings)
    assert changed.policy.branch == BRANCH
    assert changed.policy.extra_refs == ("refs/heads/harness/*",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"keep": "always"}, "cannot be kept"),
        ({"keep": "on-failure"}, "cannot be kept"),
        ({"policy": {"branch": "team/data"}}, r"policy\.branch is team/data"),
    ],
)
def test_what_does_not_go_with_a_remote_is_refused(
    settings: Settings, of_run: OfRun, change: dict[str, object], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        of_run(settings_alone(**{"git": settings.git, **change}))


def test_a_server_on_loopback_is_refused_for_no_pod_gets_there(settings: Settings, of_run: OfRun) -> None:
    with pytest.raises(GuardError, match=r"127\.0\.0\.1 is on this machine's loopback"):
        of_run(settings).reachable(settings)


def test_pods_may_reach_the_server_at_its_addresses_and_its_port() -> None:
    assert addresses("https://192.0.2.7:8443/p.git") == ("192.0.2.7:8443",)
    assert addresses("https://192.0.2.7/p.git") == ("192.0.2.7:443",)
    with pytest.raises(EnvironmentFailed, match=r"has no IPv4 address here"):
        addresses("https://no-such-host.invalid/p.git")


def test_a_server_may_not_send_git_and_the_password_elsewhere() -> None:
    env = GitAccess(url="https://git.example.com/p.git", username="u", password=SecretStr("p")).env
    pairs = {env[f"GIT_CONFIG_KEY_{n}"]: env[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(env["GIT_CONFIG_COUNT"]))}
    assert pairs["http.followRedirects"] == "false"


def test_the_journal_says_when_the_branch_is_past_its_time(
    settings: Settings, of_run: OfRun, seed: MakeSeed, tmp_path: Path
) -> None:
    of_run(settings).put(*seed("one"))
    (line,) = (tmp_path / "run" / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["expires"]
