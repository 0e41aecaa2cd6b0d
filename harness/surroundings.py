"""What a run depends on besides its settings and input: the harness that runs it, and the machine."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from harness.assets import package_path
from harness.errors import HarnessError
from harness.process import Runner, SubprocessRunner
from harness.report.copies import digest
from harness.settings import MACHINE_SETTINGS, Settings
from harness.versions import harness_version, versions

_GIT_SECONDS: Final = 10.0
_NOT_CODE: Final = frozenset({"_assets", "__pycache__"})


def surroundings(settings: Settings) -> dict[str, Any]:
    """The parts of `repro.json` that are known before anything is run."""
    return {
        "harness": {
            "version": harness_version(),
            "commit": harness_commit(),
            "digest": harness_digest(),
            "python": platform.python_version(),
        },
        "host": host(),
        "settings": {
            name: value
            for name, value in _absolute(settings).model_dump(mode="json").items()
            if name not in MACHINE_SETTINGS
        },
        "versions": {
            one.name: str(getattr(versions(), one.name)) for one in fields(versions()) if one.name != "images"
        },
    }


def harness_commit() -> str:
    """The commit that the harness is run from; empty where it is not a checkout."""
    checkout = package_path().parent
    return commit_of(package_path(), SubprocessRunner()) if (checkout / ".git").exists() else ""


def harness_digest() -> str:
    """Over the files of the package, whether it is a checkout or installed."""
    total = hashlib.sha256()
    for path in sorted(package_path().iterdir()):
        if path.name not in _NOT_CODE:
            total.update(f"{path.name} {digest(path)}\n".encode())
    return total.hexdigest()


def host() -> dict[str, Any]:
    """The machine."""
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        distribution = ""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "distribution": distribution,
        "machine": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def commit_of(folder: Path, runner: Runner) -> str:
    """The commit that a folder is at in the Git repository around it, with "+" if the folder was changed since.

    Empty where it is in no repository, or nobody may ask (another user's), or there is no git.
    """
    git = ["git", "-C", str(folder)]
    env = {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        head = runner.run([*git, "rev-parse", "HEAD"], env=env, timeout=_GIT_SECONDS, check=False)
        if head.code != 0:
            return ""
        command = [*git, "status", "--porcelain", "--", "."]
        changed = runner.run(command, env=env, timeout=_GIT_SECONDS, check=False)
    except HarnessError:
        return ""
    return head.stdout.strip() + ("+" if changed.code != 0 or changed.stdout.strip() else "")


def _absolute(settings: Settings) -> Settings:
    """The same with every path in full: whoever reads it is in another folder."""
    given = {
        name: path.absolute()
        for name in ("dags", "data", "repository")
        if isinstance(path := getattr(settings, name), Path)
    }
    return settings.model_copy(update={**given, "values": tuple(path.absolute() for path in settings.values)})
