"""One round of git-sync: fetch, a worktree for the commit, the flip of the symlink, and what is stale removed.

The layout is git-sync v4's: `<root>/.git`, `<root>/.worktrees/<commit>` and a relative symlink to the latter.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from os.path import basename, dirname, exists, isdir, islink, join, relpath
from typing import NamedTuple

from . import log
from .git import Git, GitError
from .settings import Settings

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# How git takes a short name for a ref (gitrevisions(7)).
_FULL_NAMES = ("{}", "refs/{}", "refs/tags/{}", "refs/heads/{}", "refs/remotes/{}", "refs/remotes/{}/HEAD")
_BRANCH = "refs/heads/git-sync"


class Round(NamedTuple):
    """What one round came to.

    Attributes:
        commit: The commit that is current.
        changed: Whether it was made current in this round.
    """

    commit: str
    changed: bool


class Sync:
    """A folder that follows a ref.

    Args:
        settings: Which folder, repository and ref.
        git: Runs git.
        published: Called as soon as a commit is current.
    """

    def __init__(self, settings: Settings, git: Git, published: Callable[[], None]) -> None:
        self._settings = settings
        self._git = git
        self._published = published
        self._worktrees = join(settings.root, ".worktrees")
        self._count = 0

    def round(self) -> Round:
        """Bring the folder up to date.

        Raises:
            GitError: git failed or the time is over.
            OSError: The volume cannot be written.
        """
        settings = self._settings
        self._git.limit(settings.sync_timeout)
        current = self._current()
        if self._count and current and self._remote() == current and self._whole(current):
            return Round(current, changed=False)
        if not self._count:
            self._prepare()
            current = self._current()
        commit = self._fetch()
        changed = commit != current or not self._whole(commit)
        if changed or not self._count:
            log.info("update required", ref=settings.ref, local=current, remote=commit, syncCount=self._count)
            self._publish(commit, changed=changed)
        return Round(commit, changed=changed)

    def clean(self) -> None:
        """Remove worktrees that are no longer current, and what only they needed.

        Raises:
            GitError: git failed or the time is over.
            OSError: The volume cannot be written.
        """
        current = self._current()
        stale = [entry.path for entry in self._stale() if entry.name != current]
        for path in stale:
            shutil.rmtree(path)
        if not stale:
            return
        self._git.run(self._settings.root, "worktree", "prune")
        if self._settings.gc != "off":
            how = [] if self._settings.gc == "always" else [f"--{self._settings.gc}"]
            self._git.run(self._settings.root, "gc", "--quiet", *how)

    def _current(self) -> str:
        """The commit that the link points at, by its name; empty if it points at none."""
        link = self._settings.link
        name = basename(os.readlink(link)) if islink(link) else ""
        return name if _COMMIT.fullmatch(name) else ""

    def _whole(self, commit: str) -> bool:
        worktree = join(self._worktrees, commit)
        return os.path.realpath(self._settings.link) == worktree and exists(join(worktree, ".git"))

    def _stale(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._worktrees) as entries:
            for entry in entries:
                if time.time() - entry.stat(follow_symlinks=False).st_mtime >= self._settings.stale_timeout:
                    yield entry

    def _remote(self) -> str:
        """The commit that the ref names at the server now; empty if that is not to be known without a fetch."""
        ref = self._settings.ref
        lines = self._git.run(self._settings.root, "ls-remote", "--", self._settings.repo, ref, f"{ref}^{{}}")
        commits = {name: commit for commit, _, name in (line.partition("\t") for line in lines.splitlines())}
        for form in _FULL_NAMES:
            name = form.format(ref)
            if name in commits:
                return commits.get(f"{name}^{{}}", commits[name])  # of an annotated tag, the commit
        return ""

    def _prepare(self) -> None:
        """Make the repository, unless one is there that git can use: a container may start on a used volume."""
        root = self._settings.root
        if not self._usable():
            if os.listdir(root):
                log.info("repo directory was empty or failed checks", path=root)
            _empty(root)
            self._git.run(root, "init", "--quiet", "--template=", "--initial-branch=git-sync")
        # Submodules with relative URLs are found from it.
        self._git.run(root, "config", "remote.origin.url", self._settings.repo)

    def _usable(self) -> bool:
        root = self._settings.root
        git_folder = join(root, ".git")
        if not isdir(git_folder) or exists(join(git_folder, "shallow.lock")):
            return False
        try:
            self._git.run(root, "fsck", "--no-progress", "--connectivity-only")
            return self._git.run(root, "rev-parse", "--show-toplevel") == root
        except GitError as error:
            log.error("repo directory failed checks", error, path=root)
            return False

    def _fetch(self) -> str:
        root, depth = self._settings.root, self._settings.depth
        how = [f"--depth={depth}"] if depth else []
        if not depth and exists(join(root, ".git", "shallow")):
            how = ["--unshallow"]
        target = ["--", self._settings.repo, self._settings.ref]
        self._git.run(root, "fetch", "--quiet", "--prune", "--no-auto-gc", *how, *target)
        return self._git.run(root, "rev-parse", "FETCH_HEAD^{}")

    def _publish(self, commit: str, *, changed: bool) -> None:
        settings = self._settings
        before = os.path.realpath(settings.link) if islink(settings.link) else ""
        # Keeps the commit from being collected, and makes the next fetch cheap.
        self._git.run(settings.root, "update-ref", _BRANCH, commit)
        worktree = join(self._worktrees, commit)
        if changed:
            self._add_worktree(worktree, commit)
        else:
            self._git.run(worktree, "reset", "--quiet", "--hard", commit, "--")
        self._update_submodules(worktree)
        if changed:
            _point(settings.link, worktree)
            if before and before != worktree and isdir(before):
                os.utime(before)  # its age as a stale worktree counts from now
        self._published()
        self._count += 1
        log.info("updated successfully", ref=settings.ref, remote=commit, hash=commit, syncCount=self._count)

    def _add_worktree(self, worktree: str, commit: str) -> None:
        if exists(worktree):  # an earlier round did not come to its end
            shutil.rmtree(worktree)
        self._git.run(self._settings.root, "worktree", "prune")
        self._git.run(self._settings.root, "worktree", "add", "--quiet", "--force", "--detach", "--", worktree, commit)
        # The reference to the repository becomes relative: other containers mount the volume elsewhere.
        reference = join(worktree, ".git")
        with open(reference, encoding="utf-8") as file:
            git_folder = file.read().removeprefix("gitdir: ").rstrip("\n")
        with open(reference, "w", encoding="utf-8") as file:
            file.write(f"gitdir: {relpath(git_folder, worktree)}\n")

    def _update_submodules(self, worktree: str) -> None:
        if self._settings.submodules == "off" or not exists(join(worktree, ".gitmodules")):
            return
        how = ["--recursive"] if self._settings.submodules == "recursive" else []
        if self._settings.depth:
            how.append(f"--depth={self._settings.depth}")
        self._git.run(worktree, "submodule", "--quiet", "update", "--init", *how)


def _point(link: str, worktree: str) -> None:
    """Flip the link: whoever reads through it sees the old worktree or the new one, never neither."""
    folder = dirname(link)
    os.makedirs(folder, mode=0o775, exist_ok=True)
    new = join(folder, "tmp-link")
    with suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(relpath(worktree, folder), new)
    os.replace(new, link)


def _empty(folder: str) -> None:
    """Remove what is in a folder but not the folder, which may be where a volume is mounted."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
