"""A throw-away branch on a Git server that is not the harness's: looked at, made, seeded again, removed.

Nobody is an administrator there. So nothing is reset on the server's side, history is only added to (a further seed is
a commit on top of the last), and nobody tells when a push came. All goes by git itself, over HTTPS, as its user.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from harness.errors import CleanupFailed, CommandFailed, EnvironmentFailed, GuardError
from harness.git_settings import BRANCHES, is_throw_away
from harness.gitaccess import GitAccess
from harness.model import Seeded
from harness.process import Runner

_SECONDS: Final = 120.0
_SEED: Final = "refs/harness/seed"
_IDENTITY: Final = ("-c", "user.name=Harness", "-c", "user.email=harness@example.invalid")
# The server's own words, at most; on one line each.
_WORDS: Final = 1000


_RUN: Final = "Harness-Run"
_EXPIRES: Final = "Harness-Expires"


def trailers(run_id: str, expires: str) -> dict[str, str]:
    """What the seed of a run says of itself, for a sweep that has no journal of it."""
    return {_RUN: run_id, _EXPIRES: expires}


def branches(access: GitAccess, runner: Runner) -> list[str]:
    """Names of the branches of a repository that begin as throw-away branches do.

    Raises:
        EnvironmentFailed: The server does not answer, or refuses the token.
    """
    heads = f"refs/heads/{BRANCHES}"
    return sorted(f"{BRANCHES}{ref.removeprefix(heads)}" for ref in listed(access, runner)[0] if ref.startswith(heads))


@dataclass(slots=True)
class ThrowAwayBranch:
    """The branch of one run.

    Attributes:
        access: The repository.
        name: Of the branch, `harness/<run id>`.
        runner: Runs git.
        scratch: An existing folder for what is made on the way.
        seed: The first commit that it had, as far as that is known: what makes it ours.
        made: Whether this very object has made it.
    """

    access: GitAccess
    name: str
    runner: Runner
    scratch: Path
    seed: str = ""
    made: bool = field(default=False)

    def __post_init__(self) -> None:
        """Hold the name to be one of ours, whatever is done with it.

        Raises:
            GuardError: It is not.
        """
        if not is_throw_away(self.name):
            raise GuardError(f"{self.name!r} is no throw-away branch of the harness: those are called harness/<run id>")

    @property
    def ref(self) -> str:
        """Its full name."""
        return f"refs/heads/{self.name}"

    def refuse(self) -> None:
        """See by asking alone that it can be made.

        Raises:
            EnvironmentFailed: The server does not answer, or refuses the token.
            GuardError: There is such a branch, or it is or would become the repository's default.
        """
        refs, head = self._listed()
        if head == self.ref:
            raise GuardError(
                f"{self.name} is the default branch of {self.access.url}",
                next_step="have another branch for the default there: what a run makes, it removes",
            )
        if not any(ref.startswith("refs/heads/") for ref in refs):
            raise GuardError(
                f"{self.access.url} has no branch: the first one that is pushed would become its default",
                next_step="push a first commit to its default branch, then run again",
            )
        if self.ref in refs:
            raise GuardError(
                f"there is a branch {self.name} on {self.access.url}, and this run has not made it",
                evidence={"it is at": refs[self.ref]},
                next_step="run again: each run has a branch of its own",
            )

    def make(self, bundle: Path, seeded: Seeded) -> None:
        """Push the first seed, as a branch that was not there.

        Raises:
            GuardError: There is such a branch by now.
            EnvironmentFailed: The server does not answer or refused it; with its words.
        """
        with self._room(bundle, seeded) as room:
            # With nothing behind the colon: the branch must not be there (git-push(1), --force-with-lease).
            self._push(room, f"{_SEED}:{self.ref}", lease="", what=f"to make the branch {self.name}")
        self.seed, self.made = seeded.sha, True

    def advance(self, bundle: Path, seeded: Seeded) -> Seeded:
        """Put a further seed on top: the same files, with what is there as its past; returns it as it is there.

        Raises:
            EnvironmentFailed: The branch is gone, or the server does not answer or refused it; with its words.
        """
        with self._room(bundle, seeded) as room:
            tip = self._fetch(room)
            if tip is None:
                raise EnvironmentFailed(
                    f"the branch {self.name} is gone from {self.access.url}: the run did not do that"
                )
            message = ("commit-tree", f"{_SEED}^{{tree}}", "-p", tip, "-m", "Seed of the run")
            sha = self._git(room, *_IDENTITY, *message).strip()
            self._push(room, f"{sha}:{self.ref}", lease=tip, what=f"to seed the branch {self.name}")
        return replace(seeded, sha=sha)

    def remove(self) -> bool:
        """Remove it, if it is there and ours; whether there is none any more that is ours.

        Ours is what this object has made, and what has the seed in its history.

        Returns:
            False where the branch of that name is somebody else's: then it is left.

        Raises:
            CleanupFailed: The server does not answer or refused it; with its words.
        """
        try:
            tip = self._listed()[0].get(self.ref)
            if tip is None:
                return True
            with self._room() as room:
                if not self.made and not self._holds_seed(room, tip):
                    return False
                self._push(room, f":{self.ref}", lease=tip, what=f"to remove the branch {self.name}")
        except EnvironmentFailed as error:
            raise CleanupFailed(
                f"the branch {self.name} is still on {self.access.url}: {error.message}",
                evidence=error.evidence,
                next_step=f"harness sweep, or there by hand: git push {self.access.url} --delete {self.name}",
            ) from error
        return True

    def _holds_seed(self, room: Path, tip: str) -> bool:
        if not self.seed:
            return False
        if tip == self.seed:
            return True
        self._fetch(room, whole=True)
        git = ["git", f"--git-dir={room}", "merge-base", "--is-ancestor", self.seed, tip]
        return self.runner.run(git, env=self.access.env, check=False, timeout=_SECONDS).code == 0

    def seeds(self) -> dict[str, str]:
        """The commits in its history that say that they are the seed of its run, each with its time of expiry.

        Raises:
            EnvironmentFailed: The server does not answer, or refuses the token.
            CommandFailed: It does not send the branch.
        """
        run = self.name.removeprefix(BRANCHES)
        parts = ("%H", *(f"%(trailers:key={key},valueonly,separator=%x2C)" for key in (_RUN, _EXPIRES)))
        with self._room() as room:
            tip = self._fetch(room, whole=True)
            if tip is None:
                return {}
            said = self._git(room, "log", "--format=" + "%x1f".join(parts), tip)
        lines = (line.split("\x1f") for line in said.splitlines())
        return {sha: expires for sha, of, expires in lines if of == run}

    def _listed(self) -> tuple[Mapping[str, str], str]:
        return listed(self.access, self.runner)

    @contextmanager
    def _room(self, bundle: Path | None = None, seeded: Seeded | None = None) -> Iterator[Path]:
        """A bare repository for a while, with the seed of a bundle in it."""
        with tempfile.TemporaryDirectory(prefix="branch-", dir=self.scratch) as folder:
            room = Path(folder)
            self.runner.run(["git", "init", "--quiet", "--bare", "--template=", room], env=self.access.env)
            if bundle is not None and seeded is not None:
                self._git(room, "fetch", "--quiet", str(bundle), f"refs/heads/{seeded.branch}:{_SEED}")
            yield room

    def _fetch(self, room: Path, *, whole: bool = False) -> str | None:
        """Have the branch in a room; its tip, or None where there is none."""
        tip = self._listed()[0].get(self.ref)
        if tip is not None:
            depth = [] if whole else ["--depth=1"]
            self._git(room, "fetch", "--quiet", "--no-tags", *depth, self.access.url, self.ref)
        return tip

    def _push(self, room: Path, change: str, *, lease: str, what: str) -> None:
        try:
            self._git(room, "push", "--porcelain", f"--force-with-lease={self.ref}:{lease}", self.access.url, change)
        except CommandFailed as error:
            if "stale info" in error.stdout + error.stderr:
                raise GuardError(
                    f"the branch {self.name} on {self.access.url} is not as it was: somebody else has pushed it",
                    next_step="run again: each run has a branch of its own",
                ) from error
            raise EnvironmentFailed(
                f"the Git server refused {what}",
                evidence={"git": _words(error)},
                next_step="the token needs the right to write there; if branches are protected, leave out harness/*",
            ) from error

    def _git(self, room: Path, *arguments: str) -> str:
        argv: Sequence[str] = ["git", f"--git-dir={room}", *arguments]
        return self.runner.run(argv, env=self.access.env, timeout=_SECONDS).stdout


def listed(access: GitAccess, runner: Runner) -> tuple[Mapping[str, str], str]:
    """Commits by ref, and the name of the default branch's; nothing of that where the server does not say.

    Raises:
        EnvironmentFailed: The server does not answer, or refuses the token.
    """
    try:
        said = runner.run(["git", "ls-remote", "--symref", access.url], env=access.env, timeout=_SECONDS).stdout
    except CommandFailed as error:
        raise EnvironmentFailed(
            f"the Git server does not let {access.username} read {access.url}",
            evidence={"git": _words(error)},
            next_step="check the address, git.username, the token and its rights (read and write), and git.ca_file",
        ) from error
    head, refs = "", {}
    for what, _, name in (line.partition("\t") for line in said.splitlines()):
        if what.startswith("ref: ") and name == "HEAD":
            head = what.removeprefix("ref: ")
        else:
            refs[name] = what
    return refs, head


def _words(error: CommandFailed) -> str:
    return "\n".join(line for line in (error.stdout + "\n" + error.stderr).splitlines() if line.strip())[-_WORDS:]
