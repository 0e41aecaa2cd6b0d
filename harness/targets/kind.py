"""A kind cluster: made with the supply's own kind and node image, in a network of its own, on loopback ports only.

A name belongs to one run at a time, by a lock; what carries that name and is not the harness's own is neither used nor
removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.allowlist import Allowed
from harness.errors import CommandFailed, EnvironmentFailed, GuardError, HarnessError, UsageError
from harness.journal import Entry, Journal
from harness.model import BlockedEgress, Cluster, Toolchain
from harness.names import NODE_PORTS
from harness.process import Runner
from harness.removing import Removing
from harness.targets import kind_config
from harness.targets.additions import Additions, Beside
from harness.targets.description import contexts_of, kept_ports
from harness.targets.egress import EgressRules, inside_node
from harness.targets.inotify import raise_limits
from harness.targets.kind_cluster import RunnerKindCluster
from harness.targets.namelock import NameLock
from harness.targets.network import gateway_of, make_network
from harness.targets.node_images import NodeImages
from harness.targets.ownership import refuse_foreign, runs_of
from harness.targets.ports import reserved_ports
from harness.targets.removal import remove_cluster, remove_nodes
from harness.targets.use import KIND, refuse_other_use

PORT_TAKEN = re.compile(r"address already in use|port is already allocated")
_PORT_ATTEMPTS = 3


class KindTarget:
    """Makes, finds and removes one kind cluster by its exact name.

    Args:
        name: Of the cluster.
        run_id: Of the run.
        state_dir: Below it is what is kept of clusters.
        toolchain: What the cluster is made with.
        runner: Runs programs.
        journal: Told of everything before it is created.
        status: Told what is going on.
        egress_allow: What pods may reach outside the cluster, as the setting of that name has it.
        beside: What is made beside the cluster, and goes with it.
    """

    def __init__(
        self,
        *,
        name: str,
        run_id: str,
        state_dir: Path,
        toolchain: Toolchain,
        runner: Runner,
        journal: Journal,
        status: Callable[[str], None] = lambda _text: None,
        egress_allow: Sequence[str] = (),
        beside: Beside | None = None,
    ) -> None:
        self.name = name
        self._beside = beside
        self._additions = Additions()
        self._run_id = run_id
        self._folder = state_dir / "clusters" / name
        self._toolchain = toolchain
        self._runner = runner
        self._journal = journal
        self._status = status
        self._entries: list[Entry] = []
        self._held: NameLock | None = None
        self.note = ""
        self._egress = EgressRules(
            inside=inside_node(self._node, engine=toolchain.engine, runner=runner),
            allowed=[Allowed.read(entry) for entry in egress_allow],
            # See `kind-cluster.yaml.j2`: the packages supply's node has another one for the kubelet.
            resolver_file="/kind/resolv.conf" if self._own_network else "/etc/resolv.conf",
        )

    @property
    def folder(self) -> Path:
        """Where the cluster's kubeconfig and its description are kept."""
        return self._folder

    @property
    def kept(self) -> bool:
        """Whether the cluster is one that an earlier run has kept, and is still whole: this run has not replaced it."""
        return self._mark.exists()

    def keep(self) -> None:
        """Mark the cluster as kept on purpose, so that nothing but `harness down` removes it."""
        self._mark.touch()

    @property
    def _mark(self) -> Path:
        return self._folder / "kept"

    @property
    def _node(self) -> str:
        return f"{self.name}-control-plane"

    @property
    def _own_network(self) -> bool:
        """Whether the node image has a network plug-in of its own: that of the packages supply has."""
        return self._toolchain.supply == "packages"

    def blocked(self) -> tuple[BlockedEgress, ...]:
        """What pods tried to reach outside the cluster and were kept from, since `up`.

        Raises:
            EnvironmentFailed: The node does not say.
        """
        return self._egress.blocked()

    @property
    def toolchain(self) -> Toolchain:
        """What the cluster was made with; after `up` with the digests that its pods show."""
        return self._toolchain

    def up(self) -> Cluster:
        """The cluster: the kept one of that name if its node image is still the one wanted, else a new one.

        Raises:
            GuardError: Another run, or something that the harness did not make, has that name.
            UsageError: Something of another kind that the harness did make has it.
            EnvironmentFailed: It cannot be made; nothing of ours is left behind.
        """
        cluster = self._seam()
        if raised := raise_limits():
            self._status(f"raised inotify limits: {raised}")
        self._lock()
        try:
            self._refuse_foreign()
            refuse_other_use(self._folder, KIND if self._beside is None else "")
        except (GuardError, UsageError):
            self.release()  # then `down`, too, knows that this is not ours
            raise
        up = self._reuse(cluster) if cluster.exists() else self._create(cluster)
        self.note = "reused" if up.reused else up.kubernetes_version
        # Before anything of ours or of the DAG runs in it.
        self._egress.load()
        self._load_images()
        return up

    def down(self) -> None:
        """Remove the cluster, its network and its folder; does nothing for a cluster that this run never had.

        What has that name by now and was made by somebody else stays.
        """
        if self._held is None:
            return  # this run never had the cluster: it is somebody else's
        removing = Removing()
        removing.step(self._remove_beside)  # it is in the cluster's network
        removing.step(self._remove_cluster)
        removing.conclude()
        for entry in self._entries:
            self._journal.removed(entry)
        self._entries.clear()

    def _create(self, cluster: RunnerKindCluster) -> Cluster:
        host = self._toolchain.engine.host
        self._entries.append(self._journal.record("cluster", self.name, host=host, folder=str(self._folder)))
        # Before anything is removed or created: what is broken off from here on is neither reused nor kept.
        self._mark.unlink(missing_ok=True)
        # The kept cluster that does not fit, or what a run of ours left that was killed; else there is nothing.
        self._remove_cluster()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # From here on the cluster is known as ours.
        made = {"run": self._run_id, "host": host, "made_from": str(Path.cwd())}
        if self._beside is not None:
            made["beside"] = self._beside.name
        (self._folder / "cluster.json").write_text(json.dumps(made))
        try:
            self._make_network()
            self._make_beside()
            ports = self._create_on_free_ports(cluster)
        except HarnessError as error:
            self._status("removing what was begun")
            try:
                self.down()
            except HarnessError as second:
                error.evidence["cleaning up failed too"] = second.message
            raise
        description = {"ports": ports, "node_image": self._toolchain.node_image, **made}
        (self._folder / "cluster.json").write_text(json.dumps(description, indent=1))
        return self._describe(ports, reused=False)

    def _load_images(self) -> None:
        """Give the node what its image does not hold; with the packages supply there is nothing to do."""
        toolchain = self._toolchain
        wanted = {name: image for name, image in toolchain.images.items() if image not in toolchain.preloaded}
        if not wanted:
            return
        node = NodeImages(
            node=self._node,
            engine=toolchain.engine,
            runner=self._runner,
            record=self._folder / "images.json",
            status=self._status,
        )
        self._toolchain = replace(toolchain, image_digests=node.shown(wanted, toolchain.image_digests))

    def _create_on_free_ports(self, cluster: RunnerKindCluster) -> dict[str, int]:
        """Create; on the rare loss of a port between its release and the engine's taking it, try other ports."""
        attempt = 1
        while True:
            config = self._folder / "kind.yaml"
            with reserved_ports(NODE_PORTS) as reserved:
                ports = dict(reserved)
                config.write_text(
                    kind_config.render(
                        ports=ports, run_id=self._run_id, own_network=self._own_network, additions=self._additions
                    )
                )
            try:
                cluster.create(config)
            except CommandFailed as error:
                if PORT_TAKEN.search(error.stderr) is None or attempt == _PORT_ATTEMPTS:
                    error.next_step = "`harness doctor` checks what a node needs of this machine"
                    raise
                self._status("a port was taken in the meantime: trying others")
                remove_nodes(self.name, runs=self._runs, engine=self._toolchain.engine, runner=self._runner)
                attempt += 1
            else:
                return ports

    def _reuse(self, cluster: RunnerKindCluster) -> Cluster:
        ports = kept_ports(self._folder, wanted=self._toolchain.node_image)
        if ports is None:
            self._status("the kept cluster has another node image, or is not whole: making a new one")
            return self._create(cluster)
        return self._describe(ports, reused=True)

    def _describe(self, ports: Mapping[str, int], *, reused: bool) -> Cluster:
        kubeconfig = self._folder / "kubeconfig"
        contexts = contexts_of(self._folder)
        if contexts != [f"kind-{self.name}"]:
            raise EnvironmentFailed(f"{kubeconfig} holds {contexts} instead of the one context kind-{self.name}")
        return Cluster(
            name=self.name,
            kubeconfig=kubeconfig,
            context=contexts[0],
            ports=dict(ports),
            reused=reused,
            kubernetes_version=self._toolchain.kubernetes_version,
        )

    def _make_network(self) -> None:
        """Make the network before kind does: ours carries our label, so that `sweep` can tell it apart."""
        try:
            make_network(self.name, run_id=self._run_id, engine=self._toolchain.engine, runner=self._runner)
        except CommandFailed:
            self._refuse_foreign()  # somebody else was faster, perhaps
            raise

    def _make_beside(self) -> None:
        if self._beside is None:
            return
        gateway = gateway_of(self.name, engine=self._toolchain.engine, runner=self._runner)
        self._additions = self._beside.make(folder=self._folder, gateway=gateway)
        allowed = [Allowed.read(entry) for entry in self._additions.egress]
        self._egress = replace(self._egress, allowed=[*self._egress.allowed, *allowed])

    def _remove_beside(self) -> None:
        if self._beside is not None:
            self._beside.remove(folder=self._folder)

    @property
    def _runs(self) -> frozenset[str]:
        """Whose cluster of that name is ours: this run's, and the one's that made what is kept."""
        return runs_of(self._folder) | {self._run_id}

    def _refuse_foreign(self) -> None:
        refuse_foreign(self.name, folder=self._folder, engine=self._toolchain.engine, runner=self._runner)

    def _remove_cluster(self) -> None:
        there = remove_cluster(
            self.name, runs=self._runs, folder=self._folder, engine=self._toolchain.engine, runner=self._runner
        )
        for what in there.foreign.values():
            self._status(f"left {what}: no run here has made it")

    def _seam(self) -> RunnerKindCluster:
        return RunnerKindCluster(name=self.name, folder=self._folder, toolchain=self._toolchain, runner=self._runner)

    def release(self) -> None:
        """Let others use the cluster's name."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def _lock(self) -> None:
        """Hold the cluster's name until `release`: two runs on one cluster would seed over each other.

        Raises:
            GuardError: Another run has it.
        """
        self._held = NameLock(self._folder)
