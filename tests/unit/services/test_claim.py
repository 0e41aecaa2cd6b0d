"""The claim that tasks share is emptied by a pod that is removed whatever comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.errors import WaitFailed, WaitTimeout
from harness.names import SHARED_CLAIM
from harness.services.claim import ClaimEmptying
from harness.wait import Waiter
from tests.fakes import Clock


@dataclass
class Cluster:
    """Holds the pods that were applied; they have the given state after two seconds."""

    clock: Clock
    status: dict[str, Any]
    log: str = ""
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def apply(self, manifests: list[dict[str, Any]], /) -> None:
        for manifest in manifests:
            self.pods[manifest["metadata"]["name"]] = manifest

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        key, _, value = labels.partition("=")
        return [pod for pod in self.pods.values() if pod["metadata"]["labels"].get(key) == value]

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        if name not in self.pods:
            return None
        return {**self.pods[name], "status": self.status if self.clock.seconds >= 2 else {"phase": "Pending"}}

    def pod_logs(self, pod: str, container: str | None = None, *, namespace: str) -> str:
        return self.log

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        return self.pods.pop(name, None) is not None


def cluster(phase: str, log: str = "") -> Cluster:
    return Cluster(Clock(), {"phase": phase}, log)


def emptied(found: Cluster) -> None:
    ClaimEmptying.start(found, "worker:1", waiter=Waiter(found.clock)).finish()


def test_the_pod_mounts_the_claim_and_deletes_what_is_in_it() -> None:
    found = cluster("Succeeded")
    emptying = ClaimEmptying.start(found, "worker:1", waiter=Waiter(found.clock))
    spec = found.pods[emptying.pod]["spec"]
    (container,), (volume,) = spec["containers"], spec["volumes"]
    assert container["image"] == "worker:1"
    assert volume["persistentVolumeClaim"]["claimName"] == SHARED_CLAIM
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": container["command"][1]}]
    assert container["command"][-1] == "-delete"


def test_starting_does_not_wait_and_finishing_does() -> None:
    found = cluster("Succeeded")
    emptying = ClaimEmptying.start(found, "worker:1", waiter=Waiter(found.clock))
    assert found.clock.seconds == 0
    emptying.finish()
    assert found.clock.seconds >= 2
    assert not found.pods


def test_a_pod_that_fails_is_an_error_with_its_own_words_and_is_removed() -> None:
    found = cluster("Failed", "find: cannot delete '/shared/x': Read-only file system\n")
    with pytest.raises(WaitFailed, match="Read-only file system") as caught:
        emptied(found)
    assert "harness down" in caught.value.next_step
    assert not found.pods


def test_a_pod_that_does_not_end_is_a_timeout_and_is_removed() -> None:
    found = cluster("Running")
    with pytest.raises(WaitTimeout):
        emptied(found)
    assert not found.pods


def test_a_pod_that_somebody_removed_is_not_waited_for() -> None:
    found = cluster("Succeeded")
    emptying = ClaimEmptying.start(found, "worker:1", waiter=Waiter(found.clock))
    found.pods.clear()
    with pytest.raises(WaitFailed, match="its pod is gone"):
        emptying.finish()


def test_what_a_run_that_was_broken_off_left_is_removed() -> None:
    found = cluster("Succeeded")
    ClaimEmptying.start(found, "worker:1", waiter=Waiter(found.clock))
    emptied(found)
    assert not found.pods
