"""What every target does alike that attaches to a cluster: the folder, the namespaces taken and given back, forwards.

What is made stands in the journal before it is made, and whatever breaks off is taken back.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from harness.errors import GuardError, HarnessError
from harness.journal import Entry
from harness.kubeapi import KubeApi
from harness.model import BlockedEgress, Toolchain
from harness.names import AIRFLOW_NAMESPACE, RELEASE, SERVICES_NAMESPACE
from harness.targets.attached import images
from harness.targets.attached.claim import Claim
from harness.targets.attached.folder import KUBECONFIG, kube_of
from harness.targets.attached.reaper import Reaper
from harness.targets.forward import Forward, ServicePort
from harness.targets.namelock import NameLock
from harness.targets.use import refuse_other_use
from harness.targets.wanted import Wanted

# What is reached from outside, by its name in `Cluster.ports`.
PORTS: Final = {
    "airflow": ServicePort(AIRFLOW_NAMESPACE, f"{RELEASE}-api-server", "Airflow's API"),
    "git": ServicePort(SERVICES_NAMESPACE, "git", "the Git server"),
    "s3": ServicePort(SERVICES_NAMESPACE, "s3", "the object store"),
}
_NAME_LENGTH: Final = 40


def name_for(target: str, cluster: str) -> str:
    """What the harness calls the one environment that it has in a cluster: a name for a folder, and for --cluster."""
    name = f"{target}-{re.sub(r'[^a-z0-9]+', '-', cluster.lower()).strip('-')}"
    if name == f"{target}-{cluster}" and len(name) <= _NAME_LENGTH:
        return name
    mark = hashlib.sha256(cluster.encode()).hexdigest()[:6]
    return f"{name[: _NAME_LENGTH - 7].rstrip('-')}-{mark}"


class AttachedTarget(ABC):
    """One environment in a cluster that is there.

    Args:
        wanted: What the run asks for.
        toolchain: What the environment is filled with.
    """

    def __init__(self, wanted: Wanted, toolchain: Toolchain) -> None:
        self.name = wanted.name
        self._wanted = wanted
        self._folder = wanted.settings.state_dir / "clusters" / wanted.name
        self._toolchain = toolchain
        # What nodes call each image, by its reference; nothing where they hold them under their own names.
        self._names: Mapping[str, str] = {}
        self._entry: Entry | None = None
        self._held: NameLock | None = None
        # Whether this run has begun the environment or taken it up. Until then a kept one is not its own.
        self._has_it = False
        self._open = ExitStack()
        self.note = ""

    @abstractmethod
    def _remove(self) -> None:
        """Remove the environment that the folder describes, and the folder."""

    @property
    def folder(self) -> Path:
        """Where kubeconfig, description and secrets of the environment are kept."""
        return self._folder

    @property
    def toolchain(self) -> Toolchain:
        """What the environment is filled with; after `up` with the digests that its pods show."""
        return self._toolchain

    @property
    def kept(self) -> bool:
        """Whether the environment is one that an earlier run has kept, and is whole."""
        return (self._folder / "kept").exists()

    def keep(self) -> None:
        """Mark the environment as kept on purpose."""
        (self._folder / "kept").touch()

    def blocked(self) -> tuple[BlockedEgress, ...] | None:
        """None: nobody watches what pods reach outside of the cluster."""
        return None

    def down(self) -> None:
        """Remove what the runs of this environment made, and nothing else; safe to call twice.

        Raises:
            CleanupFailed: Something is still there; names it.
        """
        self._open.close()
        if self._held is None or not self._has_it:
            return  # this run never had it: it is another run's, or was kept by one, and this run was refused
        self._remove()
        if self._entry is not None:
            self._wanted.journal.removed(self._entry)
            self._entry = None

    def release(self) -> None:
        """End the forwards, and let others use the name."""
        self._open.close()
        if self._held is not None:
            self._held.release()
            self._held = None

    def _lock(self, target: str) -> None:
        """Hold the name of the environment until `release`.

        Raises:
            GuardError: Another run on this machine has it.
            UsageError: It stands for something else than an environment of that target.
        """
        self._held = NameLock(self._folder, attached=True)
        refuse_other_use(self._folder, target)

    def _refuse_other(self, known: str, found: str) -> None:
        """Hold the folder to describe an environment of that cluster, as either is told to the reader.

        Raises:
            GuardError: It is of another.
        """
        if known != found:
            raise GuardError(
                f"{self.name} is known here as an environment {known}, not {found}",
                next_step="name this one otherwise with --cluster, or remove that one with harness down",
            )

    def _as_in(self, registry: str | None) -> Mapping[str, str]:
        """What nodes call each image that they pull from a registry, whose digests the toolchain then has."""
        names = images.mapped(self._toolchain, registry)
        self._toolchain = images.with_digests(self._toolchain, names, runner=self._wanted.runner)
        return names

    def _begin(self, *, leftover: bool, make: Callable[[], None]) -> None:
        """Make a new environment, once the journal names it; what was begun goes if it breaks off.

        Args:
            leftover: Whether the folder describes one, which goes first.
            make: Makes it; the folder is there.
        """
        self._has_it = True
        try:
            if leftover:
                self._wanted.status("removing what is left of the environment that was here")
                (self._folder / "kept").unlink(missing_ok=True)
                self._remove()
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            make()
        except HarnessError as error:
            self._wanted.status("removing what was begun")
            try:
                self.down()
            except HarnessError as second:
                error.evidence["cleaning up failed too"] = second.message
            raise

    def _take(self, context: str, *, hours: float, describe: Callable[[KubeApi], None]) -> None:
        """Take the namespaces, and put the reaper there.

        Args:
            context: Of the folder's kubeconfig.
            hours: That they will be used.
            describe: Writes what is known of the environment, once nobody else has them: from then on it may hold
                something, and whoever removes it goes by this. May refuse.
        """
        with kube_of(self._folder, context) as kube:
            claim = Claim(kube, self._wanted.run_id)
            claim.refuse_others()
            describe(kube)
            claim.take(hours=hours)
            self._reaper(kube).apply()

    def _renewed(
        self, context: str, run: str, *, hours: float, whole: Callable[[KubeApi], bool] = lambda _kube: True
    ) -> bool:
        """Keep what a run has taken for another time; False if it is not whole, also by what the caller asks of it.

        Raises:
            GuardError: Another run has it.
        """
        with kube_of(self._folder, context) as kube:
            claim = Claim(kube, run)
            if not claim.is_held() or not whole(kube) or not claim.renew(hours=hours):
                return False
            self._reaper(kube).apply()
        return True

    def _reaper(self, kube: KubeApi) -> Reaper:
        # The harness's own worker, whatever the DAG's pods run: it has Python, and nodes come by it anyway.
        reference = self._toolchain.images.get("probe", self._toolchain.images["worker"])
        return Reaper(kube, self._names.get(reference, reference))

    def _forwards(self, context: str, *names: str) -> tuple[KubeApi, dict[str, int]]:
        """The cluster, and ports here that lead to services in it, until `release`."""
        kube = self._open.enter_context(KubeApi(self._folder / KUBECONFIG, context))
        return kube, {name: self._forward(PORTS[name], kube) for name in names}

    def _forward(self, port: ServicePort, kube: KubeApi) -> int:
        forward = Forward(port.name, lambda: port.open(kube), status=self._wanted.status)
        self._open.callback(forward.close)
        return forward.port
