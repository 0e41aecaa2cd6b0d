"""Volumes are as EBS gives them, and a stand-in for EFS's, as far as one node can."""

from __future__ import annotations

import secrets

from harness.kubeapi import KubeApi
from harness.names import AIRFLOW_NAMESPACE
from tests.pods.player import rendered

from .conftest import PODS, Play


def _claim(kube: KubeApi, storage_class: str, access: str = "ReadWriteOnce") -> str:
    name = f"claim-{secrets.token_hex(4)}"
    kube.apply([rendered(PODS / "claim.yaml.j2", name=name, storage_class=storage_class, access=access)])
    return name


def test_no_class_is_the_default_and_those_of_ebs_wait_for_a_pod(kube: KubeApi) -> None:
    found = {one["metadata"]["name"]: one for one in kube.list("StorageClass")}
    assert set(found) == {"gp2", "gp3", "efs"}
    default = "storageclass.kubernetes.io/is-default-class"
    assert [name for name, one in found.items() if (one["metadata"].get("annotations") or {}).get(default)] == []
    modes = {name: one["volumeBindingMode"] for name, one in found.items()}
    assert modes == {"gp2": "WaitForFirstConsumer", "gp3": "WaitForFirstConsumer", "efs": "Immediate"}


def test_a_new_volume_is_roots_and_nobody_elses(kube: KubeApi, play: Play) -> None:
    found = play("volume.py", service_account="default", claim=_claim(kube, "gp3"))
    assert found.said == {
        "owner": [0, 0], "mode": "drwxr-xr-x", "lost+found": "drwx------", "refused": "Permission denied",
    }  # fmt: skip


def test_a_pod_with_an_fs_group_writes_there(kube: KubeApi, play: Play) -> None:
    found = play("volume.py", service_account="default", claim=_claim(kube, "gp3"), group=1000)
    assert found.said["owner"] == [0, 1000]
    assert found.said["refused"] == ""


def test_a_volume_of_efs_is_for_many_and_no_fs_group_is_applied(kube: KubeApi, play: Play) -> None:
    claim = _claim(kube, "efs", "ReadWriteMany")
    found = play("volume.py", service_account="default", claim=claim, group=1000)
    assert found.said == {"owner": [0, 0], "mode": "drwxrwxrwx", "lost+found": "", "refused": ""}
    bound = (kube.get("PersistentVolumeClaim", claim, AIRFLOW_NAMESPACE) or {})["spec"]["volumeName"]
    volume = (kube.get("PersistentVolume", bound) or {})["spec"]
    assert volume["accessModes"] == ["ReadWriteMany"]
    assert "nodeAffinity" not in volume, "any node may have it"
