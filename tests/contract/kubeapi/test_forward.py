"""Forwards over the real client, TLS and web socket to a server that plays the kubelet: they outlive what breaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.kubeapi import KubeApi
from harness.targets.forward import Forward, ServicePort
from harness.wait import Waiter
from tests.servers import listening

GIT = ServicePort("harness", "git", "the Git server")
SLICES = "/apis/discovery.k8s.io/v1/namespaces/harness/endpointslices"


def way_to(pod: str) -> str:
    return f"/api/v1/namespaces/harness/pods/{pod}/portforward"


@contextmanager
def echoing(name: bytes) -> Iterator[tuple[str, int]]:
    """The address of a pod that sends back what it gets, after its own name."""

    def echo(peer: socket.socket) -> None:
        with peer:
            peer.sendall(name)
            while data := peer.recv(1 << 16):
                peer.sendall(data)

    with listening(lambda peer: threading.Thread(target=echo, args=(peer,), daemon=True).start()) as port:
        yield "127.0.0.1", port


@pytest.fixture
def api(server: Any) -> Iterator[KubeApi]:
    with KubeApi(server.kubeconfig, "kind-ours", timeout=5.0) as api:
        yield api


@pytest.fixture
def pod(server: Any) -> Iterator[tuple[str, int]]:
    """Address of the one behind the service, ready."""
    with echoing(b"git-1 ") as address:
        ready(server, "git-1")
        server.on("GET", way_to("git-1"), lambda asked: asked.forward(8443, to=address))
        yield address


def ready(server: Any, *pods: str, unready: tuple[str, ...] = ()) -> None:
    endpoints = [{"targetRef": {"kind": "Pod", "name": name}, "conditions": {"ready": name not in unready}}
                 for name in (*unready, *pods)]  # fmt: skip
    server.objects(SLICES, {"ports": [{"port": 8443}], "endpoints": endpoints})


@pytest.fixture
def forward(api: KubeApi) -> Iterator[Callable[..., Forward]]:
    made: list[Forward] = []

    def make(status: Callable[[str], None] = lambda _text: None) -> Forward:
        made.append(Forward(GIT.name, lambda: GIT.open(api), status=status))
        return made[-1]

    yield make
    for one in made:
        one.close()


def connected(to: Forward) -> socket.socket:
    return socket.create_connection(("127.0.0.1", to.port), timeout=10)


def read(client: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (piece := client.recv(1 << 16)):
        data += piece
    return data


def answers(to: Forward, name: bytes) -> bool:
    with connected(to) as client:
        client.sendall(b"again")
        return read(client, len(name) + 5) == name + b"again"


def test_bytes_go_there_and_back_whole(server: Any, pod: Any, forward: Callable[..., Forward]) -> None:
    body = bytes(range(256)) * 4096
    with connected(forward()) as client:
        threading.Thread(target=client.sendall, args=(body,), daemon=True).start()
        assert read(client, len(b"git-1 ") + len(body)) == b"git-1 " + body
    (asked,) = server.asked("GET", way_to("git-1"))
    assert asked.query == {"ports": ["8443"]}
    assert asked.handler.headers["Authorization"] == "Bearer t0ken"


def test_several_connections_are_each_their_own(pod: Any, forward: Callable[..., Forward]) -> None:
    made = forward()
    clients = [connected(made) for _ in range(5)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    for number, client in reversed(list(enumerate(clients))):
        assert read(client, 7) == b"git-1 %d" % number
        client.close()


def test_it_listens_on_loopback_only(forward: Callable[..., Forward]) -> None:
    assert forward()._listener.getsockname()[0] == "127.0.0.1"


def test_a_connection_that_is_cut_ends_and_the_next_one_is_made_anew(
    server: Any, pod: Any, forward: Callable[..., Forward]
) -> None:
    asked: list[Any] = []

    def cut_once(handled: Any) -> None:
        asked.append(handled)
        if len(asked) == 1:
            handled.exec_socket()
            handled.channel(0, b"\xfb\x20")
            handled.channel(0, b"half of")
            handled.cut()
        else:
            handled.forward(8443, to=pod)

    server.on("GET", way_to("git-1"), cut_once)
    made = forward()
    with connected(made) as client:
        assert read(client, 100) == b"half of"
    assert answers(made, b"git-1 ")


def test_a_pod_that_is_replaced_is_found_under_its_new_name(
    server: Any, pod: Any, forward: Callable[..., Forward]
) -> None:
    made = forward()
    assert answers(made, b"git-1 ")
    with echoing(b"git-2 ") as other:
        ready(server, "git-2", unready=("git-1",))
        server.on("GET", way_to("git-2"), lambda asked: asked.forward(8443, to=other))
        assert answers(made, b"git-2 ")


def test_a_connection_waits_for_a_pod_that_is_not_there_yet(
    server: Any, pod: Any, forward: Callable[..., Forward]
) -> None:
    server.objects(SLICES)
    told: list[str] = []
    made = forward(told.append)
    with connected(made) as client:
        Waiter().until("the forward to say so", lambda: told, ready=bool, timeout=5, interval=0.05)
        ready(server, "git-1")
        assert read(client, 6) == b"git-1 "
    assert told == ["a way to the Git server: no pod of the service harness/git is ready"]


def test_an_api_server_that_is_away_for_a_moment_costs_nothing(
    server: Any, pod: Any, forward: Callable[..., Forward]
) -> None:
    asked: list[Any] = []

    def busy_once(handled: Any) -> None:
        asked.append(handled)
        if len(asked) < 3:
            handled.refuse(503, "the server is restarting")
        else:
            handled.forward(8443, to=pod)

    server.on("GET", way_to("git-1"), busy_once)
    assert answers(forward(), b"git-1 ")


def test_who_may_not_forward_is_told_why(server: Any, pod: Any, forward: Callable[..., Forward]) -> None:
    server.on("GET", way_to("git-1"), lambda asked: asked.refuse(403, "pods/portforward is forbidden"))
    told: list[str] = []
    with connected(forward(told.append)) as client:
        assert read(client, 1) == b""
    assert len(told) == 1
    assert "403" in told[0]


def test_what_the_kubelet_says_ends_the_connection(server: Any, pod: Any, forward: Callable[..., Forward]) -> None:
    def nobody_listens(handled: Any) -> None:
        handled.exec_socket()
        handled.channel(0, b"\xfb\x20")
        handled.channel(1, b"\xfb\x20")
        handled.channel(1, b"connection refused")
        server.release.wait(5)

    server.on("GET", way_to("git-1"), nobody_listens)
    with connected(forward()) as client:
        assert read(client, 1) == b""


def test_nothing_is_left_when_it_is_closed(pod: Any, forward: Callable[..., Forward]) -> None:
    made = forward()
    idle, busy = connected(made), connected(made)
    busy.sendall(b"x")
    assert read(busy, 7) == b"git-1 x"
    made.close()
    made.close()
    assert read(busy, 1) == b""
    idle.close()
    busy.close()
    with pytest.raises(ConnectionRefusedError):
        connected(made)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("forward")] == []


def test_closing_does_not_wait_for_a_pod_that_never_comes(server: Any, forward: Callable[..., Forward]) -> None:
    server.objects(SLICES)
    made = forward()
    with connected(made):
        made.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("forward")] == []
