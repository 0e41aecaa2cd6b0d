"""`harness sweep --git-remote`: which branches go, by what their seed says of itself, and which stay and why."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from harness import git_sweeping
from harness.errors import ExitCode
from harness.git_settings import GitSettings
from harness.pipeline.seed import SeedPlan, build_seed
from harness.process import SubprocessRunner
from harness.services.git_remote import trailers
from harness.settings import Settings

from .conftest import Git, GitServer

PAST, LATER = "2026-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"
RUN, OTHER = "20261121-101112-ab12", "20261121-101112-cd34"
BRANCH = f"harness/{RUN}"


@pytest.fixture
def left(git: Git, foreign: GitServer, tmp_path: Path) -> Callable[..., str]:
    """A branch as a killed run leaves it: its seed, and a commit of the DAG's on top; its tip."""

    def make(branch: str = BRANCH, **said: str) -> str:
        scratch = tmp_path / f"seed-{branch.replace('/', '-')}"
        template = scratch / "template"
        (template / ".dvc").mkdir(parents=True)
        (template / ".dvc" / "config").write_text("[core]\n    remote = s3\n['remote \"s3\"']\n    url = s3://x\n")
        (scratch / "dags").mkdir()
        (scratch / "dags" / "dag.py").write_text("")
        (scratch / "data.csv").write_text("a\n1\n")
        plan = SeedPlan(
            template, scratch / "dags", scratch / "data.csv", "data/data.csv", "b", "runs/r", branch, trailers(**said)
        )
        build_seed(plan, scratch=scratch, runner=SubprocessRunner())
        git.commit(scratch / "repository", "more", b"x")
        git("push", "--quiet", foreign.url, f"HEAD:refs/heads/{branch}", cwd=scratch / "repository")
        return tip(git, foreign, branch)

    return make


def tip(git: Git, server: GitServer, branch: str = BRANCH) -> str:
    return git("ls-remote", server.url, f"refs/heads/{branch}").stdout.partition("\t")[0]


def swept(settings: Settings, *, yes: bool = True) -> tuple[ExitCode, str]:
    out = io.StringIO()
    code = git_sweeping.sweep(settings, Console(file=out, width=400), yes=yes)
    return code, out.getvalue()


def test_a_branch_of_another_machines_run_goes_once_its_time_is_past(
    git: Git, foreign: GitServer, settings: Settings, left: Callable[..., str]
) -> None:
    there, main = left(run_id=RUN, expires=PAST), tip(git, foreign, "main")
    code, told = swept(settings, yes=False)
    assert (code, tip(git, foreign)) == (ExitCode.GREEN, there)
    assert f"would remove branch {BRANCH}" in told
    code, told = swept(settings)
    assert (code, tip(git, foreign)) == (ExitCode.GREEN, "")
    assert f"removed branch {BRANCH} on {foreign.url} (run {RUN}, past its time since {PAST})" in told
    assert tip(git, foreign, "main") == main


@pytest.mark.parametrize(
    ("branch", "said", "why"),
    [
        (BRANCH, {"run_id": RUN, "expires": LATER}, "has it until 2999"),
        (BRANCH, {"run_id": RUN, "expires": "soon"}, "does not say until when"),
        (BRANCH, {"run_id": OTHER, "expires": PAST}, f"nothing in its history says that it is run {RUN}'s"),
        ("harness/keep-me", {"run_id": "keep-me", "expires": PAST}, "not called as that of a run is"),
    ],
)
def test_every_other_branch_is_named_and_stays(
    git: Git,
    foreign: GitServer,
    settings: Settings,
    left: Callable[..., str],
    branch: str,
    said: dict[str, str],
    why: str,
) -> None:
    there = left(branch, **said)
    code, told = swept(settings)
    assert (code, tip(git, foreign, branch)) == (ExitCode.GREEN, there)
    assert f"left branch {branch} on {foreign.url}: " in told
    assert why in told


def test_a_branch_of_a_run_of_this_machine_is_left_to_its_journal(
    git: Git, foreign: GitServer, settings: Settings, left: Callable[..., str]
) -> None:
    there = left(run_id=RUN, expires=PAST)
    (settings.state_dir / "runs" / RUN).mkdir(parents=True)
    assert "is this machine's" in swept(settings)[1]
    assert tip(git, foreign) == there


def test_a_server_that_does_not_take_the_token_is_told_without_it(settings: Settings, foreign: GitServer) -> None:
    git = GitSettings(**{**settings.git.model_dump(), "token": "wrong-token"})
    code, told = swept(settings.model_copy(update={"git": git}))
    assert code is ExitCode.ENVIRONMENT_FAILED
    assert f"the branches on {foreign.url} could not be seen" in told
    assert "wrong-token" not in told
