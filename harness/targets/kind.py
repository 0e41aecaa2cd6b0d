"""A kind cluster: made with the supply's own kind and node image, in a network of its own, on loopback ports only.

pytest-kind's `KindCluster` is the seam to kind. Its own methods run programs with the ambient environment, reuse any
cluster of the same name, download old tools and write into the working directory (22.11.1), so the subclass here
keeps its interface and replaces what it does.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pytest_kind import KindCluster

from harness.errors import CleanupFailed, CommandFailed, EnvironmentFailed, GuardError, HarnessError
from harness.journal import Entry, Journal
from harness.model import Cluster, Toolchain
from harness.names import NODE_PORTS
from harness.process import Runner
from harness.targets.inotify import raise_limits
from harness.targets.ports import reserved_ports
from harness.versions import versions

_CREATE_SECONDS = 300
_DELETE_SECONDS = 120
_LOAD_SECONDS = 900
_PORT_TAKEN = re.compile(r"address already in use|port is already allocated")
_PORT_ATTEMPTS = 3


class RunnerKindCluster(KindCluster):  # type: ignore[misc] # pytest-kind is untyped
    """pytest-kind's cluster, through our runner, with an explicit environment and no downloads."""

    def __init__(self, *, name: str, folder: Path, toolchain: Toolchain, runner: Runner) -> None:
        # Not the parent's: it makes a folder in the working directory.
        self.name = name
        self.image = toolchain.node_image
        self.path = folder
        self.kubeconfig_path = folder / "kubeconfig"
        self.kind_path = toolchain.kind
        self.kubectl_path = toolchain.kubectl
        self._runner = runner
        self._docker = [str(toolchain.engine.docker)]
        self._env = {
            **toolchain.engine.env,
            # kind runs whatever `docker` it finds first: that must be the client which the engine was proven with.
            "PATH": os.pathsep.join([str(toolchain.engine.docker.parent), os.environ.get("PATH", os.defpath)]),
            "KIND_EXPERIMENTAL_PROVIDER": "docker",
            "KIND_EXPERIMENTAL_DOCKER_NETWORK": name,
            "KUBECONFIG": str(self.kubeconfig_path),
        }

    def exists(self) -> bool:
        """Whether kind knows a cluster of that name on this engine."""
        return self.name in self._kind("get", "clusters", timeout=60).split()

    def create(self, config_file: str | Path | None = None) -> None:
        """Create the cluster; never reuses one.

        Raises:
            CommandFailed: kind says why.
        """
        arguments = ["create", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig_path)]
        arguments += ["--image", self.image, "--wait", "0s"]
        if config_file is not None:
            arguments += ["--config", str(config_file)]
        self.kubeconfig_path.touch(0o600)
        self._kind(*arguments, timeout=_CREATE_SECONDS)

    def load_docker_image(self, docker_image: str, *more: str) -> None:
        """Load images from the engine into the node, in one archive."""
        self._kind("load", "docker-image", "--name", self.name, docker_image, *more, timeout=_LOAD_SECONDS)

    def images(self) -> tuple[str, ...]:
        """References of the images in the node."""
        return tuple(self._inside("ctr", "--namespace", "k8s.io", "images", "ls", "--quiet").split())

    def _inside(self, *arguments: str) -> str:
        command = [*self._docker, "exec", f"{self.name}-control-plane", *arguments]
        return self._runner.run(command, env=self._env, timeout=60).stdout

    def kubectl(self, *args: str, **_kwargs: object) -> str:
        """Run kubectl against this cluster and return what it prints."""
        pinned = ["--kubeconfig", str(self.kubeconfig_path), "--context", f"kind-{self.name}"]
        return self._runner.run([self.kubectl_path, *pinned, *args], env=self._env).stdout

    def delete(self) -> None:
        """Delete the cluster; no error if there is none."""
        arguments = ("--name", self.name, "--kubeconfig", str(self.kubeconfig_path))
        self._kind("delete", "cluster", *arguments, timeout=_DELETE_SECONDS)

    def _kind(self, *arguments: str, timeout: float) -> str:
        return self._runner.run([self.kind_path, *arguments], env=self._env, timeout=timeout).stdout


class KindTarget:
    """Makes, finds and removes one kind cluster by its exact name."""

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
    ) -> None:
        self.name = name
        self._run_id = run_id
        self._folder = state_dir / "clusters" / name
        self._toolchain = toolchain
        self._runner = runner
        self._journal = journal
        self._status = status
        self._entries: list[Entry] = []
        self._held: IO[str] | None = None

    @property
    def folder(self) -> Path:
        """Where the cluster's kubeconfig and its description are kept."""
        return self._folder

    def up(self) -> Cluster:
        """The cluster: the kept one of that name if its node image is still the one wanted, else a new one.

        Raises:
            GuardError: A cluster of that name exists which the harness did not make.
            EnvironmentFailed: It cannot be made; nothing of ours is left behind.
        """
        cluster = self._seam()
        if raised := raise_limits():
            self._status(f"raised inotify limits: {raised}")
        self._lock()
        up = self._reuse(cluster) if cluster.exists() else self._create(cluster)
        self._load_images(cluster)
        return up

    def down(self) -> None:
        """Remove the cluster, its network and its folder; does nothing for a cluster that this run never had."""
        if self._held is None:
            return  # this run never had the cluster: it is somebody else's
        cluster = self._seam()
        if not (self._folder / "cluster.json").exists() and cluster.exists():
            raise GuardError(f"the cluster {self.name} was not made by the harness, so it is not removed")
        problems: list[str] = []
        for action in (cluster.delete, self._remove_network):
            try:
                action()
            except HarnessError as error:
                problems.append(str(error))
        if problems:
            raise CleanupFailed(
                f"the cluster {self.name} could not be removed whole",
                evidence={str(number): problem for number, problem in enumerate(problems, start=1)},
                next_step="harness sweep",
            )
        if self._folder.exists():
            shutil.rmtree(self._folder)
        for entry in self._entries:
            self._journal.removed(entry)
        self._entries.clear()

    def _create(self, cluster: RunnerKindCluster) -> Cluster:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        host = self._toolchain.engine.host
        self._entries.append(self._journal.record("cluster", self.name, host=host, folder=str(self._folder)))
        # Before anything is created: a cluster whose making was broken off is known as ours, and is not reused.
        (self._folder / "cluster.json").write_text(json.dumps({"run": self._run_id}))
        try:
            self._make_network()
            ports = self._create_on_free_ports(cluster)
        except HarnessError as error:
            self._status("removing what was begun")
            try:
                self.down()
            except HarnessError as second:
                error.evidence["cleaning up failed too"] = second.message
            raise
        description = {"ports": ports, "node_image": self._toolchain.node_image, "run": self._run_id}
        (self._folder / "cluster.json").write_text(json.dumps(description, indent=1))
        return self._describe(ports, reused=False)

    def _load_images(self, cluster: RunnerKindCluster) -> None:
        """Load what the node image does not hold, all in one go; with the packages supply there is nothing to do."""
        toolchain = self._toolchain
        wanted = [name for name in toolchain.images.values() if name not in toolchain.preloaded]
        if not wanted:
            return
        present = cluster.images()
        # containerd lists full names; "postgres:17" is "docker.io/library/postgres:17" there.
        missing = [name for name in wanted if not any(found.endswith(f"/{name}") or found == name for found in present)]
        if missing:
            self._status(f"loading {len(missing)} images into the node")
            cluster.load_docker_image(*missing)

    def _create_on_free_ports(self, cluster: RunnerKindCluster) -> dict[str, int]:
        """Create; on the rare loss of a port between its release and the engine's taking it, try other ports."""
        attempt = 1
        while True:
            config = self._folder / "kind.yaml"
            with reserved_ports(NODE_PORTS) as reserved:
                ports = dict(reserved)
                config.write_text(self._render(ports))
            try:
                cluster.create(config)
            except CommandFailed as error:
                if _PORT_TAKEN.search(error.stderr) is None or attempt == _PORT_ATTEMPTS:
                    error.next_step = "`harness doctor` checks what a node needs of this machine"
                    raise
                self._status("a port was taken in the meantime: trying others")
                cluster.delete()
                attempt += 1
            else:
                return ports

    def _render(self, ports: Mapping[str, int]) -> str:
        templates = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined)  # noqa: S701 - YAML, not HTML; strings go through `tojson`
        return templates.get_template("kind-cluster.yaml.j2").render(
            ports=ports,
            node_ports=NODE_PORTS,
            run_id=self._run_id,
            own_network=self._toolchain.supply == "packages",
            coredns=versions().coredns,
        )

    def _reuse(self, cluster: RunnerKindCluster) -> Cluster:
        description_file = self._folder / "cluster.json"
        if not description_file.exists() or not cluster.kubeconfig_path.exists():
            raise GuardError(
                f"a kind cluster named {self.name} exists, and the harness did not make it",
                next_step="choose another name with --cluster, or delete that cluster yourself",
            )
        description = json.loads(description_file.read_text())
        if description.get("node_image") != self._toolchain.node_image:
            self._status("the kept cluster has another node image: making a new one")
            self._entries.append(
                self._journal.record("cluster", self.name, host=self._toolchain.engine.host, folder=str(self._folder))
            )
            self.down()
            return self._create(cluster)
        return self._describe(description["ports"], reused=True)

    def _describe(self, ports: Mapping[str, int], *, reused: bool) -> Cluster:
        kubeconfig = self._folder / "kubeconfig"
        contexts = [entry["name"] for entry in yaml.safe_load(kubeconfig.read_text())["contexts"]]
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
        label = f"harness.run={self._run_id}"
        self._docker("network", "create", "--driver", "bridge", "--label", label, self.name)

    def _remove_network(self) -> None:
        # By our label, too: a network of that name which somebody else made is not ours to remove.
        ours = ("--filter", f"name=^{self.name}$", "--filter", "label=harness.run")
        listed = self._docker("network", "ls", *ours, "--format", "{{.Name}}")
        if self.name in listed.split():
            self._docker("network", "rm", self.name)

    def _docker(self, *arguments: str) -> str:
        engine = self._toolchain.engine
        return self._runner.run([engine.docker, *arguments], env=engine.env, timeout=60).stdout

    def _seam(self) -> RunnerKindCluster:
        return RunnerKindCluster(name=self.name, folder=self._folder, toolchain=self._toolchain, runner=self._runner)

    def release(self) -> None:
        """Let others use the cluster's name."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _lock(self) -> None:
        """Hold the cluster's name until `release`: two runs on one cluster would seed over each other.

        Raises:
            GuardError: Another run has it.
        """
        locks = self._folder.parent
        locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = (locks / f".{self.name}.lock").open("a")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            raise GuardError(
                f"another run is using the cluster {self.name}",
                next_step="wait for it to end, or name another cluster with --cluster",
            ) from None
        self._held = held
