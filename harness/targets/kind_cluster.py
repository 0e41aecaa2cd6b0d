"""pytest-kind's `KindCluster`, the seam to the kind program.

Its own methods run programs with the ambient environment, reuse any cluster of the same name, download old tools and
write into the working directory (22.11.1), so the subclass here keeps its interface and replaces what it does.
"""

from __future__ import annotations

import os
from pathlib import Path

from pytest_kind import KindCluster

from harness.model import Toolchain
from harness.process import Runner

_CREATE_SECONDS = 300
_DELETE_SECONDS = 120
_LOAD_SECONDS = 900


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

    def load_docker_image(self, docker_image: str) -> None:
        """Load one image; `harness.targets.node_images` loads several at once, and from every kind of engine."""
        self._kind("load", "docker-image", "--name", self.name, docker_image, timeout=_LOAD_SECONDS)

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
