"""What the harness knows of its environment in an existing cluster, in the folder of that cluster; and its removal."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from harness.errors import CleanupFailed, HarnessError
from harness.targets.attached.claim import Claim
from harness.targets.attached.folder import kube_of, read_description, write_description
from harness.targets.use import refuse_removal
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
    return read_description(folder, TARGET, lambda found: ExistingEnvironment(**found), where="an existing cluster")


def remove_environment(folder: Path, *, waiter: Waiter) -> None:
    """Remove an environment: what its runs made in the cluster, and the folder.

    Raises:
        GuardError: The folder is of something else.
        EnvironmentFailed: What is known of it is damaged.
        CleanupFailed: Something is still there, or the cluster does not answer.
    """
    refuse_removal(folder, TARGET)
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
