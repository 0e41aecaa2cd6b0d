"""A run on a Git server of the reader's own (`--git-remote`): what it changes in the settings, and its branch's life.

The branch is in the journal before it is made, and removed at the end of the run, or by `harness sweep`.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from harness.errors import CleanupFailed, EnvironmentFailed, GuardError, UsageError
from harness.git_settings import BRANCHES, GitSettings, throw_away_branch
from harness.gitaccess import GitAccess
from harness.journal import Entry, Journal
from harness.model import GitService, Seeded
from harness.process import Runner
from harness.redaction import Redactor
from harness.services.git_remote import ThrowAwayBranch
from harness.settings import Keep, Policy, Settings

KIND: Final = "git-branch"
_HTTPS: Final = 443


@dataclass(slots=True)
class ForeignGit:
    """The reader's own Git server, for one run.

    Attributes:
        service: As pods and the harness reach it.
        branch: The run's.
        journal: Of the run.
        detail: What a sweep needs to remove the branch; the token is not in it.
    """

    service: GitService
    branch: ThrowAwayBranch
    journal: Journal
    detail: Mapping[str, str]
    _entry: Entry | None = field(default=None)

    @classmethod
    def of_run(
        cls, settings: Settings, *, run_id: str, journal: Journal, runner: Runner, scratch: Path, redactor: Redactor
    ) -> Self | None:
        """That of a run; None where its settings name none. Asks nobody.

        Raises:
            UsageError: The settings do not go together, or there is no token.
        """
        git = settings.git
        if git.remote is None:
            return None
        _check(settings)
        token, ca_file = git.secret(), git.authorities()
        try:
            redactor.learn(token.get_secret_value())
        except ValueError as error:
            raise UsageError(f"the Git token cannot be used: {error}") from None
        access = GitAccess(url=git.remote, username=git.username, password=token, ca_file=ca_file)
        return cls(
            service=GitService(git.remote, git.remote, ca_file, git.username, token, admin_password=None),
            branch=ThrowAwayBranch(access, throw_away_branch(run_id), runner, scratch),
            journal=journal,
            detail={
                "remote": git.remote,
                "username": git.username,
                "ca_file": str(ca_file or ""),
                "token_file": str(git.token_file.expanduser().absolute()) if git.token_file else "",
            },
        )

    def settings(self, given: Settings) -> Settings:
        """The settings of the run: its branch for the policy's, and those of other runs none of its business."""
        policy = given.policy
        extra = (*policy.extra_refs, f"refs/heads/{BRANCHES}*")
        changed = policy.model_copy(update={"branch": self.branch.name, "extra_refs": extra})
        return given.model_copy(update={"policy": changed})

    def reachable(self, given: Settings) -> Settings:
        """The settings with the server among what pods may reach, once it has answered and the branch can be made.

        Raises:
            GuardError: It is on this machine's loopback, or the branch cannot be made there.
            EnvironmentFailed: It does not answer, or refuses the token.
        """
        allowed = addresses(self.service.inside)
        self.branch.refuse()
        return given.model_copy(update={"egress_allow": tuple(dict.fromkeys((*given.egress_allow, *allowed)))})

    def put(self, bundle: Path, seeded: Seeded) -> Seeded:
        """Make the branch of a seed, or put a further seed on top of it; returns the seed as it is there.

        Raises:
            GuardError: There is such a branch, and it is not ours.
            EnvironmentFailed: The server does not answer or refused it; with its words.
        """
        if self.branch.made:
            return self.branch.advance(bundle, seeded)
        self._entry = self.journal.record(KIND, self.branch.name, seed=seeded.sha, **self.detail)
        try:
            self.branch.make(bundle, seeded)
        except GuardError:
            self.journal.removed(self._entry)  # it is not ours, and must not be taken for it later
            self._entry = None
            raise
        return seeded

    def remove(self) -> None:
        """Remove the branch, if there is one.

        Raises:
            CleanupFailed: It is still there.
        """
        if self._entry is not None:
            self.branch.seed = self._entry.detail["seed"]
            self.branch.remove()
            self.journal.removed(self._entry)
            self._entry = None


def branch_left(entry: Entry, git: GitSettings, *, runner: Runner, scratch: Path) -> ThrowAwayBranch:
    """The branch that a journal names, for removal.

    Args:
        entry: Of the journal.
        git: The settings of whoever removes it; for the token, where the run had it from no file.
        runner: Runs git.
        scratch: An existing folder.

    Raises:
        CleanupFailed: The entry is damaged, or there is no token for that server.
        GuardError: It names no throw-away branch.
    """
    detail = entry.detail
    if not detail.get("remote") or not detail.get("seed"):
        raise CleanupFailed(f"the journal names the {entry.kind} {entry.name} without its server or its seed")
    access = GitAccess(
        url=detail["remote"],
        username=detail.get("username", git.username),
        password=_token_for(detail, git),
        ca_file=Path(detail["ca_file"]) if detail.get("ca_file") else None,
    )
    return ThrowAwayBranch(access, entry.name, runner, scratch, seed=detail["seed"])


def addresses(url: str) -> tuple[str, ...]:
    """What stands for a server among what pods may reach: each of its IPv4 addresses, at its port.

    Raises:
        EnvironmentFailed: Its name is not known here, or has no such address.
        GuardError: It is on the loopback of this machine, where no pod gets.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _HTTPS
    try:
        found = socket.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EnvironmentFailed(
            f"the Git server {host} has no IPv4 address here: {error}",
            next_step="check the address; pods reach what is outside the cluster by IPv4 alone",
        ) from error
    named = sorted({str(address[0]) for *_, address in found})
    if any(IPv4Address(one).is_loopback for one in named):
        raise GuardError(
            f"the Git server {host} is on this machine's loopback, where no pod reaches it",
            next_step="name it by an address that other machines reach it by",
        )
    return tuple(f"{one}:{port}" for one in named)


def _token_for(detail: Mapping[str, str], git: GitSettings) -> SecretStr:
    """The token for a branch that was left; never one that is for another server."""
    kept, server = detail.get("token_file"), urlsplit(detail["remote"]).netloc
    next_step = f"set HARNESS_GIT__TOKEN to one for {server}, then sweep again"
    if not kept and git.remote is not None and urlsplit(git.remote).netloc != server:
        raise CleanupFailed(
            f"the Git token that is set is for {urlsplit(git.remote).netloc}, and the branch is on {server}",
            next_step=f"{next_step}; and leave out the other server's HARNESS_GIT__REMOTE",
        )
    try:
        return (GitSettings(token_file=Path(kept)) if kept else git).secret()
    except UsageError as error:
        raise CleanupFailed(f"there is no token for {server}: {error.message}", next_step=next_step) from error


def _check(settings: Settings) -> None:
    usual = str(Policy.model_fields["branch"].default)
    if settings.policy.branch != usual:
        raise UsageError(
            f"policy.branch is {settings.policy.branch}, and a run on a Git remote makes a branch of its own, "
            "harness/<run id>",
            next_step=f"leave it out for this run: HARNESS_POLICY__BRANCH={usual}",
        )
    if settings.keep is not Keep.NEVER:
        raise UsageError(
            "a cluster cannot be kept with --git-remote: the branch goes with the run, and Airflow would ask for it",
            next_step="leave out --keep; to keep a cluster, use the harness's own Git server",
        )
