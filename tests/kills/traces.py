"""What there is on a machine that a run could leave behind or take away, as a set of lines to be compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.model import Engine
from harness.orphans import VARIABLE
from harness.supply.images import REPOSITORY
from harness.supply.remains import mounts_below, rooted_below

_PROC = Path("/proc")
_COUNTERS = re.compile(r" \[\d+:\d+\]$")
# Of a command line: with the folders that it names, which tell whose it is.
_WIDTH = 1000
# Made while the harness's own engine runs or once for all, and the same after every run.
_STANDING = frozenset({"usual-times.json"})


@dataclass(frozen=True, slots=True)
class Difference:
    """What has come and gone between two looks.

    Attributes:
        left: What is there now and was not.
        gone: What was there and is not.
    """

    left: tuple[str, ...]
    gone: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.left or self.gone)

    def __str__(self) -> str:
        return "\n".join([*(f"left: {line}" for line in self.left), *(f"gone: {line}" for line in self.gone)])


def difference(before: frozenset[str], after: frozenset[str]) -> Difference:
    """Compare two looks."""
    return Difference(tuple(sorted(after - before)), tuple(sorted(before - after)))


@dataclass(frozen=True, slots=True)
class Machine:
    """Where to look.

    Attributes:
        state: The harness's state folder.
        cache: Its caches.
        temporary: Folders for temporary files, of which the names at the top count.
        files: Files whose bytes count: somebody else's.
        ignored: Processes that do not count, such as the one that looks.
    """

    state: Path
    cache: Path
    temporary: tuple[Path, ...] = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - looked at
    files: tuple[Path, ...] = ()
    ignored: frozenset[int] = field(default_factory=lambda: frozenset({os.getpid()}))

    def look(self) -> frozenset[str]:
        """Files, processes, mounts, sockets, network links, control groups and the packet filter."""
        return frozenset(
            [*self._files(), *self._processes(), *self._mounts(), *self._sockets(), *_links(), *_groups(), *_filter()]
        )

    def _files(self) -> Iterator[str]:
        for path in self.state.rglob("*"):
            if path.name not in _STANDING:
                yield f"file {path}"
        for name in ("", "in-use", "locks", "tools"):
            yield from (f"file {path}" for path in _children(self.cache / name))
        for folder in self.temporary:
            yield from (f"file {path}" for path in _children(folder))
        for path in self.files:
            yield f"bytes {path} {path.read_bytes().hex() if path.exists() else 'none'}"

    def _processes(self) -> Iterator[str]:
        for name in os.listdir(_PROC):  # noqa: PTH208 - names only
            if not name.isdigit() or int(name) in self.ignored:
                continue
            command = _read(name, "cmdline")
            ours = any(os.fsencode(folder) in command for folder in (self.state, self.cache))
            marked = any(word.startswith(f"{VARIABLE}=".encode()) and word[-1:] != b"=" for word in _words(name))
            inside = rooted_below(_read(name, "mountinfo").decode(errors="replace"), self.cache)
            if ours or marked or inside:
                # The time of its start, too: a number comes round again.
                began = _read(name, "stat").rpartition(b")")[2].split()[19:20]
                shown = os.fsdecode(command.replace(b"\0", b" ")).strip()[:_WIDTH]
                yield f"process {name} {b''.join(began).decode()} {shown}"

    def _mounts(self) -> Iterator[str]:
        text = (_PROC / "self" / "mountinfo").read_text(encoding="utf-8")
        yield from (f"mount {point}" for point in mounts_below(text, self.state, self.cache))

    def _sockets(self) -> Iterator[str]:
        for line in (_PROC / "net" / "unix").read_text(encoding="utf-8").splitlines()[1:]:
            path = line.split(maxsplit=7)[7] if len(line.split(maxsplit=7)) > 7 else ""
            if path.startswith((str(self.state), str(self.cache))):
                yield f"socket {path}"


def in_engine(engine: Engine, env: Mapping[str, str]) -> frozenset[str]:
    """What an engine holds: containers with when they were started, networks, volumes, images.

    Images of the caches are not counted, whichever there are: to keep them is what caches are for.
    """
    found: set[str] = set()
    containers = _docker(engine, env, "container", "ls", "--all", "--quiet", "--no-trunc")
    if containers:
        template = "{{.Name}} {{.Id}} {{.State.Status}} {{.State.StartedAt}}"
        found |= {
            f"container {line}"
            for line in _docker(engine, env, "container", "inspect", "--format", template, *containers)
        }
    networks = _docker(engine, env, "network", "ls", "--no-trunc", "--format", "{{.Name}} {{.ID}}")
    # An engine makes its own three anew whenever it starts.
    found |= {f"network {line}" for line in networks if line.split()[0] not in {"bridge", "host", "none"}}
    found |= {f"volume {line}" for line in _docker(engine, env, "volume", "ls", "--quiet")}
    images = _docker(engine, env, "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    return frozenset(found | {f"image {line}" for line in images if not line.startswith(f"{REPOSITORY}/")})


def _docker(engine: Engine, env: Mapping[str, str], *arguments: str) -> list[str]:
    done = subprocess.run(
        [str(engine.docker), *arguments],
        env={**env, **engine.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def _links() -> Iterable[str]:
    return [f"link {path.name}" for path in _children(Path("/sys/class/net"))]


def _groups() -> Iterable[str]:
    """Control groups of containers, in the one hierarchy of version 2 and the many of version 1."""
    top = Path("/sys/fs/cgroup")
    return [f"group {path}" for pattern in ("docker/*", "*/docker/*") for path in top.glob(pattern) if path.is_dir()]


def _filter() -> Iterable[str]:
    if shutil.which("iptables-save", path="/usr/sbin:/sbin:/usr/bin:/bin") is None or os.geteuid() != 0:
        return []
    found: list[str] = []
    for table in ("filter", "nat"):
        done = subprocess.run(
            ["iptables-save", "-t", table],  # noqa: S607 - where Debian puts it
            env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        lines = (_COUNTERS.sub("", line) for line in done.stdout.splitlines())
        found += [f"filter {table} {line}" for line in lines if line.startswith((":", "-"))]
    return found


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _words(pid: str) -> list[bytes]:
    return _read(pid, "environ").split(b"\0")


def _read(pid: str, name: str) -> bytes:
    try:
        return (_PROC / pid / name).read_bytes()
    except OSError:
        return b""  # it has ended
