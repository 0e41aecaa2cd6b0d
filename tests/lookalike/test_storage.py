"""Volumes are as EBS gives them, as far as one node can."""

from __future__ import annotations

import secrets

from harness.kubeapi import KubeApi
from tests.pods.player import rendered

from .conftest import PODS, Play


def _claim(kube: KubeApi, storage_class: str) -> str:
    name = f"claim-{secrets.token_hex(4)}"
    kube.apply([rendered(PODS / "claim.yaml.j2", name=name, storage_class=storage_class)])
    return name


def test_no_class_is_the_default_and_both_wait_for_a_pod(kube: KubeApi) -> None:
    found = {one["metadata"]["name"]: one for one in kube.list("StorageClass")}
    assert set(found) == {"gp2", "gp3"}
    default = "storageclass.kubernetes.io/is-default-class"
    assert [name for name, one in found.items() if (one["metadata"].get("annotations") or {}).get(default)] == []
    assert {one["volumeBindingMode"] for one in found.values()} == {"WaitForFirstConsumer"}


def test_a_new_volume_is_roots_and_nobody_elses(kube: KubeApi, play: Play) -> None:
    found = play("volume.py", service_account="default", claim=_claim(kube, "gp3"))
    assert found.said == {
        "owner": [0, 0], "mode": "drwxr-xr-x", "lost+found": "drwx------", "refused": "Permission denied",
    }  # fmt: skip


def test_a_pod_with_an_fs_group_writes_there(kube: KubeApi, play: Play) -> None:
    found = play("volume.py", service_account="default", claim=_claim(kube, "gp3"), group=1000)
    assert found.said["owner"] == [0, 1000]
    assert found.said["refused"] == ""
