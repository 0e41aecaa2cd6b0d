"""What a container engine of ours leaves when it is killed: processes in its containers, and mounts in its folders.

An engine that starts again ends what it knows of, but not a build step that was under way (moby 20.10: BuildKit runs
steps beside the containers that the daemon keeps a record of). Once no engine runs on those folders, whatever has its
root in them, serves them or is mounted there is nobody's.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from harness import procfs
from harness.errors import EngineError
from harness.process import Runner

# A process that is being killed may just have started another.
_ROUNDS = 20
_UNMOUNT_SECONDS = 30.0


def clear_remains(data: Path, runtime: Path, *, runner: Runner) -> None:
    """End what an engine has left in its folders; the engine itself must have ended.

    Args:
        data: Its images and containers.
        runtime: Where its sockets and network namespaces are.
        runner: Runs umount.

    Raises:
        EngineError: Something does not end, or stays mounted.
    """
    for _ in range(_ROUNDS):
        left = _processes(data, runtime)
        if not left:
            break
        for pid in left:
            procfs.kill(pid, partial(_is_left, pid, data, runtime))
    else:
        raise EngineError(
            "programs that ran in the harness's container engine do not end",
            evidence={"processes": ", ".join(map(str, _processes(data, runtime)))},
            next_step="end them yourself, then run `harness sweep` again",
        )
    # Newest first: one may stand on another. Lazily: the kernel may still be taking down who used it.
    for mount in reversed(_mounts(data, runtime)):
        runner.run(["umount", "--lazy", mount], timeout=_UNMOUNT_SECONDS, check=False)
    if mounts := _mounts(data, runtime):
        raise EngineError(
            "what the harness's container engine has mounted cannot be unmounted",
            evidence={"mounts": ", ".join(map(str, mounts))},
            next_step="unmount it yourself, then run `harness sweep` again",
        )


def _mounts(*folders: Path) -> list[Path]:
    return procfs.mounts_below(procfs.mounts(), *folders)


def _processes(data: Path, runtime: Path) -> list[int]:
    return [pid for pid in procfs.others() if _is_left(pid, data, runtime)]


def _is_left(pid: int, data: Path, runtime: Path) -> bool:
    # containerd and its shims name its socket or configuration on their command line.
    words = [os.fsdecode(word) for word in procfs.read(pid, "cmdline").split(b"\0")]
    serves = any(word.startswith("/") and Path(word).is_relative_to(runtime / "containerd") for word in words)
    return serves or procfs.rooted_below(procfs.read(pid, "mountinfo").decode(errors="replace"), data)
