"""The repositories of a server: those that last, and scratch ones that the admin makes and removes while it runs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .repository import REMOVED, Repository, ReseedError
from .settings import SCRATCH

# Each holds a few files only; a client that forgets to remove them must not fill the disk.
MOST_SCRATCH: Final = 128


class RefusedError(Exception):
    """The repositories may not be changed this way; nothing was."""


class TooManyError(RefusedError):
    """There are as many scratch repositories as there may be."""


class Registry:
    """Repositories by name. Safe to share between threads.

    Scratch repositories that are on the disk already are served again: a restarted server is the same server.

    Args:
        root: Folder of the repositories.
        lasting: Names of those that last; made if they are not there.
    """

    def __init__(self, root: Path, lasting: Iterable[str]) -> None:
        self._root = root
        self._lasting = frozenset(lasting)
        self._lock = threading.Lock()
        self._sweep_removed()
        found = (path.name for path in root.iterdir() if path.is_dir() and SCRATCH.fullmatch(path.name))
        self._repositories = {name: Repository(root / name) for name in (*sorted(self._lasting), *sorted(found))}
        for repository in self._repositories.values():
            repository.prepare()

    def get(self, name: str) -> Repository | None:
        """The repository of that name, or None."""
        with self._lock:
            return self._repositories.get(name)

    def all(self) -> tuple[Repository, ...]:
        """Every repository there is now."""
        with self._lock:
            return tuple(self._repositories.values())

    def may_be(self, name: str) -> bool:
        """Whether there is a repository of that name, or one may be made."""
        return self.get(name) is not None or SCRATCH.fullmatch(name) is not None

    def reseed(self, name: str, bundle: Path, *, by: str) -> dict[str, dict[str, str]]:
        """Reset a repository to a bundle; a scratch one is made if it is not there.

        With a lasting repository begins a new run, which has no use for the scratch ones of an earlier one: they go.

        Raises:
            KeyError: There is none of that name, and none may be made.
            TooManyError: There are too many already.
            ReseedError: The bundle was refused; a repository that was made for it is gone again.
        """
        repository = self._made(name)
        try:
            result = repository.reseed(bundle, by=by)
        except ReseedError:
            if name not in self._lasting:
                with self._lock:
                    if repository.remove(if_empty=True):
                        self._repositories.pop(name, None)
            raise
        if name in self._lasting:
            for other in self.all():
                if other.name not in self._lasting:
                    self.remove(other.name)
            self._sweep_removed()
        return result

    def remove(self, name: str) -> bool:
        """Remove a scratch repository; whether there was one.

        Raises:
            RefusedError: It is one that lasts.
        """
        if name in self._lasting:
            raise RefusedError(f"{name} is no scratch repository")
        with self._lock:
            repository = self._repositories.pop(name, None)
            # Within the lock: the next one of this name must not be made in a folder that is about to go.
            return repository is not None and repository.remove()

    def _made(self, name: str) -> Repository:
        with self._lock:
            if name in self._repositories:
                return self._repositories[name]
            if not SCRATCH.fullmatch(name):
                raise KeyError(name)
            if len(self._repositories) - len(self._lasting) >= MOST_SCRATCH:
                raise TooManyError(f"there are {MOST_SCRATCH} scratch repositories already; remove some")
            repository = Repository(self._root / name)
            repository.prepare()
            self._repositories[name] = repository
            return repository

    def _sweep_removed(self) -> None:
        for leftover in self._root.glob(f"{REMOVED}*"):
            shutil.rmtree(leftover, ignore_errors=True)  # it is served to nobody, and tried again at the next run
