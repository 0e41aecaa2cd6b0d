"""What is watched while the tests of this folder run, for `test_secrets.py` to look through at their end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from harness.environment import Environment
from harness.kubeapi import KubeApi, KubeUnavailable
from harness.model import Cluster
from tests.contract.canary.watch import CommandLines

# A pod of the DAG is there for some seconds.
_EVERY = 1.0


@dataclass
class PodWatch:
    """Keeps the last description of each pod of the cluster, also of those that have come and gone.

    Attributes:
        kube: A client of its own: it is used by one thread.
        pods: As JSON, by uid.
    """

    kube: KubeApi
    pods: dict[str, str] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look until it is over; an API server that does not answer is asked again."""
        while not self._over.wait(_EVERY):
            try:
                found = self.kube.list("Pod")
            except KubeUnavailable:
                continue
            self.pods |= {str(pod["metadata"]["uid"]): json.dumps(pod) for pod in found}

    def end(self) -> None:
        """End it."""
        self._over.set()


@pytest.fixture(scope="session", autouse=True)
def command_lines() -> Iterator[CommandLines]:
    """Those of every process of this machine, from before the environment comes up."""
    with CommandLines() as lines:
        yield lines


@pytest.fixture(scope="session", autouse=True)
def pod_watch(command_lines: CommandLines, environment: Environment) -> Iterator[PodWatch]:
    """The pods, from when the environment is up."""
    del command_lines  # begins first
    assert environment.cluster is not None
    watch = _watch(environment.cluster)
    thread = threading.Thread(target=watch.look, name="pods of every test", daemon=True)
    thread.start()
    yield watch
    watch.end()
    thread.join()
    watch.kube.close()


def _watch(cluster: Cluster) -> PodWatch:
    return PodWatch(KubeApi(cluster.kubeconfig, cluster.context))
