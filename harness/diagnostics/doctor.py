"""`harness doctor`: whether this machine can carry a run, in numbers, and how to mend what is missing.

Each check is a function of a `Host` and gives a `Finding`; memory and disk are in `room.py`, since a run asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from harness.diagnostics.finding import Finding, Level
from harness.diagnostics.host import Host
from harness.diagnostics.room import check_disk, check_memory, number
from harness.errors import ExitCode
from harness.limits import INOTIFY

_CPUS_GOOD: Final = 2
_PYTHON_LEAST: Final = (3, 11)
# `git http-backend` and sparse clones as used here; Debian 11 has 2.30.
_GIT_LEAST: Final = (2, 30)
_CONTROLLERS_V1: Final[tuple[str, ...]] = ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer")
_CONTROLLERS_V2: Final[tuple[str, ...]] = ("cpu", "cpuset", "memory", "pids")
_CLOCK_SKEW: Final = 5.0
_SYSTEM_CA: Final = "/etc/ssl/certs/ca-certificates.crt"
_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# In the order of their numbers, linux/capability.h (Linux 6.1).
_NAMES: Final = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES: Final = tuple(_NAMES.split())
# Without these no container engine can be started.
_ESSENTIAL: Final = frozenset({"SYS_ADMIN", "NET_ADMIN", "SYS_CHROOT", "MKNOD", "SETUID", "SETGID", "CHOWN"})


def examine(
    host: Host,
    *,
    cache_dir: Path,
    package: Path,
    folders: Mapping[str, Path] = MappingProxyType({}),
    kept: Path | None = None,
    own_engine: str = "",
) -> list[Finding]:
    """Every finding about the machine, in a stable order.

    Args:
        host: The machine.
        cache_dir: Where what is built once is kept.
        package: A file of this installation, whose date the clock cannot be before.
        folders: Those that a run writes to, by their settings.
        kept: Folder of the kept cluster that a run would use, if there is one.
        own_engine: Address of the engine that the harness starts where none answers; it may run for a kept cluster.
    """
    checks: Sequence[Callable[[], Finding]] = (
        lambda: check_python(host),
        lambda: check_git(host),
        lambda: check_engine(host, own_engine),
        lambda: check_processors(host),
        lambda: check_memory(host, kept=kept),
        lambda: _disk(host, cache_dir),
        lambda: check_folders(host, {**folders, "cache_dir": cache_dir}),
        lambda: check_ports(host),
        lambda: check_inotify(host),
        lambda: check_cgroups(host),
        lambda: check_capabilities(host),
        lambda: check_clock(host, package),
        lambda: check_ca_bundle(host),
    )
    return [check() for check in checks]


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """GREEN if nothing failed; a warning does not stop a run."""
    failed = any(finding.level is Level.FAIL for finding in findings)
    return ExitCode.ENVIRONMENT_FAILED if failed else ExitCode.GREEN


def check_python(host: Host) -> Finding:
    """Whether this Python is new enough."""
    found, needed = (".".join(map(str, version)) for version in (host.python, _PYTHON_LEAST))
    level = Level.OK if host.python >= _PYTHON_LEAST else Level.FAIL
    return Finding(
        "Python", level, found, f"{needed} or newer", "" if level is Level.OK else f"install Python {needed}"
    )


def check_git(host: Host) -> Finding:
    """Whether there is a Git that is new enough."""
    needed = f"{_GIT_LEAST[0]}.{_GIT_LEAST[1]} or newer"
    answer = host.run(["git", "--version"])
    version = re.search(r"(\d+)\.(\d+)", answer.text) if answer.well else None
    if version is None:
        return Finding("Git", Level.FAIL, "none", needed, "apt-get install git")
    new = (int(version[1]), int(version[2])) >= _GIT_LEAST
    return Finding("Git", Level.OK if new else Level.FAIL, answer.text, needed, "" if new else "install a newer Git")


def summary(findings: Sequence[Finding]) -> str:
    """What it comes to, in one line."""
    failed = [finding.name for finding in findings if finding.level is Level.FAIL]
    warned = [finding.name for finding in findings if finding.level is Level.WARN]
    if failed:
        return f"NOT READY: {', '.join(failed)} must be mended before a run"
    return "READY for `harness run`" + (f"; worth a look: {', '.join(warned)}" if warned else "")


def check_engine(host: Host, own: str = "") -> Finding:
    """Whether a container engine answers (`own`: the address of the harness's), or one can be installed and started."""
    needed = "a container engine that answers, or root on Debian to install one"
    answer = host.run(["docker", "version", "--format", "{{.Server.Version}}"])
    if answer.well and answer.text:
        return Finding("container engine", Level.OK, f"Docker {answer.text} answers", needed)
    ours = host.run(["docker", "--host", own, "version", "--format", "{{.Server.Version}}"]) if own else None
    if ours is not None and ours.well and ours.text:
        return Finding("container engine", Level.OK, f"Docker {ours.text}, the harness's own, answers", needed)
    if host.is_root and host.has("apt-get"):
        return Finding("container engine", Level.OK, "none answers; one of our own will be started", needed)
    why = "; ".join(line for line in answer.text.splitlines()[-1:] if line) or "no docker program"
    return Finding(
        "container engine",
        Level.FAIL,
        f"none answers ({why})",
        needed,
        "start the engine, or join the group that may use it (`docker version` must show a server)",
    )


def check_processors(host: Host) -> Finding:
    """Whether there are enough processors."""
    good = host.cpus >= _CPUS_GOOD
    return Finding(
        "processors",
        Level.OK if good else Level.WARN,
        str(host.cpus),
        str(_CPUS_GOOD),
        "" if good else "raise `--patience` to 2 or more",
    )


def _disk(host: Host, cache_dir: Path) -> Finding:
    """The disk; too little for an empty cache may be enough for a full one, which only an engine can tell."""
    finding = check_disk(host, cache_dir)
    if finding.level is Level.FAIL and check_disk(host, cache_dir, cached=None).level is not Level.FAIL:
        return replace(finding, level=Level.WARN, mend=f"enough only where most is cached; else {finding.mend}")
    return finding


def check_folders(host: Host, folders: Mapping[str, Path]) -> Finding:
    """Whether something can be written where a run writes, by the settings that name it."""
    needed = f"{', '.join(sorted(folders))} can be written to"
    refused = {name: why for name in sorted(folders) if (why := host.not_writable(folders[name]))}
    if not refused:
        return Finding("folders", Level.OK, "they can", needed)
    names = ", ".join(f"HARNESS_{name.upper()}" for name in refused)
    why = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    return Finding("folders", Level.FAIL, why, needed, f"name another folder with {names}")


def check_ports(host: Host) -> Finding:
    """Whether ports on the loopback address can be listened on."""
    refused = host.bind_loopback([0])
    needed = "ports on 127.0.0.1 can be listened on"
    if not refused:
        return Finding("loopback ports", Level.OK, "a free port was given", needed)
    why = ", ".join(refused.values())
    mend = "bring the loopback interface up (`ip link set lo up`), or free ports (`ss -ltn`)"
    return Finding("loopback ports", Level.FAIL, why, needed, mend)


def check_inotify(host: Host) -> Finding:
    """Whether the kernel's limits of file watches suffice for a node."""
    limits = {name: number(host.read(f"/proc/sys/fs/inotify/{name}")) for name in INOTIFY}
    found = ", ".join(f"{name} {'unknown' if value is None else value}" for name, value in limits.items())
    needed = ", ".join(f"{name} {value}" for name, value in INOTIFY.items())
    low = [name for name, value in limits.items() if value is not None and value < INOTIFY[name]]
    if not low:
        return Finding("inotify", Level.OK, found, needed)
    mend = " ".join(f"sysctl -w fs.inotify.{name}={INOTIFY[name]};" for name in low).rstrip(";")
    return Finding("inotify", Level.WARN, found, needed, f"as root: {mend}")


def check_cgroups(host: Host) -> Finding:
    """Whether the kernel's control groups are there, and which version."""
    unified = host.read("/sys/fs/cgroup/cgroup.controllers")
    if unified is not None:
        version, wanted, there = "v2", _CONTROLLERS_V2, set(unified.split())
    else:
        rows = [line.split() for line in (host.read("/proc/cgroups") or "").splitlines() if not line.startswith("#")]
        there = {row[0] for row in rows if len(row) > 3 and row[3] == "1"}  # noqa: PLR2004 - the column "enabled"
        version, wanted = "v1", _CONTROLLERS_V1
    needed = f"{version} with {', '.join(wanted)}"
    if not there:
        return Finding("cgroups", Level.FAIL, "none", needed, "mount cgroup2 on /sys/fs/cgroup")
    missing = [name for name in wanted if name not in there]
    if missing:
        mend = "enable them on the kernel's command line, or delegate them to this container"
        return Finding("cgroups", Level.FAIL, f"{version} without {', '.join(missing)}", needed, mend)
    return Finding("cgroups", Level.OK, f"{version} with {', '.join(wanted)}", needed)


def check_capabilities(host: Host) -> Finding:
    """Which capabilities this host withholds from everything that runs on it."""
    status = host.read("/proc/self/status") or ""
    mask = re.search(r"^CapBnd:\s*([0-9a-f]+)", status, re.MULTILINE)
    needed = "the full bounding set, for privileged containers"
    if mask is None:
        return Finding("capabilities", Level.WARN, "cannot be told", needed, "see CapBnd in /proc/self/status")
    known = number(host.read("/proc/sys/kernel/cap_last_cap"))
    last = len(CAPABILITIES) - 1 if known is None else min(known, len(CAPABILITIES) - 1)
    missing = [name for number, name in enumerate(CAPABILITIES[: last + 1]) if not int(mask[1], 16) >> number & 1]
    if not missing:
        return Finding("capabilities", Level.OK, f"all {last + 1}", needed)
    found = f"withheld: {', '.join(f'CAP_{name}' for name in missing)}"
    if _ESSENTIAL & set(missing):
        mend = "give this container those capabilities (run it privileged), or use another host"
        return Finding("capabilities", Level.FAIL, found, needed, mend)
    mend = (
        "nothing if the harness starts the engine: its runtime leaves these out; "
        "an engine of the machine's own cannot start a cluster's node here"
    )
    return Finding("capabilities", Level.WARN, found, needed, mend)


def check_clock(host: Host, package: Path) -> Finding:
    """Whether the clock is sane: not before this installation, and one with the container engine's."""
    needed = "a clock that is right; certificates and tokens depend on it"
    shown = datetime.fromtimestamp(host.now, UTC).isoformat(timespec="seconds")
    mend = "set the clock (`timedatectl set-ntp true`, or `date -s`)"
    written = host.modified(package)
    if written is not None and host.now < written - _CLOCK_SKEW:
        return Finding("clock", Level.FAIL, f"{shown}, before this installation was made", needed, mend)
    answer = host.run(["docker", "info", "--format", "{{.SystemTime}}"])
    theirs = _engine_time(answer.text) if answer.well else None
    if theirs is not None and abs(theirs - host.now) > _CLOCK_SKEW:
        return Finding("clock", Level.WARN, f"{shown}; the engine's is {theirs - host.now:+.0f} s off", needed, mend)
    return Finding("clock", Level.OK, shown, needed)


def check_ca_bundle(host: Host) -> Finding:
    """Whether there are certificate authorities to trust for downloads."""
    variable = next((name for name in _CA_VARIABLES if host.environ.get(name)), None)
    path = host.environ[variable] if variable is not None else _SYSTEM_CA
    count = (host.read(path) or "").count("-----BEGIN CERTIFICATE-----")
    origin = f"{path} ({variable})" if variable is not None else path
    if count:
        return Finding("CA bundle", Level.OK, f"{count} certificates in {origin}", "at least one certificate")
    mend = f"correct {variable}" if variable is not None else "apt-get install ca-certificates"
    return Finding("CA bundle", Level.FAIL, f"no certificate in {origin}", "at least one certificate", mend)


def _engine_time(text: str) -> float | None:
    """RFC 3339 with up to nine digits of a second, as Go writes it; Python takes six."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.strip())).timestamp()
    except ValueError:
        return None
