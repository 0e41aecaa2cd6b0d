"""Ways into a cluster whose nodes cannot be reached: ports on this machine's loopback that lead to its Services.

A forward is a listener of this process that lives as long as the run. Each connection to it is one of its own to a pod
that is ready just then (`harness.portstream`): a pod that goes, an API server that restarts or a network that hiccups
costs the connections through it, and the next ones are made anew. Nothing has to be started again, and no port changes.
`kubectl port-forward` would be a program beside the run, bound to one pod until it ends, with all connections at once.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from harness.errors import EnvironmentFailed, HarnessError
from harness.kubeapi import KubeApi
from harness.wait import Waiter

_log = logging.getLogger(__name__)
_LOOPBACK: Final = "127.0.0.1"
_SLICES: Final = "discovery.k8s.io/v1"
_PIECE: Final = 1 << 16
# How long a new connection waits for a pod that is being replaced.
_OPEN_SECONDS: Final = 5.0
_JOIN_SECONDS: Final = 5.0


class Stream(Protocol):
    """A connection to the other side (`harness.portstream.PortStream`)."""

    def fileno(self) -> int:
        """Of its socket."""

    @property
    def pending(self) -> bool:
        """Whether there is something to receive that the socket does not show."""

    def send(self, data: bytes, /) -> None:
        """Send."""

    def receive(self) -> bytes | None:
        """What came; None at the end."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service.

    Attributes:
        namespace: Of the Service.
        service: Its name.
        name: What leads there is called, such as "git".
    """

    namespace: str
    service: str
    name: str

    def open(self, kube: KubeApi) -> Stream:
        """Connect to a pod of it that is ready, at the Service's first port.

        Raises:
            EnvironmentFailed: None is ready, or it cannot be reached.
        """
        labels = f"kubernetes.io/service-name={self.service}"
        slices = kube.list("EndpointSlice", self.namespace, labels=labels, api_version=_SLICES)
        for one in slices:
            ports = [int(port["port"]) for port in one.get("ports") or () if port.get("port")]
            for endpoint in one.get("endpoints") or ():
                if ports and (pod := _ready_pod(endpoint)):
                    return kube.open_port(pod, ports[0], namespace=self.namespace)
        raise EnvironmentFailed(f"no pod of the service {self.namespace}/{self.service} is ready")


def _ready_pod(endpoint: dict[str, Any]) -> str:
    """Name of the pod of an endpoint; empty if it is none, or not ready.

    Unknown readiness counts as ready ("EndpointConditions" in the Kubernetes API reference).
    """
    target = endpoint.get("targetRef") or {}
    ready = (endpoint.get("conditions") or {}).get("ready")
    return str(target.get("name") or "") if target.get("kind") == "Pod" and ready is not False else ""


class Forward:
    """One port on loopback, from its making to `close`."""

    def __init__(
        self, name: str, connect: Callable[[], Stream], *, status: Callable[[str], None] = lambda _text: None
    ) -> None:
        """Listen.

        Args:
            name: What it leads to.
            connect: Makes one connection to the other side.
            status: Told why there is no way just now: whoever uses the port only sees connections that end.
        """
        self._name = name
        self._connect = connect
        self._over = threading.Event()
        self._waiter = Waiter(on_change=lambda what, why: status(f"{what}: {why}"), given_up=self._over.is_set)
        self._listener = socket.create_server((_LOOPBACK, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._accepting = threading.Thread(target=self._accept, name=f"forward {name}", daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Stop listening and end what goes through; safe to call twice."""
        self._over.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which a mere close would not
        except OSError:
            _log.debug("the forward %s listens no more", self._name)
        self._accepting.join(_JOIN_SECONDS)
        self._listener.close()
        with self._lock:
            live = dict(self._clients)
        for client, thread in live.items():
            _shut(client)
            thread.join(_JOIN_SECONDS)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                # Also where this process has no descriptors left for a moment.
                _log.debug("forward %s: %s", self._name, error)
                if self._over.wait(0.1):
                    return
                continue
            thread = threading.Thread(target=self._serve, args=(client,), name=f"forward {self._name}", daemon=True)
            with self._lock:
                self._clients[client] = thread
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        stream: Stream | None = None
        try:
            stream = self._open()
            _pump(client, stream)
        except (HarnessError, OSError) as error:
            # The other end of this connection sees it closed, and says so or comes again.
            _log.debug("forward %s: %s", self._name, error)
        finally:
            if stream is not None:
                stream.close()
            with self._lock:
                self._clients.pop(client, None)
            client.close()

    def _open(self) -> Stream:
        """A connection to the other side, also if it takes a moment until there is one to be had."""
        failed: list[HarnessError] = []

        def attempt() -> Stream | None:
            try:
                return self._connect()
            except EnvironmentFailed as error:
                failed[:] = [error]
                return None

        found = self._waiter.until(
            f"a way to {self._name}",
            attempt,
            ready=lambda stream: stream is not None,
            describe=lambda stream: "there" if stream is not None else failed[-1].message,
            timeout=_OPEN_SECONDS,
            interval=0.25,
        )
        if found is None:
            raise EnvironmentFailed(f"no way to {self._name}")
        return found


def _pump(client: socket.socket, stream: Stream) -> None:
    """Pass everything on, both ways, until either side ends."""
    client.setblocking(True)
    with selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ)
        ready.register(stream.fileno(), selectors.EVENT_READ)
        while True:
            readable = {key.fileobj for key, _ in ready.select(0 if stream.pending else None)}
            if client in readable:
                data = client.recv(_PIECE)
                if not data:
                    return
                stream.send(data)
            if stream.pending or readable - {client}:
                answer = stream.receive()
                if answer is None:
                    return
                client.sendall(answer)


def _shut(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        _log.debug("it was closed already")
