"""A bare repository on the server's side: its rules, its push log, its re-seeding."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import post_receive
from .settings import SettingsError

DEFAULT_BRANCH: Final = "main"
REMOVED: Final = "removed-"
_RULES: Final = "harness.gitconfig"
_GIT_SECONDS: Final = 120

# The rules of a shared repository: history is only added to, and what comes in is checked.
# Any commit can be asked for by its SHA and partial clones work, as on GitHub.
_CONFIGURATION: Final = {
    "http.receivepack": "true",
    "receive.denyNonFastForwards": "true",
    "receive.denyDeletes": "true",
    "receive.fsckObjects": "true",
    "receive.autogc": "false",
    "gc.auto": "0",
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
}


class ReseedError(Exception):
    """The body is not a bundle that this repository can be reset to; nothing was changed."""


def git_program() -> str:
    """Path of git.

    Raises:
        SettingsError: There is none.
    """
    found = shutil.which("git")
    if found is None:
        raise SettingsError("git is not on PATH")
    return found


@functools.cache
def backend_program() -> str:
    """Path of git's CGI program: `git http-backend` would be one more process for each request.

    Raises:
        SettingsError: There is no git.
    """
    asked = [git_program(), "--exec-path"]
    found = subprocess.run(asked, env=git_environment(), capture_output=True, text=True, check=True)
    return str(Path(found.stdout.rstrip("\n")) / "git-http-backend")


def git_environment() -> dict[str, str]:
    """The whole environment of every git: nothing of the server's own, no configuration but the repository's."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


@dataclass(slots=True)
class Repository:
    """One bare repository.

    Attributes:
        path: Its folder, `<root>/<name>.git`.
    """

    path: Path
    _reseeding: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """Such as `mlops.git`."""
        return self.path.name

    def prepare(self) -> None:
        """Create it if it is not there, and bring its rules and its hook up to date."""
        if not (self.path / "HEAD").is_file():
            self.path.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", f"--initial-branch={DEFAULT_BRANCH}", "--template=", ".")
        # In a file of their own: one git, not one for each rule.
        rules = "".join(
            f"[{section}]\n\t{key} = {value}\n"
            for (section, key), value in ((name.split("."), value) for name, value in _CONFIGURATION.items())
        )
        (self.path / _RULES).write_text(rules, encoding="utf-8")
        self._git("config", "include.path", _RULES)
        self._own_hooks()

    def refs(self) -> dict[str, str]:
        """The commit or tag object of every ref."""
        listed = self._git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split(" ", 1) for line in listed.splitlines())

    def pushes(self) -> bytes:
        """The push log: one JSON object a line."""
        try:
            return (self.path / post_receive.PUSH_LOG).read_bytes()
        except FileNotFoundError:
            return b""

    def reseed(self, bundle: Path, *, by: str) -> dict[str, dict[str, str]]:
        """Make the refs exactly those of a bundle, in one transaction, and the hooks our own.

        A hook that a test has put there, and was killed before it took it away, would refuse the next run's pushes.

        Objects come in first; if anything about them or the refs is wrong, the refs stay as they were. HEAD
        follows: to `main` if the bundle has it, else to its only branch.

        Returns:
            The refs before and after.

        Raises:
            ReseedError: It is not a complete bundle, has no branch to check out, or a ref is held by a push.
        """
        with self._reseeding:
            heads = self._heads(bundle)
            branches = [ref for ref in heads if ref.startswith("refs/heads/")]
            default = f"refs/heads/{DEFAULT_BRANCH}"
            if default not in heads and len(branches) != 1:
                raise ReseedError(f"the bundle must hold {default} or exactly one branch; it holds {sorted(heads)}")
            head = default if default in heads else branches[0]
            before = self.refs()
            self._own_hooks()
            self._checked("-c", "fetch.fsckObjects=true", "bundle", "unbundle", str(bundle))
            changes = [f"delete {ref}" for ref in before if ref not in heads]
            changes += [f"update {ref} {sha}" for ref, sha in heads.items()]
            self._checked("update-ref", "--stdin", stdin="\n".join(["start", *changes, "prepare", "commit", ""]))
            if (self.path / "HEAD").read_text(encoding="utf-8") != f"ref: {head}\n":
                self._checked("symbolic-ref", "HEAD", head)
            none = "0" * len(next(iter(heads.values())))
            moved = sorted(ref for ref in before.keys() | heads.keys() if before.get(ref) != heads.get(ref))
            post_receive.note(
                self.path,
                [(before.get(ref, none), heads.get(ref, none), ref) for ref in moved],
                event="reseed",
                pusher=by,
            )
            return {"before": before, "after": self.refs()}

    def remove(self, *, if_empty: bool = False) -> bool:
        """Remove it from the disk; whether it was.

        What still reads or writes it ends with an error of its own: it is moved aside first, so that a repository of
        the same name can be made at once.

        Args:
            if_empty: Leave it if it has a ref.
        """
        with self._reseeding:
            if if_empty and self.refs():
                return False
            aside = Path(tempfile.mkdtemp(prefix=REMOVED, dir=self.path.parent))
            self.path.rename(aside / self.path.name)
        # A git that still writes there may bring a file back; what is left goes with the next `sweep_removed`.
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def _own_hooks(self) -> None:
        """Have the one hook that notes pushes, and no other."""
        hook = self.path / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        for entry in hook.parent.iterdir():
            if entry != hook:
                entry.unlink()
        text = f"#!/bin/sh\nexec {shlex.join([sys.executable, '-I', post_receive.__file__])}\n"
        # A push may be running it.
        if not hook.exists() or hook.read_text(encoding="utf-8") != text:
            hook.write_text(text, encoding="utf-8")
            hook.chmod(0o755)

    def _heads(self, bundle: Path) -> dict[str, str]:
        listed = self._checked("bundle", "list-heads", str(bundle))
        heads = {ref: sha for sha, ref in (line.split(" ", 1) for line in listed.splitlines())}
        return {ref: sha for ref, sha in heads.items() if ref.startswith("refs/")}

    def _checked(self, *arguments: str, stdin: str = "") -> str:
        """Run git on what a client sent; its refusal is the client's to know."""
        try:
            return self._git(*arguments, stdin=stdin)
        except subprocess.CalledProcessError as error:
            raise ReseedError(error.stderr.strip() or f"git {arguments[0]} failed") from error

    def _git(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [git_program(), *arguments],
            cwd=self.path,
            env=git_environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_SECONDS,
        )
        return done.stdout
