"""What the harness knows of its environment in an EKS cluster, in the folder of that cluster; and its removal."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from harness.errors import CleanupFailed, HarnessError
from harness.kubeapi import KubeApi
from harness.targets.attached.claim import Claim
from harness.targets.attached.folder import kube_of, read_description, write_description
from harness.targets.eks.aws import open_session
from harness.targets.eks.bucket import remove_claim
from harness.targets.eks.prefix import empty
from harness.targets.use import refuse_removal
from harness.wait import Waiter

TARGET: Final = "eks"


@dataclass(frozen=True, slots=True)
class EksEnvironment:
    """One environment, as `cluster.json` describes it.

    Attributes:
        run: The run that made it.
        context: Of the kubeconfig: the cluster's ARN.
        region: Of the cluster and the bucket.
        profile: Profile of the AWS configuration; None for what boto3 finds.
        bucket: That its runs write to.
        prefixes: Of the keys of each run that used it.
        made_from: The folder that the run was started in.
    """

    run: str
    context: str
    region: str
    profile: str | None
    bucket: str
    prefixes: tuple[str, ...]
    made_from: str

    def write(self, folder: Path) -> None:
        """Into the cluster's folder, whole or not at all."""
        write_description(folder, TARGET, asdict(self))

    def kube(self, folder: Path) -> KubeApi:
        """The cluster, by the folder's own kubeconfig."""
        return kube_of(folder, self.context)


def described(folder: Path) -> EksEnvironment | None:
    """What is in a folder; None if nothing is, or another target's.

    Raises:
        EnvironmentFailed: It is damaged.
    """
    return read_description(
        folder, TARGET, lambda found: EksEnvironment(**{**found, "prefixes": tuple(found["prefixes"])}), where="EKS"
    )


def remove_environment(folder: Path, *, waiter: Waiter) -> None:
    """Remove an environment: what its runs made in the cluster, their keys in the bucket, and the folder.

    Raises:
        GuardError: The folder is of something else.
        EnvironmentFailed: The cluster or AWS does not answer, or refused it.
        CleanupFailed: Something is still there; names it.
    """
    refuse_removal(folder, TARGET)
    found = described(folder)
    if found is not None:
        problems: dict[str, str] = {}
        for what, action in (("the cluster", _from_cluster), ("the bucket", _from_bucket)):
            try:
                action(found, folder, waiter)
            except HarnessError as error:
                problems[what] = f"{error.message}{''.join(f'; {said}' for said in error.evidence.values())}"
        if problems:
            raise CleanupFailed(
                f"the environment in {found.context} could not be removed whole",
                evidence=problems,
                next_step="harness sweep, with the AWS profile or keys that the run had",
            )
    if folder.is_dir():
        shutil.rmtree(folder)


def _from_cluster(found: EksEnvironment, folder: Path, waiter: Waiter) -> None:
    with found.kube(folder) as kube:
        Claim(kube, found.run).remove(waiter)


def _from_bucket(found: EksEnvironment, _folder: Path, _waiter: Waiter) -> None:
    if found.prefixes:
        session = open_session(profile=found.profile, region=found.region)
        for prefix in found.prefixes:
            empty(session, found.bucket, prefix)
            remove_claim(session, found.bucket, prefix)
