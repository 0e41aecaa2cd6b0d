"""The machine under the cluster: engine, disk, memory."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import ERROR
from harness.diagnostics.causes import Cause, Sign, reason, said
from harness.limits import INOTIFY

MACHINE: Final = (
    Cause(
        code="ENGINE_GONE",
        what="the container engine does not answer",
        do="run `harness doctor`; start the engine, or look into its log for why it ended",
        signs=(
            said(r"cannot connect to the docker daemon|is the docker daemon running|error during connect:"),
            reason("EngineError"),
        ),
    ),
    Cause(
        code="DISK_FULL",
        what="a disk is full",
        do="run `harness cache` to free old caches, or give more disk to the folder that is named",
        signs=(
            said(r"no space left on device|\[errno 28\]|disk quota exceeded"),
            reason("Evicted", text=r"ephemeral-storage|nodefs|imagefs|disk"),
            reason("FreeDiskSpaceFailed", "ImageGCFailed", "NodeHasDiskPressure"),
            reason("Unschedulable", "FailedScheduling", text=r"node\.kubernetes\.io/disk-pressure"),
        ),
    ),
    Cause(
        code="OUT_OF_MEMORY",
        what="a program needed more memory than it may have",
        do="raise that container's memory limit, or give the machine more memory",
        signs=(
            reason("OOMKilled", "SystemOOM", "OOMKilling"),
            Sign(said=r"\bOOMKilled\b", sources=ERROR),
            reason("Evicted", text="memory"),
            # The limit is too low even for the container to begin (runc 1.1 and later).
            said(r"container init was oom-killed|memory limit too low"),
            said(r"cannot allocate memory|out of memory: kill"),
        ),
    ),
    Cause(
        code="INOTIFY_LIMIT",
        what="the machine's inotify limit is used up",
        do=f"raise {' and '.join(f'fs.inotify.{name} to {least}' for name, least in INOTIFY.items())}",
        signs=(said(r"(?:inotify|fsnotify|watcher)[^\n]*too many open files|too many open files[^\n]*inotify"),),
    ),
    Cause(
        code="CAPABILITY_WITHHELD",
        what="this host withholds a capability that a privileged container asks for",
        do="use the engine that the harness starts (it leaves out what the host withholds), or another host",
        signs=(said(r"unable to apply caps"),),
    ),
    Cause(
        code="PORT_TAKEN",
        what="a port is taken",
        do="stop what listens there, or run again: other ports are chosen",
        # Of the engine, or of a server of the harness's own. A task that listens has ports of its own, in its pod.
        signs=(
            Sign(
                said=r"port is already allocated|address already in use",
                reasons=frozenset({"CommandFailed", "EngineError", "EnvironmentFailed", "OSError"}),
                sources=ERROR,
            ),
        ),
    ),
)
