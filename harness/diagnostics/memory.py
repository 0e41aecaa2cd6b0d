"""How much memory a run takes, at most: what every run prints.

Two figures are added, each the highest of its own time, so the sum is an upper bound. What is used before there is a
cluster (images are built then) is a time of its own, and is not added to what the cluster takes later.

- the node containers, as the kernel counts them (`memory.peak` of control groups v2, since Linux 5.19;
  `memory.max_usage_in_bytes` of v1). That is everything in the cluster, and the page cache of the files it reads, which
  the kernel gives back when somebody else needs it. Of a kept cluster it is the highest since it was made.
- the harness's own processes with their children, and an engine that the harness started (dockerd, containerd, its
  shims and what it builds): the sum of their resident sets, looked at every second. Pages that several processes share
  count for each, and what lives shorter than a second may be missed. Somebody else's engine does not count.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from harness.errors import HarnessError
from harness.model import Engine
from harness.process import Runner

_INTERVAL: Final = 1.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_DOCKER_SECONDS: Final = 10.0
# The kernel cuts a program's name to 15 characters, so that of `containerd-shim-runc-v2` too.
_SHIM: Final = "containerd-shim"
# Asked inside the node: its control group is the root that it sees there, whatever the host's layout is.
_PEAK_FILES: Final = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as /proc shows it.

    Attributes:
        pid: Its id.
        name: Its program's name, 15 characters at most.
        parent: Id of its parent.
        resident: Bytes of its resident set.
    """

    pid: int
    name: str
    parent: int
    resident: int


def parse_stat(text: str) -> Process:
    """A process from the content of `/proc/<pid>/stat` (proc_pid_stat(5)).

    Raises:
        ValueError: It has another form.
    """
    # The name stands in parentheses and may hold spaces and parentheses itself.
    head, _, rest = text.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = rest.split()
    # Fields 4 (parent) and 24 (resident pages) of the manual page; `rest` begins with field 3.
    if len(fields) < 22:  # noqa: PLR2004 - 24 - 3 + 1
        raise ValueError(f"not the form of /proc/<pid>/stat: {text[:80]!r}")
    return Process(int(pid), name, int(fields[1]), int(fields[21]) * _PAGE)


def resident(processes: Collection[Process], roots: Collection[int], *, without_children: Collection[int] = ()) -> int:
    """Bytes of the resident sets of some processes and all that descend from them, each counted once.

    Args:
        processes: Every process of the machine.
        roots: Ids of those to begin with; one that is gone counts nothing.
        without_children: Ids of those whose children do not count.
    """
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    waiting = [process for process in processes if process.pid in roots]
    seen: dict[int, int] = {}
    while waiting:
        process = waiting.pop()
        if process.pid not in seen:
            seen[process.pid] = process.resident
            if process.pid not in without_children:
                waiting += children.get(process.pid, ())
    return sum(seen.values())


class MemorySampler:
    """Watches the harness's own processes, and an engine of ours, from a thread of its own; a context manager.

    Args:
        engine_state: Folder of the engine that the harness may start; its processes name it on their command lines.
        beside: Whether there is a cluster by now.
        proc: Where processes are read.
        interval: Seconds between two looks.
    """

    def __init__(
        self,
        engine_state: Path,
        *,
        beside: Callable[[], bool] = lambda: True,
        proc: Path = Path("/proc"),
        interval: float = _INTERVAL,
    ) -> None:
        self._beside = beside
        self._state = str(engine_state).encode()
        self._proc = proc
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self.peak_before = 0
        self.peak_beside = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> int:
        """Bytes in use now; the peak of this time follows. 0 where there is no /proc to read."""
        processes = list(self._processes())
        engine = {process.pid for process in processes if self._is_of_our_engine(process)}
        # What runs in a node is counted by its control group; it descends from a shim.
        shims = {process.pid for process in processes if process.pid in engine and process.name == _SHIM}
        used = resident(processes, {os.getpid(), *engine}, without_children=shims)
        if self._beside():
            self.peak_beside = max(self.peak_beside, used)
        else:
            self.peak_before = max(self.peak_before, used)
        return used

    def _watch(self) -> None:
        self.look()
        while not self._over.wait(self._interval):
            self.look()

    def _processes(self) -> Iterator[Process]:
        for folder in self._proc.glob("[0-9]*"):
            try:
                yield parse_stat((folder / "stat").read_text(encoding="utf-8", errors="replace"))
            except (OSError, ValueError):
                # It has ended meanwhile.
                continue

    def _is_of_our_engine(self, process: Process) -> bool:
        if process.name not in {"dockerd", "containerd", _SHIM}:
            return False
        try:
            return self._state in (self._proc / str(process.pid) / "cmdline").read_bytes()
        except OSError:
            return False


def node_peak(cluster: str, *, engine: Engine, runner: Runner) -> int | None:
    """Bytes that the node containers of a kind cluster took at most, together; None if none of them says.

    Args:
        cluster: Its name.
        engine: Where its nodes run.
        runner: Runs docker.
    """
    docker: list[str | Path] = [engine.docker]

    def said(*arguments: str) -> list[str]:
        done = runner.run([*docker, *arguments], env=engine.env, timeout=_DOCKER_SECONDS, check=False)
        return done.stdout.split()

    try:
        nodes = said("ps", "--quiet", "--filter", f"label=io.x-k8s.kind.cluster={cluster}")
        # One of the two files is not there: `cat` says so and ends with an error, and shows the other.
        peaks = [int(number) for node in nodes for number in said("exec", node, "cat", *_PEAK_FILES)[:1]]
    except (HarnessError, ValueError):
        # A figure for the report: a node that is broken must not be in the way of saying how the run ended.
        return None
    return sum(peaks) if peaks else None
