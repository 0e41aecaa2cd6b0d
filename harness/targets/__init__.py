"""Where the suite runs.

A `Target` makes or attaches to a cluster and gives back a `Cluster`: a kubeconfig of our own, a context by exact
name, and how services inside are reached from outside. Every call to a cluster names both; nothing ambient is read.
`TARGETS` is the one place that knows which targets there are, and what one has that another has not: whoever needs to
know asks there, or the `Cluster`, and not for the name of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from harness.model import BlockedEgress, Cluster, Toolchain
from harness.settings import Settings, TargetKind
from harness.targets.eks import target as eks
from harness.targets.existing import target as existing
from harness.targets.kind import KindTarget
from harness.targets.ownership import refuse_foreign
from harness.targets.wanted import Wanted

__all__ = ["TARGETS", "Target", "TargetType", "Wanted"]


class Target(Protocol):
    """Somewhere to run."""

    @property
    def folder(self) -> Path:
        """What is kept on disk of this cluster: kubeconfig, description, secrets. Gone when the cluster is."""

    @property
    def toolchain(self) -> Toolchain:
        """What the cluster is made with; after `up` with the digests that its pods show."""

    @property
    def kept(self) -> bool:
        """Whether the cluster is one that an earlier run has kept, and this run has not replaced it."""

    @property
    def note(self) -> str:
        """What the reader is told of the cluster that is up."""

    def up(self) -> Cluster:
        """Make the cluster, or attach to the one that fits; journals before it creates.

        Raises:
            EnvironmentFailed: It cannot be had; nothing of ours is left behind.
        """

    def blocked(self) -> tuple[BlockedEgress, ...] | None:
        """What pods tried to reach outside the cluster and were kept from, since `up`; by their addresses.

        None where nobody watches: that is not the same as nothing.

        Raises:
            EnvironmentFailed: It cannot be known.
        """

    def keep(self) -> None:
        """Mark the cluster as kept on purpose."""

    def down(self) -> None:
        """Remove what `up` created, and what runs made in it, and nothing else; safe to call twice.

        Raises:
            CleanupFailed: Something is still there; names it.
        """

    def release(self) -> None:
        """Let other runs have the cluster; the last thing that a run does with it."""


@dataclass(frozen=True, slots=True)
class TargetType:
    """One kind of target.

    Attributes:
        noun: What the reader is told it is.
        check_settings: Holds the settings to be whole, before anything is started; raises `UsageError`.
        own_name: What the cluster is called where the target knows; None leaves that to the run.
        secrets: What the reader gets in with there that must not be shown, as far as settings lead to it.
        flags: What the reader says on a command line to mean this target and cluster; with a space before it, or empty.
        max_lifetime: Hours that a run may last there; None for as long as it takes.
        object_store: What speaks S3 there, for the reader.
        refuse: Refuses what cannot or may not be, by asking alone, before anything is built; raises `GuardError`.
        make: Makes the target, which does nothing as yet.
    """

    noun: str
    check_settings: Callable[[Settings], None]
    own_name: Callable[[Settings], str | None]
    secrets: Callable[[Settings], tuple[str, ...]]
    flags: Callable[[Settings], str]
    max_lifetime: Callable[[Settings], float | None]
    object_store: Callable[[Settings], str]
    refuse: Callable[[Wanted], None]
    make: Callable[[Wanted, Toolchain], Target]


def _refuse_kind(wanted: Wanted) -> None:
    folder = wanted.settings.state_dir / "clusters" / wanted.name
    refuse_foreign(wanted.name, folder=folder, engine=wanted.engine, runner=wanted.runner)


def _make_kind(wanted: Wanted, toolchain: Toolchain) -> Target:
    return KindTarget(
        name=wanted.name,
        run_id=wanted.run_id,
        state_dir=wanted.settings.state_dir,
        toolchain=toolchain,
        runner=wanted.runner,
        journal=wanted.journal,
        status=wanted.status,
        egress_allow=wanted.settings.egress_allow,
    )


TARGETS: Final[Mapping[TargetKind, TargetType]] = {
    TargetKind.KIND: TargetType(
        noun="kind cluster",
        check_settings=lambda _settings: None,
        own_name=lambda _settings: None,
        secrets=lambda _settings: (),
        flags=lambda _settings: "",
        max_lifetime=lambda _settings: None,
        object_store=lambda settings: str(settings.s3),
        refuse=_refuse_kind,
        make=_make_kind,
    ),
    TargetKind.EKS: TargetType(
        noun="EKS cluster",
        check_settings=eks.check_settings,
        own_name=eks.own_name,
        secrets=lambda _settings: (),
        flags=lambda settings: f" --target eks --eks-cluster {settings.eks.cluster}",
        max_lifetime=lambda settings: settings.eks.max_lifetime,
        object_store=lambda settings: f"S3, bucket {settings.eks.bucket}",
        refuse=eks.refuse,
        make=eks.EksTarget,
    ),
    TargetKind.EXISTING: TargetType(
        noun="existing cluster",
        check_settings=existing.check_settings,
        own_name=existing.own_name,
        secrets=existing.secrets,
        flags=existing.flags,
        max_lifetime=lambda settings: settings.existing.max_lifetime,
        object_store=lambda settings: str(settings.s3),
        refuse=existing.refuse,
        make=existing.ExistingTarget,
    ),
}
