"""What of the node's seam needs no node."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.environment import Environment
from harness.errors import CommandFailed, EnvironmentFailed
from harness.kubeapi import JsonObject, KubeApi
from harness.model import Engine
from harness.wait import Waiter
from tests.fakes import Call, Clock, FakeRunner
from tests.faults.node import Gates, Node, container_id, refused, shared_volume
from tests.faults.scene import Scene, Stage


def pod(*statuses: dict[str, Any]) -> JsonObject:
    return {"metadata": {"name": "x"}, "status": {"containerStatuses": list(statuses)}}


def test_a_container_is_known_as_containerd_knows_it() -> None:
    found = pod(
        {"name": "git-sync", "containerID": "containerd://a"}, {"name": "base", "containerID": "containerd://b"}
    )
    assert container_id(found, "base") == "b"


@pytest.mark.parametrize("found", [pod(), pod({"name": "base"}), {"metadata": {"name": "x"}}])
def test_a_container_that_was_not_started_is_an_error_and_not_another_one(found: JsonObject) -> None:
    with pytest.raises(EnvironmentFailed, match="pod x has no container base"):
        container_id(found, "base")


class Volumes(KubeApi):
    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec

    def get(self, kind: str, name: str, namespace: str | None = None, *, api_version: str = "") -> JsonObject | None:
        if kind == "PersistentVolumeClaim":
            return {"spec": {"volumeName": "pvc-1"}}
        return {"spec": self._spec} if name == "pvc-1" else None


@pytest.mark.parametrize("kind", ["hostPath", "local"])
def test_the_volume_is_where_its_claim_says(kind: str) -> None:
    assert shared_volume(Volumes({kind: {"path": "/var/x"}})) == "/var/x"


def test_a_volume_that_is_no_folder_of_the_node_is_an_error() -> None:
    with pytest.raises(EnvironmentFailed, match="on no folder of the node"):
        shared_volume(Volumes({"csi": {}}))


def test_a_gate_is_a_file_of_its_run_and_opening_it_twice_is_no_error() -> None:
    asked: list[tuple[str, ...]] = []

    def inside(*argv: str, stdin: str | None = None) -> str:
        asked.append(argv)
        return ""

    gates = Gates(inside, "/vol")
    gates.close("run-1", "push.before")
    gates.open("run-1", "push.before")
    assert asked == [
        ("mkdir", "-p", "/vol/gates/run-1"),
        ("touch", "/vol/gates/run-1/push.before"),
        ("rm", "-f", "/vol/gates/run-1/push.before"),
    ]


def counters() -> str:
    return Path("/proc/self/net/snmp").read_text(encoding="ascii")


def test_a_connection_that_is_refused_is_one_more_in_the_kernels_counters() -> None:
    before = refused(counters())
    with socket.socket() as mine, socket.socket() as asks:
        mine.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(ConnectionRefusedError):
            asks.connect(mine.getsockname())
    assert refused(counters()) > before


def test_a_refusal_by_the_nodes_rules_counts_too() -> None:
    icmp = "Icmp: InMsgs InErrors InDestUnreachs\nIcmp: 9 0 {}\nTcp: ActiveOpens AttemptFails\nTcp: 7 {}\n"
    assert [refused(icmp.format(*of)) for of in ((0, 0), (2, 0), (0, 3))] == [0, 2, 3]


class Containers(FakeRunner):
    """Containerd with one container, whose process may end at any time."""

    def __init__(self, *, there: bool, ended: bool) -> None:
        super().__init__()
        self.there, self.ended = there, ended

    def answer(self, call: Call) -> str:
        if call.argv[-2:] == ["tasks", "ls"]:
            return "TASK    PID     STATUS    \nother    2    RUNNING\n" + ("b    7    RUNNING\n" if self.there else "")
        assert call.argv[-2:] == ["cat", "/proc/7/net/snmp"]
        if self.ended:
            raise CommandFailed(argv=call.argv, code=1, stdout="", stderr="No such file or directory")
        return counters()


@pytest.mark.parametrize(
    ("there", "ended"), [(True, False), (True, True), (False, False)], ids=["at work", "just ended", "gone"]
)
def test_refusals_are_those_of_the_pods_own_network_while_it_is_there(
    there: bool,  # noqa: FBT001 - pytest's form
    ended: bool,  # noqa: FBT001 - likewise
) -> None:
    engine = Engine(Path("docker"), "", ours=False, version="20.10")
    node = Node("n", engine, Containers(there=there, ended=ended))
    found = node.refusals(pod({"name": "base", "containerID": "containerd://b"}), "base")
    assert (found is not None) is (there and not ended)


@pytest.mark.parametrize(
    ("looks", "said"),
    [((4, 4, 5), None), ((4, 4, None), "its pod has ended, and none was"), ((None,), "is gone, and was to wait")],
    ids=["refused", "ended without", "gone before"],
)
def test_things_stay_broken_until_a_connection_of_the_pod_is_refused(
    looks: tuple[int | None, ...], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list(looks)
    unused: Any = None
    waiter = Waiter(clock=Clock())
    stage = Stage(cast("Environment", SimpleNamespace(waiter=waiter)), unused, unused, unused, unused)
    scene = Scene(stage, "push.before-dvc-push", unused)
    monkeypatch.setattr(Scene, "refusals", lambda _scene: seen.pop(0))
    with nullcontext() if said is None else pytest.raises(EnvironmentFailed, match=said):
        scene.refused(scene.refusals())
    assert seen == []
