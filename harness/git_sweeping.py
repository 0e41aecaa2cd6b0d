"""`harness sweep --git-remote URL`: branches that runs of any machine have left on a Git server of the reader's own.

A branch says itself whose it is and until when, in the trailers of its seed. The address and the token are those of
whoever sweeps: nothing that a run has written somewhere else says where the token is sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from harness.errors import ExitCode, GuardError, HarnessError, UsageError
from harness.git_settings import BRANCHES, is_throw_away
from harness.gitaccess import GitAccess
from harness.process import Runner, SubprocessRunner
from harness.redaction import Redactor
from harness.services.git_remote import ThrowAwayBranch, branches
from harness.settings import Settings
from harness.targets.attached.expiry import is_past


def sweep(settings: Settings, console: Console, *, yes: bool) -> ExitCode:
    """Show the branches that are left, and remove them if so wished; environment failed where one could not be.

    Args:
        settings: Which repository, and who asks.
        console: Where it is shown.
        yes: Whether to remove them.

    Raises:
        UsageError: No repository is named, or there is no token for it.
    """
    git = settings.git
    if git.remote is None:
        raise UsageError("no Git remote is named", next_step="name it with --git-remote")
    token = git.secret()
    redactor = Redactor()
    redactor.learn(token.get_secret_value())
    access = GitAccess(url=git.remote, username=git.username, password=token, ca_file=git.authorities())
    known = {folder.name for folder in (settings.state_dir / "runs").glob("*")}
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        runner = SubprocessRunner(redactor=redactor)
        try:
            names = branches(access, runner)
        except HarnessError as error:
            _say(console, f"the branches on {access.url} could not be seen: {_told(error)}")
            return ExitCode.ENVIRONMENT_FAILED
        codes = [_swept(_Place(access, runner, Path(scratch)), name, known, console, yes=yes) for name in names]
    return max(codes, default=ExitCode.GREEN)


class _Place:
    """Where branches are, and what asks for them."""

    def __init__(self, access: GitAccess, runner: Runner, scratch: Path) -> None:
        self.access, self.runner, self.scratch = access, runner, scratch

    def branch(self, name: str) -> ThrowAwayBranch:
        return ThrowAwayBranch(self.access, name, self.runner, self.scratch)


def _swept(place: _Place, name: str, known: Collection[str], console: Console, *, yes: bool) -> ExitCode:
    what = f"branch {name} on {place.access.url}"
    try:
        branch, why = _judged(place, name, known)
        if branch is None:
            _say(console, f"left {what}: {why}")
        elif not yes:
            _say(console, f"would remove {what} ({why}); with --yes it would be")
        elif branch.remove():
            _say(console, f"removed {what} ({why})")
        else:
            _say(console, f"left {what}: it has been made anew by somebody else")
    except HarnessError as error:
        _say(console, f"left {what}: {_told(error)}")
        # A branch that somebody has pushed just now is no failure: it is in use.
        return ExitCode.GREEN if isinstance(error, GuardError) else ExitCode.ENVIRONMENT_FAILED
    return ExitCode.GREEN


def _judged(place: _Place, name: str, known: Collection[str]) -> tuple[ThrowAwayBranch | None, str]:
    """The branch, if it may go; and why it may, or stays."""
    run = name.removeprefix(BRANCHES)
    if not is_throw_away(name):
        return None, "it is not called as that of a run is"
    if run in known:
        return None, f"run {run} is this machine's: harness sweep removes what it left, by its journal"
    branch = place.branch(name)
    seeds = branch.seeds()
    if not seeds:
        return None, f"nothing in its history says that it is run {run}'s"
    for expires in seeds.values():
        past = is_past(expires)
        if not past:
            return None, f"run {run} has it until {expires}" if past is False else f"run {run} does not say until when"
    branch.seed, expires = next(reversed(seeds.items()))
    return branch, f"run {run}, past its time since {expires}"


def _told(error: HarnessError) -> str:
    return "; ".join([error.message, *error.evidence.values()])


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
