"""What there is on a machine that a run could leave behind or take away, as a set of lines to be compared."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import WaitTimeout
from harness.model import Engine
from harness.orphans import VARIABLE
from harness.procfs import mounts_below, rooted_below
from harness.supply.images import REPOSITORY
from harness.wait import Waiter

_PROC = Path("/proc")
_COUNTERS = re.compile(r" \[\d+:\d+\]$")
# Of a command line: with the folders that it names, which tell whose it is.
_WIDTH = 1000
SWITCHES = tuple(
    Path("/proc/sys") / name
    for name in (
        *(f"fs/inotify/max_{what}" for what in ("user_instances", "user_watches", "queued_events")),
        *("kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
        *("vm/overcommit_memory", "vm/panic_on_oom", "vm/max_map_count"),
        *(f"net/{version}/conf/{which}/forwarding" for version in ("ipv4", "ipv6") for which in ("all", "default")),
        *(f"net/ipv4/{name}" for name in ("ip_forward", "conf/all/route_localnet", "conf/all/rp_filter")),
        *(f"net/bridge/bridge-nf-call-{name}" for name in ("iptables", "ip6tables", "arptables")),
        *(
            f"net/netfilter/nf_conntrack_{name}"
            for name in ("max", "tcp_timeout_established", "tcp_timeout_close_wait")
        ),
    )
)
# Made while the harness's own engine runs or once for all, and the same after every run.
_STANDING = frozenset({"usual-times.json"})
# What a network namespace of a container was mounted on. The engine removes these files every minute (moby, libnetwork,
# osl/namespace_linux.go: gpmCleanupPeriod); what is mounted there is looked at as a mount.
_NAMESPACE_FILES = Path("engine/exec/netns")


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


def settled(look: Callable[[], frozenset[str]], before: frozenset[str], *, seconds: float) -> Difference:
    """What differs from a look of before, once it differs no less by waiting so long."""
    with contextlib.suppress(WaitTimeout):
        Waiter().until(
            "all to be as before",
            lambda: difference(before, look()),
            ready=lambda found: not found,
            timeout=seconds,
            interval=1.0,
        )
    return difference(before, look())


@dataclass(frozen=True, slots=True)
class Machine:
    """Where to look.

    Attributes:
        state: The harness's state folder.
        cache: Its caches.
        temporary: Folders for temporary files, of which the names at the top count.
        files: Files whose bytes count: somebody else's.
        ignored: Processes that do not count, such as the one that looks.
        namespaces: Folders of network namespaces that have a name.
        switches: Settings of the kernel, as paths below `/proc/sys`, that programs of a run are known to set:
            Docker, kubelet, kube-proxy and the harness itself. Those that a first run has raised stay so until the
            next boot; a later one must find and leave them as they are.
    """

    state: Path
    cache: Path
    temporary: tuple[Path, ...] = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - looked at
    files: tuple[Path, ...] = ()
    ignored: frozenset[int] = field(default_factory=lambda: frozenset({os.getpid()}))
    namespaces: tuple[Path, ...] = (Path("/run/netns"), Path("/run/docker/netns"))
    switches: tuple[Path, ...] = SWITCHES

    def look(self) -> frozenset[str]:
        """Files, processes, mounts, sockets, network links and namespaces, control groups, packet filter, switches."""
        ours = [*self._files(), *self._processes(), *self._mounts(), *self._sockets()]
        return frozenset([*ours, *self._namespaces(), *self._switches(), *_links(), *_groups(), *_filter(), *_tables()])

    def _files(self) -> Iterator[str]:
        for path in self.state.rglob("*"):
            if path.name not in _STANDING and path.parent != self.state / _NAMESPACE_FILES:
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

    def _namespaces(self) -> Iterator[str]:
        for folder in self.namespaces:
            yield from (f"network namespace {path}" for path in _children(folder))

    def _switches(self) -> Iterator[str]:
        for path in self.switches:
            if path.is_file():
                yield f"switch {path} {path.read_text(encoding='utf-8').strip()}"


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
    found: list[str] = []
    for table in ("filter", "nat"):
        lines = (_COUNTERS.sub("", line) for line in _as_root("iptables-save", "-t", table))
        found += [f"filter {table} {line}" for line in lines if line.startswith((":", "-"))]
    return found


def _tables() -> Iterable[str]:
    """Tables of nftables, of which iptables sees its own alone."""
    return nft_lines(_as_root("nft", "--stateless", "list", "ruleset"))


def nft_lines(listed: Iterable[str]) -> list[str]:
    """Each line of what nft lists with the table and chain or set that it stands in."""
    found: list[str] = []
    inside: list[str] = []
    for line in (one.strip() for one in listed):
        if line == "}":
            inside.pop()
        elif line:
            found.append(" / ".join(["nft", *inside, line.removesuffix(" {")]))
            if line.endswith("{"):
                inside.append(line.removesuffix(" {"))
    return found


def _as_root(*command: str) -> list[str]:
    """What a program says; nothing where it is not installed, or this is not root, who alone may ask."""
    path = "/usr/sbin:/sbin:/usr/bin:/bin"
    if shutil.which(command[0], path=path) is None or os.geteuid() != 0:
        return []
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _words(pid: str) -> list[bytes]:
    return _read(pid, "environ").split(b"\0")


def _read(pid: str, name: str) -> bytes:
    try:
        return (_PROC / pid / name).read_bytes()
    except OSError:
        return b""  # it has ended
