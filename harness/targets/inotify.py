"""The kernel's inotify limits: systemd, containerd, the kubelet and every watcher in a pod draw on the host's."""

from __future__ import annotations

from pathlib import Path

from harness.limits import INOTIFY

WANTED = INOTIFY
_FOLDER = Path("/proc/sys/fs/inotify")


def raise_limits(folder: Path = _FOLDER) -> dict[str, int]:
    """Raise the limits that are too low, until the next boot; returns what was raised, by name.

    A machine that does not allow it keeps its limits: one cluster may do with them, and `harness doctor` names them.
    """
    raised: dict[str, int] = {}
    for name, wanted in WANTED.items():
        path = folder / name
        try:
            if int(path.read_text(encoding="ascii")) >= wanted:
                continue
            path.write_text(f"{wanted}\n", encoding="ascii")
        except OSError:
            continue
        raised[name] = wanted
    return raised
