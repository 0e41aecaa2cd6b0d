"""What is not this state folder's: it stands beside every run, and must stand there as it was behind it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.model import Engine
from harness.names import LABEL_RUN
from harness.process import SubprocessRunner
from harness.supply.images import REPOSITORY
from harness.targets.ownership import KIND_LABEL


@contextmanager
def bystanders(engine: Engine) -> Iterator[None]:
    """A container and a network that are nobody's of the harness, running beside every run."""
    name = f"bystander-{secrets.token_hex(3)}"
    with _standing(engine, name, name):
        yield


@contextmanager
def cluster_of_another_state(engine: Engine) -> Iterator[str]:
    """What tells a cluster of a run with another state folder: its network and its node; the cluster's name."""
    name = f"kept-elsewhere-{secrets.token_hex(3)}"
    labels = (f"{LABEL_RUN}=of-another-state",), (f"{KIND_LABEL}={name}",)
    with _standing(engine, name, f"{name}-control-plane", *labels):
        yield name


@contextmanager
def _standing(
    engine: Engine,
    network: str,
    container: str,
    network_labels: Sequence[str] = (),
    container_labels: Sequence[str] = (),
) -> Iterator[None]:
    runner = SubprocessRunner()

    def docker(*arguments: str) -> str:
        return runner.run([engine.docker, *arguments], env=engine.env).stdout

    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{REPOSITORY}/debian-*").split()
    assert listed, "a run to its end has made the Debian images"
    docker("network", "create", *_labels(network_labels), network)
    try:
        words = ("--name", container, "--network", network, *_labels(container_labels))
        docker("run", "--detach", *words, listed[0], "sleep", "infinity")
        try:
            yield
        finally:
            docker("rm", "--force", container)
    finally:
        docker("network", "rm", network)


def _labels(labels: Sequence[str]) -> list[str]:
    return [word for label in labels for word in ("--label", label)]
