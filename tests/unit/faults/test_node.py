"""What of the node's seam needs no node."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EnvironmentFailed
from harness.kubeapi import JsonObject, KubeApi
from tests.faults.node import Gates, container_id, shared_volume


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
