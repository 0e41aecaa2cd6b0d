"""The disk budget of the caches: what they hold, what goes when there is too much, and nothing that is not ours.

Ours in an engine are images named `airflow-dvc-harness/...`, images with our owner label, and images that the registry
supply pulled and that still are what it pulled. An image that also has a name of somebody else's only loses our names.
BuildKit's cache carries no owner, so it counts and is pruned only in an engine that the harness started itself.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from harness.errors import CommandFailed, EnvironmentFailed, UsageError
from harness.model import Engine
from harness.names import LABEL_OWNER, OWNER
from harness.process import Runner
from harness.supply.images import REPOSITORY
from harness.supply.inuse import IN_USE_KEY, live_runs
from harness.supply.locks import LOCKS_FOLDER, KeyLocks
from harness.supply.registry_images import PULLED_FILE, Ledger

GB = 1_000_000_000
_LAST_USE_FILE = "last-use.json"
# Folders below the caches that hold nothing that cannot be had again.
FOLDERS = ("tools", "downloads", "helm")
_DOCKER_SECONDS = 300
_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"([0-9.]+)\s*([kKMGT]?B)")

# dockerd's words (moby 20.10, daemon/disk_usage.go) for a question beside another's.
_MEASURING = "a disk usage operation is already running"
_MEASURING_SECONDS = 60


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An image of ours in the engine.

    Attributes:
        id: Its id.
        names: Its names that are ours, with tags.
        foreign: Names that somebody else gave it.
        size: Bytes, layers that it shares included.
        unique: Bytes that go when it goes.
        last_used: When a run last used it; when it was made, if none did since.
        in_use: Whether a container of any state is made from it.
    """

    id: str
    names: tuple[str, ...]
    foreign: tuple[str, ...]
    size: int
    unique: int
    last_used: datetime
    in_use: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What the caches hold, in bytes.

    Attributes:
        images: Ours, the least recently used first.
        image_bytes: All of them, shared layers counted once.
        build_cache_bytes: BuildKit's; 0 in an engine that is not ours.
        folders: By name below the cache folder.
    """

    images: tuple[CachedImage, ...]
    image_bytes: int
    build_cache_bytes: int
    folders: dict[str, int]

    @property
    def total(self) -> int:
        """Everything."""
        return self.image_bytes + self.build_cache_bytes + sum(self.folders.values())


@dataclass(frozen=True, slots=True)
class Eviction:
    """What was removed.

    Attributes:
        removed: Names of images, and "build cache" or a folder's name.
        refused: Images that the engine would not remove, with its reason.
        before: Bytes of the caches before.
        after: Bytes after.
    """

    removed: tuple[str, ...]
    refused: dict[str, str]
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Cache:
    """The caches of this user on this machine.

    Attributes:
        engine: Where images are.
        runner: Runs docker.
        cache_dir: The cache folder.
        now: The time, for tests.
        status: Told what is waited for.
    """

    engine: Engine
    runner: Runner
    cache_dir: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    status: Callable[[str], None] = lambda _text: None

    def touch(self, names: Iterable[str]) -> None:
        """Note that images are used now, by name with tag."""
        stamp = self.now().isoformat(timespec="seconds")
        self._last_use.write(**dict.fromkeys(names, stamp))

    def usage(self) -> Usage:
        """Measure.

        Raises:
            CommandFailed: The engine does not answer.
        """
        data = json.loads(self._df("--verbose"))
        rows = data.get("Images") or []
        images = self._ours(rows)
        ids = {image.id for image in images}
        # Docker says how much all layers hold, and what only one image holds. What foreign images share only among
        # themselves cannot be told apart, so this is at most too high.
        foreign = sum(
            _bytes(size) for key, size in {row["ID"]: row["UniqueSize"] for row in rows}.items() if key not in ids
        )
        everything = self._totals().get("Images", 0)
        whole = max(everything - foreign, 0) if images else 0
        build = self._totals().get("Build Cache", 0) if self.engine.ours else 0
        return Usage(images, min(whole, sum(image.size for image in images)), build, self._folders())

    def evict(self, limit_gb: float, keep: AbstractSet[str] = frozenset()) -> Eviction:
        """Remove what was used longest ago until the caches are below the limit.

        Args:
            limit_gb: In GB of 1e9 bytes.
            keep: Names with tags that are in use. Images of containers, and what live runs have registered as in
                use, are kept in any case.
        """
        with self._alone():
            live = {name for run in live_runs(self.cache_dir) for name in run.names}
            return self._evict(limit_gb, keep | live)

    def _evict(self, limit_gb: float, keep: AbstractSet[str]) -> Eviction:
        limit = int(limit_gb * GB)
        before = usage = self.usage()
        removed: list[str] = []
        refused: dict[str, str] = {}
        while usage.total > limit:
            # Measuring costs seconds: remove by what each image says that it frees, then measure once.
            excess = usage.total - limit
            went = 0
            for image in usage.images:
                if excess > 0 and self._may_go(image, keep, refused):
                    removed += self._remove(image, refused)
                    excess -= image.unique
                    went += 1
            if not went:
                break
            usage = self.usage()
        if usage.total > limit and usage.build_cache_bytes > 0:
            rest = max(limit - (usage.total - usage.build_cache_bytes), 0)
            self._docker("builder", "prune", "--force", "--all", "--keep-storage", str(rest))
            removed.append("build cache")
            usage = self.usage()
        return Eviction(tuple(removed), refused, before.total, usage.total)

    def clear(self, keep: AbstractSet[str] = frozenset()) -> Eviction:
        """Remove all that is not in use. Digests on record stay: later pulls are checked against them.

        Raises:
            UsageError: A run lives and uses the caches.
        """
        with self._alone():
            if live := live_runs(self.cache_dir):
                raise UsageError(
                    "the caches are in use by " + ", ".join(f"run {run.run_id} (process {run.pid})" for run in live),
                    next_step="wait for it to end, then clear them",
                )
            return self._clear(keep)

    def _clear(self, keep: AbstractSet[str]) -> Eviction:
        before = self.usage()
        removed: list[str] = []
        refused: dict[str, str] = {}
        for image in before.images:
            if self._may_go(image, keep, refused):
                removed += self._remove(image, refused)
        if self.engine.ours and before.build_cache_bytes:
            self._docker("builder", "prune", "--force", "--all")
            removed.append("build cache")
        for name, size in before.folders.items():
            if size:
                shutil.rmtree(self.cache_dir / name)
                removed.append(f"{name}/")
        return Eviction(tuple(removed), refused, before.total, self.usage().total)

    def _alone(self) -> AbstractContextManager[None]:
        """No run registers an image as in use, and no other removes one, meanwhile."""
        locks = KeyLocks(self.cache_dir / LOCKS_FOLDER, status=self.status)
        return locks.holding(IN_USE_KEY, "removing old images from the caches")

    @property
    def _last_use(self) -> Ledger:
        return Ledger(self.cache_dir / _LAST_USE_FILE)

    def _ours(self, rows: list[dict[str, str]]) -> tuple[CachedImage, ...]:
        labelled = set(
            self._docker("image", "ls", "--quiet", "--no-trunc", "--filter", f"label={LABEL_OWNER}={OWNER}").split()
        )
        pulled = Ledger(self.cache_dir / PULLED_FILE).read()
        last_use = self._last_use.read()
        by_id: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            by_id.setdefault(row["ID"], []).append(row)
        images = []
        for key, group in by_id.items():
            names = [
                f"{row['Repository']}:{row['Tag']}" for row in group if "<none>" not in (row["Repository"], row["Tag"])
            ]
            ours = [
                name
                for name in names
                if key in labelled or name.startswith(f"{REPOSITORY}/") or pulled.get(name) == key
            ]
            if not ours and key not in labelled:
                continue
            stamps = [_time(last_use[name]) for name in ours if name in last_use] or [_time(group[0]["CreatedAt"])]
            images.append(
                CachedImage(
                    id=key,
                    names=tuple(ours),
                    foreign=tuple(name for name in names if name not in ours),
                    size=_bytes(group[0]["Size"]),
                    unique=_bytes(group[0]["UniqueSize"]),
                    last_used=max(stamps),
                    in_use=group[0]["Containers"] not in ("0", "N/A"),
                )
            )
        return tuple(sorted(images, key=lambda image: (image.last_used, image.names)))

    def _may_go(self, image: CachedImage, keep: AbstractSet[str], refused: dict[str, str]) -> bool:
        return not image.in_use and not (keep & {*image.names, image.id}) and image.id not in refused

    def _remove(self, image: CachedImage, refused: dict[str, str]) -> list[str]:
        """Take our names away; the image goes with the last one. Never by force."""
        names = list(image.names)
        if not image.foreign:
            # A pull by digest leaves names without a tag, at the mirror too; the image would stay for them.
            listed = self._docker("image", "inspect", "--format", "{{json .RepoDigests}}", image.id, check=False)
            names += json.loads(listed) or [] if listed.strip() else []
        removed = []
        for name in names or [image.id]:
            try:
                self._docker("image", "rm", name)
            except CommandFailed as error:
                # The last tag of a repository takes its digest names with it.
                if "No such image" not in error.stderr:
                    refused[image.id] = error.stderr.strip()
                    break
            else:
                removed.append(name)
        if image.foreign:
            refused[image.id] = f"also named {', '.join(image.foreign)}"
        return removed

    def _totals(self) -> dict[str, int]:
        lines = self._df().splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        return {row["Type"]: _bytes(row["Size"]) for row in rows}

    def _folders(self) -> dict[str, int]:
        return {name: _disk(self.cache_dir / name) for name in FOLDERS}

    def _df(self, *options: str) -> str:
        """What the engine holds. It measures for one who asks at a time, and refuses all others meanwhile."""
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _MEASURING in str(error)),
            stop=stop_after_delay(_MEASURING_SECONDS),
            wait=wait_fixed(0.5),
            reraise=True,
        )
        return retrying(self._docker, "system", "df", *options, "--format", "{{json .}}")

    def _docker(self, *arguments: str, check: bool = True) -> str:
        command: list[str | Path] = [self.engine.docker, *arguments]
        return self.runner.run(command, env=self.engine.env, timeout=_DOCKER_SECONDS, check=check).stdout


def _bytes(text: str) -> int:
    """What Docker's "1.06GB" means.

    Raises:
        EnvironmentFailed: It is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise EnvironmentFailed(f"the engine's client gives a size as {text!r}, which is not understood")
    return int(float(found[1]) * _UNITS[found[2]])


def _time(text: str) -> datetime:
    """A time as we write it, or as Docker does: "2026-11-21 05:00:40 +0000 UTC"."""
    parts = text.split()
    if len(parts) == 1:
        return datetime.fromisoformat(text)
    return datetime.strptime(" ".join(parts[:3]), "%Y-%m-%d %H:%M:%S %z")


def _disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
