"""Where the suite runs.

A `Target` makes or attaches to a cluster and gives back a `Cluster`: a kubeconfig of our own, a context by exact
name, and how services inside are reached from outside. Every call to a cluster names both; nothing ambient is read.
`TARGETS` is the one place that knows which targets there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from harness.model import BlockedEgress, Cluster, Toolchain
from harness.settings import TargetKind
from harness.targets.kind import KindTarget


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

    def up(self) -> Cluster:
        """Make the cluster, or attach to the one that fits; journals before it creates.

        Raises:
            EnvironmentFailed: It cannot be had; nothing of ours is left behind.
        """

    def blocked(self) -> tuple[BlockedEgress, ...]:
        """What pods tried to reach outside the cluster and were kept from, since `up`; by their addresses.

        Raises:
            EnvironmentFailed: It cannot be known.
        """

    def keep(self) -> None:
        """Mark the cluster as kept on purpose."""

    def down(self) -> None:
        """Remove what `up` created and nothing else; safe to call twice.

        Raises:
            CleanupFailed: Something is still there; names it.
        """

    def release(self) -> None:
        """Let other runs have the cluster; the last thing that a run does with it."""


# Each is called with the same words; `KindTarget` says what they mean.
TARGETS: Final[Mapping[TargetKind, type[KindTarget]]] = {TargetKind.KIND: KindTarget}
