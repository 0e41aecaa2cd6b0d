"""An OCI runtime in front of runc that asks for no capability which this host withholds.

A host whose bounding set lacks a capability (CAP_SYS_RESOURCE on some sandboxes) makes runc fail for every
privileged container: "unable to apply caps: operation not permitted". This program drops what the host lacks from
the container's `config.json` (create, run) and from the process file of `exec`, then becomes runc.

It runs on its own, started by the container engine: standard library only, and nothing of `harness` is imported.
Formats: https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#linux-process
It can go when runc ignores capabilities outside its own bounding set.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# Bit order of linux/include/uapi/linux/capability.h.
_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES = tuple(_NAMES.split())


def granted(status: str) -> frozenset[str]:
    """The capabilities in the bounding set of a `/proc/<pid>/status` text, as "CAP_..." names.

    Raises:
        ValueError: The text has no CapBnd line.
    """
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return frozenset(f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if bits >> number & 1)
    raise ValueError("no CapBnd line")


def withheld(status: str) -> frozenset[str]:
    """The capabilities that this host lacks; a kernel too old to know one counts as lacking it."""
    return frozenset(f"CAP_{name}" for name in CAPABILITIES) - granted(status)


def trim(process: dict[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    """The OCI process object with every capability set cut down to `allowed`."""
    capabilities = process.get("capabilities") or {}
    return {
        **process,
        "capabilities": {kind: [name for name in names if name in allowed] for kind, names in capabilities.items()},
    }


def _option(arguments: list[str], *names: str) -> str | None:
    for position, argument in enumerate(arguments):
        for name in names:
            if argument == name and position + 1 < len(arguments):
                return arguments[position + 1]
            if argument.startswith(f"{name}="):
                return argument.partition("=")[2]
    return None


def rewrite(arguments: list[str], allowed: frozenset[str]) -> None:
    """Trim the file that this runc command is about to read, if it reads one."""
    if {"create", "run"} & set(arguments):
        path = Path(_option(arguments, "--bundle", "-b") or ".") / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["process"] = trim(config["process"], allowed)
        path.write_text(json.dumps(config), encoding="utf-8")
    elif "exec" in arguments and (given := _option(arguments, "--process", "-p")):
        path = Path(given)
        path.write_text(json.dumps(trim(json.loads(path.read_text(encoding="utf-8")), allowed)), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Rewrite, then become runc; never returns."""
    rewrite(arguments, granted(Path("/proc/self/status").read_text(encoding="utf-8")))
    os.execvp("runc", ["runc", *arguments])  # noqa: S606, S607 - becoming runc, from the engine's own PATH, is the job


if __name__ == "__main__":
    main(sys.argv[1:])
