"""The Git remote, read afresh: every reading starts from a new clone, never from what an earlier one left."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EnvironmentFailed
from harness.gitaccess import GitAccess
from harness.process import Runner

_CLONE_SECONDS = 300.0
# What a program's output has for bytes that are no UTF-8 (`Completed.stdout`), in names of files too.
_NO_UTF8 = "\ufffd"
# %x00 keeps the fields apart; -z ends each record with another one.
_LOG_FIELDS = ("%H", "%P", "%an", "%ae", "%s", "%ce")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit.

    Attributes:
        sha: Its full name.
        parents: Full names, first parent first.
        author: Name.
        email: The author's e-mail address.
        subject: First line of its message.
        paths: What it touches; of a merge only what differs from every parent.
        committer: The committer's e-mail address.
    """

    sha: str
    parents: tuple[str, ...]
    author: str
    email: str
    subject: str
    paths: tuple[str, ...]
    committer: str = ""

    @property
    def is_merge(self) -> bool:
        """Whether it has several parents."""
        return len(self.parents) > 1


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare clone, with every branch and tag of the remote as it was when it was made.

    Attributes:
        path: Its folder.
        runner: Runs git.
        env: As in `GitAccess.env`.
    """

    path: Path
    runner: Runner
    env: Mapping[str, str]

    @classmethod
    def clone(cls, runner: Runner, access: GitAccess, into: Path) -> Repository:
        """Clone the remote with all its refs into a folder that does not exist yet.

        Raises:
            EnvironmentFailed: The remote does not answer or refuses.
        """
        runner.run(
            ["git", "clone", "--quiet", "--mirror", access.url, into],
            env=access.env,
            timeout=_CLONE_SECONDS,
            next_step="check that the Git server answers and that the credentials may read the repository",
        )
        return cls(into, runner, access.env)

    def refs(self) -> dict[str, str]:
        """Commit by full ref name (`refs/heads/main`); an annotated tag stands for the commit it names."""
        lines = self._git("for-each-ref", "--format=%(refname)%00%(objectname)%00%(*objectname)").splitlines()
        fields = (line.split("\0") for line in lines)
        return {name: peeled or own for name, own, peeled in fields}

    def branch(self, name: str) -> str | None:
        """Tip of a branch, or None if there is none."""
        return self.refs().get(f"refs/heads/{name}")

    def has(self, sha: str) -> bool:
        """Whether this commit is in the clone, so reachable from a ref of the remote."""
        return self._query("cat-file", "-e", f"{sha}^{{commit}}") is not None

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` holds all of `old`'s history. False if the remote no longer has `old`."""
        return self.has(old) and self._query("merge-base", "--is-ancestor", old, new) is not None

    def commits(self, tips: Collection[str], *, without: Collection[str]) -> tuple[Commit, ...]:
        """Commits reachable from `tips` but not from `without`, parents before children.

        Commits of `without` that the remote no longer has exclude nothing.
        """
        if not tips:
            return ()
        known = [f"^{sha}" for sha in sorted(set(without)) if self.has(sha)]
        layout = f"--format={'%x00'.join(_LOG_FIELDS)}"
        out = self._git("log", "-z", "--topo-order", "--reverse", layout, *sorted(set(tips)), *known, "--")
        fields = out.removesuffix("\0").split("\0") if out else []
        records = zip(*[iter(fields)] * len(_LOG_FIELDS), strict=True)
        return tuple(
            Commit(sha, tuple(parents.split()), author, email, subject, self._touched(sha), committer)
            for sha, parents, author, email, subject, committer in records
        )

    def said(self, sha: str) -> str:
        """What a commit says of itself: its whole message, author and committer."""
        return self._git("log", "-1", "--format=%an <%ae>%n%cn <%ce>%n%B", sha, "--")

    def tree(self, sha: str, path: str) -> str | None:
        """Object name of a folder or file at a commit: equal names mean equal content. None if it is not there."""
        found = self._query("rev-parse", "--verify", "--quiet", f"{sha}:{path}")
        return found.strip() if found else None

    def files(self, sha: str, folder: str) -> dict[str, str]:
        """What names the exact bytes and the mode of each file of a folder at a commit, by path; nothing of a file."""
        entries = self._git("ls-tree", "-r", "-l", "-z", sha, "--", f"{folder}/").split("\0")
        found = (entry.partition("\t") for entry in entries if entry)
        # Such as "100644 blob 3b18e512dba79e4c8300dd08aeb37f8e728b8dad      12".
        parts = ((path, what.split()) for what, _, path in found)
        return {path: f"{name}, {size} bytes, mode {mode}" for path, (mode, _, name, size) in parts}

    def read(self, sha: str, path: str) -> bytes | None:
        """Exact bytes of a file at a commit; None if it is not there, or no file.

        Names differ in bytes that are no UTF-8 without a difference here: of several such files, the bytes of all.
        """
        found = [self._content(blob) for blob in self._blobs(sha, path)]
        return b"\n".join(found) if found else None

    def _blobs(self, sha: str, path: str) -> list[str]:
        if _NO_UTF8 in path:
            # Git knows no file by the name as it was decoded, so it is found among all.
            entries = (entry.partition("\t") for entry in self._git("ls-tree", "-r", "-z", sha).split("\0"))
            named = (what.split() for what, _, name in entries if name == path)
            return [blob for _mode, kind, blob in named if kind == "blob"]
        blob = self.tree(sha, path)
        # A submodule's commit has a name, but is no object of this repository.
        return [blob] if blob and (self._query("cat-file", "-t", blob) or "").strip() == "blob" else []

    def _content(self, blob: str) -> bytes:
        # unpack-file writes the blob as it is, without the filters and line ends of a checkout.
        written = self.path / self._git("unpack-file", blob).strip()
        try:
            return written.read_bytes()
        finally:
            written.unlink()

    def _touched(self, sha: str) -> tuple[str, ...]:
        out = self._git(
            "diff-tree",
            "-c",
            "-r",
            "-z",
            "--root",
            "--no-commit-id",
            "--no-renames",
            "--no-ext-diff",
            "--name-only",
            sha,
        )
        return tuple(path for path in out.split("\0") if path)

    def _git(self, *arguments: str) -> str:
        return self.runner.run(self._argv(arguments), env=self.env, cwd=self.path).stdout

    def _query(self, *arguments: str) -> str | None:
        """Output of a command that says no by its exit code."""
        completed = self.runner.run(self._argv(arguments), env=self.env, cwd=self.path, check=False)
        return completed.stdout if completed.code == 0 else None

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        return ["git", f"--git-dir={self.path}", *arguments]


def check_out(runner: Runner, access: GitAccess, *, sha: str, into: Path) -> None:
    """Clone the remote with a working tree at one commit.

    Raises:
        EnvironmentFailed: The remote does not answer, or does not have that commit.
    """
    if into.exists():
        raise EnvironmentFailed(f"a clean clone needs a folder of its own, but {into} exists")
    runner.run(
        ["git", "clone", "--quiet", "--no-checkout", access.url, into],
        env=access.env,
        timeout=_CLONE_SECONDS,
        next_step="check that the Git server answers and that the credentials may read the repository",
    )
    runner.run(["git", "checkout", "--quiet", "--detach", sha], env=access.env, cwd=into)
