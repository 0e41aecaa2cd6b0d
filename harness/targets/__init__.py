"""Where the suite runs.

A `Target` makes or attaches to a cluster and gives back a `Cluster`: a kubeconfig of our own, a context by exact
name, and how services inside are reached from outside. Every call to a cluster names both; nothing ambient is read.
"""

from __future__ import annotations

from typing import Protocol

from harness.model import Cluster


class Target(Protocol):
    """Somewhere to run."""

    def up(self) -> Cluster:
        """Make the cluster, or attach to the one that fits; journals before it creates.

        Raises:
            EnvironmentFailed: It cannot be had; nothing of ours is left behind.
        """

    def down(self) -> None:
        """Remove what `up` created and nothing else; safe to call twice.

        Raises:
            CleanupFailed: Something is still there; names it.
        """
