"""What pods there are while tests run, kept also of those that have come and gone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.kubeapi import KubeApi, KubeUnavailable
from harness.model import Cluster

# A pod of the DAG is there for some seconds.
_EVERY = 1.0


@dataclass
class PodWatch:
    """Keeps the last description of each pod of the cluster.

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


@contextmanager
def watched(cluster: Cluster) -> Iterator[PodWatch]:
    """The pods of a cluster, for the length of a block."""
    watch = PodWatch(KubeApi(cluster.kubeconfig, cluster.context))
    thread = threading.Thread(target=watch.look, name="pods of every test", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
        watch.kube.close()
