"""The pods of the two code rows, as far as that goes without a cluster: what is made is what the harness reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from harness.errors import WaitFailed
from harness.model import ImageName
from harness.redaction import Redactor
from harness.wait import Waiter
from tests.mutations.cluster import ClusterPods

SHA = "a" * 40
IMAGES: dict[ImageName, str] = {"git-sync": "sync:1", "airflow": "airflow:3", "worker": "worker:2"}


class Stream:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...

    def lines(self) -> Iterable[str]:
        return iter(self._lines)


class Cluster:
    """Runs each pod that is applied to its end at once; what git-sync would log is given."""

    def __init__(self, *, waiting: str = "") -> None:
        self.made: list[Mapping[str, Any]] = []
        self.applied: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self._waiting = waiting

    def apply(self, manifests: Iterable[Mapping[str, Any]]) -> None:
        for manifest in manifests:
            self.made.append(manifest)
            metadata = {**manifest["metadata"], "uid": f"uid-{len(self.made)}"}
            self.applied.append({**manifest, "metadata": metadata, "status": self._status(manifest)})

    def _status(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        spec = manifest["spec"]
        if self._waiting:
            state = {"waiting": {"reason": self._waiting, "message": "no such image"}}
            return {"phase": "Pending", "containerStatuses": [{"name": "base", "state": state}]}

        def ended(containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [
                {"name": one["name"], "imageID": f"id of {one['image']}", "state": {"terminated": {"exitCode": 0}}}
                for one in containers
            ]

        return {
            "phase": "Succeeded",
            "initContainerStatuses": ended(spec.get("initContainers", [])),
            "containerStatuses": ended(spec["containers"]),
        }

    def list_with_version(self, _kind: str, _namespace: str, *, labels: str) -> tuple[list[dict[str, Any]], str]:
        name, _, value = labels.partition("=")
        return [pod for pod in self.applied if pod["metadata"]["labels"].get(name) == value], "1"

    def list(self, kind: str, namespace: str, *, labels: str) -> list[dict[str, Any]]:
        return self.list_with_version(kind, namespace, labels=labels)[0]

    def watch(self, _kind: str, _namespace: str, *, labels: str, resource_version: str, seconds: int) -> Stream:
        # An error in the stream has the follower list anew.
        return Stream([json.dumps({"type": "ERROR", "object": {}})])

    def follow_logs(self, _pod: str, container: str, *, namespace: str) -> Stream:
        line = json.dumps({"msg": "updated successfully", "ref": "main", "remote": SHA})
        return Stream([line] if container == "git-sync-init" else [])

    def delete(self, _kind: str, name: str, _namespace: str) -> bool:
        self.deleted.append(name)
        self.applied = [pod for pod in self.applied if pod["metadata"]["name"] != name]
        return True


def pods(cluster: Cluster) -> ClusterPods:
    return ClusterPods(cluster, IMAGES, Waiter(), Redactor())  # type: ignore[arg-type]


def test_an_executor_pod_tells_the_commit_that_its_git_sync_checked_out() -> None:
    cluster = Cluster()
    pod = pods(cluster).executor("modify_data", repository="scratch-x.git", ref="main")
    assert (pod.role, pod.task_id, pod.phase, pod.synced_sha) == ("executor", "modify_data", "Succeeded", SHA)
    assert pod.image == "airflow:3"
    assert cluster.deleted == [pod.name]


def test_its_git_sync_follows_the_rows_own_repository() -> None:
    cluster = Cluster()
    pods(cluster).executor("modify_data", repository="scratch-x.git", ref="main")
    sync = cluster.made[0]["spec"]["initContainers"][0]
    variables = {entry["name"]: entry.get("value") for entry in sync["env"]}
    assert sync["image"] == "sync:1"
    assert variables["GITSYNC_REPO"] == "https://git.harness.svc.cluster.local/scratch-x.git"
    assert variables["GITSYNC_REF"] == "main"


def test_a_task_pod_tells_the_image_that_it_ran() -> None:
    pod = pods(Cluster()).task("push_data", image="worker")
    assert (pod.role, pod.task_id, pod.image_id, pod.synced_sha) == ("task", "push_data", "id of worker:2", None)


def test_a_pod_that_cannot_start_ends_the_row_with_its_reason() -> None:
    with pytest.raises(WaitFailed, match="InvalidImageName"):
        pods(Cluster(waiting="InvalidImageName")).task("push_data", image="worker")


def test_pods_of_a_killed_session_are_removed() -> None:
    cluster = Cluster(waiting="InvalidImageName")
    with pytest.raises(WaitFailed):
        pods(cluster).task("push_data", image="worker")
    pods(cluster).remove_all()
    assert len(cluster.deleted) == 1
    assert cluster.applied == []
