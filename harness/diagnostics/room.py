"""Whether the machine has room for a run: memory and disk, less what an earlier run holds already and this one uses.

The needs are those measured for the main job: a cluster with everything in it takes 2.3 GiB after two runs and 4 GiB at
its peak beside a build; the caches take up to 20 GB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from harness.diagnostics.finding import Finding, Level
from harness.diagnostics.host import Host
from harness.errors import EnvironmentFailed

GIB: Final = 1024**3
GB: Final = 10**9

_MEMORY_GOOD, _MEMORY_LEAST = 4 * GIB, 3 * GIB
_DISK_GOOD, _DISK_LEAST = 30 * GB, 12 * GB
# What a cluster writes beside the caches: the node's own layer, and the images that are loaded into it.
_DISK_CLUSTER = 4 * GB
# `docker stats` prints "1.587GiB / 23.5GiB" (docker/go-units, BytesSize: powers of 1024).
_MEMORY_USED: Final = re.compile(r"([0-9.]+)([KMGT]?i?B) /")
_UNITS: Final = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


def check_memory(host: Host, *, kept: Path | None = None) -> Finding:
    """Whether there is enough memory that is free, in the machine and in the control group.

    Args:
        host: The machine.
        kept: Folder of the kept cluster that the run would use, or replace; what its node has is not needed again.
            None, or a folder that is not there, if there is none.
    """
    available = _meminfo(host, "MemAvailable")
    limit, used = _cgroup_memory(host)
    if limit is not None:
        room = max(limit - used, 0)
        available = room if available is None else min(available, room)
    needed = f"{_MEMORY_GOOD / GIB:.0f} GiB available"
    if available is None:
        return Finding("memory", Level.WARN, "cannot be told", needed, "see /proc/meminfo")
    found = f"{available / GIB:.1f} GiB available"
    level = _level(available, good=_MEMORY_GOOD, least=_MEMORY_LEAST)
    if level is not Level.OK and kept is not None and (node := node_memory(host, kept)):
        level = _level(available + node, good=_MEMORY_GOOD, least=_MEMORY_LEAST)
        found += f", {node / GIB:.1f} GiB in the kept cluster {kept.name}"
    mend = "" if level is Level.OK else "stop other programs or kept clusters (`harness down`), or add memory"
    return Finding("memory", level, found, needed, mend)


def check_disk(host: Host, cache_dir: Path, *, cached: int | None = 0) -> Finding:
    """Whether there is enough disk for the caches and a cluster.

    Args:
        host: The machine.
        cache_dir: Where the caches are.
        cached: Bytes that the caches hold already, wherever they are; None while that is not known, when only what no
            run can do without is asked for.
    """
    free = host.free_bytes(cache_dir)
    there = _DISK_GOOD if cached is None else cached
    good, least = (max(wanted - there, _DISK_CLUSTER) for wanted in (_DISK_GOOD, _DISK_LEAST))
    level = _level(free, good=good, least=least)
    found = f"{free / GB:.1f} GB free under {cache_dir}" + (f", {cached / GB:.1f} GB in the caches" if cached else "")
    return Finding(
        "disk",
        level,
        found,
        f"{_DISK_GOOD / GB:.0f} GB free when nothing is cached yet, {_DISK_LEAST / GB:.0f} GB at least, less what is "
        f"cached, and never below {_DISK_CLUSTER / GB:.0f} GB",
        "" if level is Level.OK else "free some (`harness cache`), or set HARNESS_CACHE_DIR to a larger disk",
    )


def refuse_too_little(*findings: Finding) -> None:
    """Refuse a machine on which a run would only fail later and less clearly.

    Raises:
        EnvironmentFailed: A finding is a failure; with its numbers.
    """
    short = [finding for finding in findings if finding.level is Level.FAIL]
    if short:
        raise EnvironmentFailed(
            "this machine has too little for a cluster",
            evidence={finding.name: f"{finding.found}, needed {finding.needed}" for finding in short},
            next_step="; ".join(finding.mend for finding in short),
        )


def check_room(host: Host, *, cache_dir: Path, kept: Path) -> None:
    """Before anything is started: memory, and the disk that no run can do without.

    Raises:
        EnvironmentFailed: There is too little; with the numbers.
    """
    refuse_too_little(check_memory(host, kept=kept), check_disk(host, cache_dir, cached=None))


def check_room_for_caches(host: Host, *, cache_dir: Path, cached: Callable[[], int]) -> None:
    """Once an engine answers, which knows what is cached: the disk for what is not.

    Args:
        host: The machine.
        cache_dir: Where the caches are.
        cached: Measures what they hold, in bytes; takes seconds, so it is asked only where disk is short.

    Raises:
        EnvironmentFailed: There is too little; with the numbers.
    """
    if check_disk(host, cache_dir).level is Level.FAIL:
        refuse_too_little(check_disk(host, cache_dir, cached=cached()))


def node_memory(host: Host, folder: Path) -> int:
    """Bytes that the node of a kept cluster has now; 0 where none is kept, runs, or can be asked.

    Args:
        host: The machine.
        folder: Of the cluster, with its description and the mark of being kept.
    """
    if host.modified(folder / "kept") is None:
        return 0
    try:
        engine = json.loads(host.read(str(folder / "cluster.json")) or "{}").get("host") or ""
    except ValueError:
        return 0
    where = ["--host", str(engine)] if engine else []
    command = ["docker", *where, "stats", "--no-stream", "--format", "{{.MemUsage}}", f"{folder.name}-control-plane"]
    answer = host.run(command)
    used = _MEMORY_USED.match(answer.text) if answer.well else None
    return int(float(used[1]) * _UNITS[used[2]]) if used and used[2] in _UNITS else 0


def _level(found: float, *, good: float, least: float) -> Level:
    if found >= good:
        return Level.OK
    return Level.WARN if found >= least else Level.FAIL


def _meminfo(host: Host, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", host.read("/proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _cgroup_memory(host: Host) -> tuple[int | None, int]:
    """(limit or None, in use) of the control group that this container sees as its root, in bytes."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        found = number(host.read(f"/sys/fs/cgroup/{limit}"))
        if found is not None:
            return found, number(host.read(f"/sys/fs/cgroup/{used}")) or 0
    return None, 0


def number(text: str | None) -> int | None:
    """The whole number that a file of the kernel holds; None where it holds none, such as "max"."""
    return int(text) if text is not None and text.strip().isdigit() else None
