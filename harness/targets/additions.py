"""What a kind cluster may have besides, and what is made for it before it is: the look-alike of EKS has such things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine, seen in the node, read-only.

    Attributes:
        host: The folder.
        node: Where it is in the node.
    """

    host: Path
    node: str


@dataclass(frozen=True, slots=True)
class Additions:
    """What goes into the making of a cluster.

    Attributes:
        kubeadm: Patches of kubeadm's configuration, each a YAML document with its `kind`.
        mounts: Folders that the node sees.
        egress: What pods may reach outside the cluster, as the setting `egress_allow` has it.
        containerd: Patches of containerd's configuration (version 2), each TOML.
    """

    kubeadm: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    egress: tuple[str, ...] = ()
    containerd: tuple[str, ...] = ()


class Beside(Protocol):
    """What is made beside a cluster, once its network is there and before it is.

    A cluster with such a thing is not reused: what is beside it may have ended since.
    """

    @property
    def name(self) -> str:
        """What it is, for the reader, such as "an EKS look-alike"."""

    def make(self, *, folder: Path, gateway: str) -> Additions:
        """Make it.

        Args:
            folder: Of the cluster.
            gateway: Address of this machine in the cluster's own network.

        Raises:
            HarnessError: It cannot be made; `remove` is called then.
        """

    def remove(self, *, folder: Path) -> None:
        """Remove what `make` has made, also in part; safe to call twice."""
