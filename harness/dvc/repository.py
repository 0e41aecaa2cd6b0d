"""The Git remote, read afresh: every reading starts from a new clone, never from what an earlier one left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import EnvironmentFailed
from harness.gitaccess import GitAccess
from harness.process import Runner

_CLONE_SECONDS = 300.0
# What a program's output has for bytes that are no UTF-8 (`Completed.stdout`), in names of files too.
_NO_UTF8 = "\ufffd"
# "<object name> <kind> <bytes>", what git cat-file says of an object; of none, "<what was asked> missing".
_HEADER = 3
# %x00 keeps the fields apart; -z ends each record with another one.
_LOG_FIELDS = ("%H", "%P", "%an", "%ae", "%s", "%ce", "%cn", "%B")

File = tuple[str, str]
"""A file at a commit: the commit's full name, and the file's path."""


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
        said: All that it says of itself: author, committer and the whole message.
    """

    sha: str
    parents: tuple[str, ...]
    author: str
    email: str
    subject: str
    paths: tuple[str, ...]
    committer: str = ""
    said: str = ""

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
    # A commit's files never change, so each is read once.
    _files: dict[File, bytes | None] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    def held(self, shas: Iterable[str]) -> frozenset[str]:
        """Those commits that are in the clone, so reachable from a ref of the remote."""
        wanted = sorted(set(shas))
        kinds = self._kinds([f"{sha}^{{commit}}" for sha in wanted])
        return frozenset(sha for sha, (_, kind) in zip(wanted, kinds, strict=True) if kind)

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` holds all of `old`'s history. False if the remote no longer has `old`."""
        return self._query("merge-base", "--is-ancestor", old, new) is not None

    def commits(self, tips: Collection[str], *, without: Collection[str]) -> tuple[Commit, ...]:
        """Commits reachable from `tips` but not from `without`, parents before children.

        Commits of `without` that the remote no longer has exclude nothing.
        """
        if not tips:
            return ()
        known = [f"^{sha}" for sha in sorted(self.held(without))]
        layout = f"--format={'%x00'.join(_LOG_FIELDS)}"
        out = self._git("log", "-z", "--topo-order", "--reverse", layout, *sorted(set(tips)), *known, "--")
        fields = out.removesuffix("\0").split("\0") if out else []
        records = zip(*[iter(fields)] * len(_LOG_FIELDS), strict=True)
        return tuple(
            Commit(
                sha,
                tuple(parents.split()),
                author,
                email,
                subject,
                self._touched(sha),
                committer,
                f"{author} <{email}>\n{committer_name} <{committer}>\n{message}",
            )
            for sha, parents, author, email, subject, committer, committer_name, message in records
        )

    def trees(self, shas: Iterable[str], path: str) -> dict[str, str]:
        """Object name of a folder or file at each commit that has it: equal names mean equal content."""
        wanted = sorted(set(shas))
        found = self._kinds([f"{sha}:{path}" for sha in wanted])
        return {sha: name for sha, (name, kind) in zip(wanted, found, strict=True) if kind}

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
        self.read_all([(sha, path)])
        return self._files[sha, path]

    def read_all(self, files: Iterable[File]) -> None:
        """Read many files by one program, so that `read` has them at hand."""
        wanted = [one for one in dict.fromkeys(files) if one not in self._files]
        named = [(one, name) for one in wanted for name in self._names(*one)]
        self._files.update(dict.fromkeys(wanted))
        for (one, _), (kind, content) in zip(named, self._objects([name for _, name in named]), strict=True):
            if kind == "blob":
                before = self._files[one]
                self._files[one] = content if before is None else before + b"\n" + content

    def _names(self, sha: str, path: str) -> list[str]:
        """What Git finds the file by, a line each; that of an object, where its path would be no such line."""
        if _NO_UTF8 in path:
            # Git knows no file by the name as it was decoded, so it is found among all.
            return [name for name, listed in self._listed(sha) if listed == path]
        if "\n" in path or path.endswith("\r"):
            found = self._query("rev-parse", "--verify", "--quiet", f"{sha}:{path}")
            return [found.strip()] if found else []
        # Git keeps no such path, and takes it for one below the folder that it runs in.
        return [] if path.startswith(("./", "../")) else [f"{sha}:{path}"]

    def _listed(self, sha: str) -> list[tuple[str, str]]:
        """Object name and path of each file of a commit."""
        entries = (entry.partition("\t") for entry in self._git("ls-tree", "-r", "-z", sha).split("\0") if entry)
        return [(what.split()[2], path) for what, _, path in entries]

    def _kinds(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Object name and kind of what each of these names; empty where there is nothing of that name."""
        if not names:
            return []
        lines = self._ask("--batch-check", names).splitlines()
        found = (line.rsplit(b" ", 2) for line in lines)
        return [
            (parts[0].decode(), parts[1].decode()) if len(parts) == _HEADER and parts[2].isdigit() else ("", "")
            for parts in found
        ]

    def _objects(self, names: Sequence[str]) -> list[tuple[str, bytes]]:
        """Kind and exact bytes of what each of these names; empty where there is nothing of that name.

        Nothing is checked out: no filter and no line end is applied (git-cat-file(1), "BATCH OUTPUT").
        """
        if not names:
            return []
        found: list[tuple[str, bytes]] = []
        said, at = self._ask("--batch", names), 0
        for _ in names:
            end = said.index(b"\n", at)
            parts = said[at:end].rsplit(b" ", 2)
            at = end + 1
            if len(parts) != _HEADER or not parts[2].isdigit():
                found.append(("", b""))
                continue
            size = int(parts[2])
            found.append((parts[1].decode(), said[at : at + size]))
            at += size + 1
        return found

    def _ask(self, form: str, names: Sequence[str]) -> bytes:
        asked = "".join(f"{name}\n" for name in names)
        return self.runner.run(self._argv(["cat-file", form]), env=self.env, cwd=self.path, stdin=asked).raw

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
