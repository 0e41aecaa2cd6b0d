"""What the harness knows of its environment in an existing cluster, in the folder of that cluster; and its removal."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from harness.errors import CleanupFailed, EnvironmentFailed, HarnessError
from harness.targets.attached.claim import Claim
from harness.targets.attached.folder import DESCRIPTION, kube_of, target_of, write_description
from harness.wait import Waiter

TARGET: Final = "existing"


@dataclass(frozen=True, slots=True)
class ExistingEnvironment:
    """One environment, as `cluster.json` describes it.

    Attributes:
        run: The run that made it.
        context: Of the folder's kubeconfig.
        server: URL of the API server that it was made at.
        made_from: The folder that the run was started in.
    """

    run: str
    context: str
    server: str
    made_from: str

    def write(self, folder: Path) -> None:
        """Into the cluster's folder, whole or not at all."""
        write_description(folder, TARGET, asdict(self))


def described(folder: Path) -> ExistingEnvironment | None:
    """What is in a folder; None if nothing is, or another target's.

    Raises:
        EnvironmentFailed: It is damaged.
    """
    if target_of(folder) != TARGET:
        return None
    path = folder / DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found.pop("target")
        return ExistingEnvironment(**found)
    except (ValueError, TypeError, KeyError) as error:
        raise EnvironmentFailed(
            f"what is known of the environment in an existing cluster is damaged: {path}",
            evidence={"why": f"{type(error).__name__}: {error}"},
            next_step="empty the namespaces airflow and harness of that cluster by hand, then remove the folder",
        ) from error


def remove_environment(folder: Path, *, waiter: Waiter) -> None:
    """Remove an environment: what its runs made in the cluster, and the folder.

    Raises:
        EnvironmentFailed: What is known of it is damaged.
        CleanupFailed: Something is still there, or the cluster does not answer.
    """
    found = described(folder)
    if found is not None:
        try:
            with kube_of(folder, found.context) as kube:
                Claim(kube, found.run).remove(waiter)
        except HarnessError as error:
            raise CleanupFailed(
                f"the environment in the cluster at {found.server} could not be removed whole: {error.message}",
                evidence=error.evidence,
                next_step=f"harness sweep, once it answers; if that cluster is gone for good, remove {folder}",
            ) from error
    if folder.is_dir():
        shutil.rmtree(folder)
