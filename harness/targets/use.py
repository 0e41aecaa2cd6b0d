"""What the folder of a cluster is of: a name stands for one thing, and nothing of another kind takes or removes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from harness.errors import GuardError, UsageError
from harness.targets.attached.folder import DESCRIPTION, target_of

KIND: Final = "kind"
LOOK_ALIKE: Final = "an EKS look-alike"
# By the name of a target.
_NOUNS: Final = {
    KIND: "a kind cluster",
    "eks": "an environment in an EKS cluster",
    "existing": "an environment in an existing cluster",
}
# What names the cluster itself, where --cluster is what the harness calls its environment there.
_FLAGS: Final = {"eks": "--eks-cluster names the EKS cluster itself", "existing": "--context names the cluster itself"}


def use_of(folder: Path) -> str:
    """What a cluster's folder is of: the name of a target, or `LOOK_ALIKE`; empty where nothing says.

    A description that cannot be read counts as kind's: those of environments are written whole or not at all, and what
    a look-alike has on disk shows it without one.
    """
    if target := target_of(folder):
        return target
    # Whose name this is: harness/lookalike/hosting.py, `Folder.of_cluster`.
    if (folder / "lookalike").is_dir() or _beside(folder):
        return LOOK_ALIKE
    return KIND if any((folder / name).exists() for name in (DESCRIPTION, "kind.yaml")) else ""


def refuse_other_use(folder: Path, wanted: str) -> None:
    """Make sure that a cluster's name is free, or stands for what is wanted.

    Args:
        folder: Where the harness keeps what it knows of the cluster of that name.
        wanted: The target; empty for what takes no cluster that is there.

    Raises:
        UsageError: It stands for something else.
    """
    use = use_of(folder)
    if use in {"", wanted}:
        return
    flag = f" ({_FLAGS[wanted]})" if wanted in _FLAGS else ""
    raise UsageError(
        f"the name {folder.name} is taken here, by {_NOUNS.get(use, use)}",
        evidence={"it is known by": str(folder)},
        next_step=f"choose another one with --cluster{flag}, or remove that one: harness down --cluster {folder.name}",
    )


def refuse_removal(folder: Path, *of: str) -> None:
    """Make sure that a folder is one of those that are to be removed, or of nothing.

    Raises:
        GuardError: It is not.
    """
    use = use_of(folder)
    if use not in {"", *of}:
        raise GuardError(
            f"the folder {folder} is of {_NOUNS.get(use, use)}, and is not removed as another's",
            next_step=f"harness down --cluster {folder.name} removes what it is of",
        )


def _beside(folder: Path) -> bool:
    """Whether the cluster is to have something beside it: it says so before there is anything on disk of that."""
    try:
        found: Any = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and bool(found.get("beside"))
