"""The shared claim of one node: its class and the driver that it names are asked for before anything is built."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentFailed
from harness.lookalike.cloud import Cloud
from harness.targets.eks.target import refuse
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.kubeapi.conftest import ApiServer, Handled

_GP3 = ("StorageClass", "", "gp3")
_DRIVER = ("CSIDriver", "", "ebs.csi.aws.com")


def test_it_is_asked_before_anything_is_built_and_nothing_is_written(site: Site, objects: Objects) -> None:
    refuse(site.wanted("run-1"))
    assert objects.writes == []


def test_what_is_on_disk_meanwhile_is_where_the_sweep_finds_it_after_a_kill(
    site: Site, objects: Objects, server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary, runs, seen = tmp_path / "temporary", site.settings().state_dir / "runs", []
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def look(asked: Handled) -> None:
        seen.append(([path.name.partition("-")[0] for path in runs.iterdir()], list(temporary.iterdir())))
        objects.handle(asked)

    server.on("GET", "/apis/storage.k8s.io/v1/storageclasses", look)
    refuse(site.wanted("run-1"))
    assert seen == [(["eks"], [])]
    assert list(runs.iterdir()) == []


def test_a_class_that_is_missing_is_named_with_its_remedy_and_those_that_are_there(
    site: Site, objects: Objects
) -> None:
    del objects.storage[_GP3]
    objects.put("StorageClass", "gp2", provisioner="kubernetes.io/aws-ebs")
    with pytest.raises(EnvironmentFailed, match="the cluster has no storage class gp3") as caught:
        refuse(site.wanted("run-1"))
    assert caught.value.evidence == {"storage classes": "gp2"}
    assert "kubectl apply -f fixtures/eks/storage-class.yaml" in caught.value.next_step
    refuse(site.wanted("run-2", storage_class="gp2"))


def test_without_a_default_class_one_has_to_be_named(site: Site, objects: Objects) -> None:
    with pytest.raises(EnvironmentFailed, match="no default storage class") as caught:
        refuse(site.wanted("run-1", storage_class=""))
    assert "eks.storage_class" in caught.value.next_step
    default: dict[str, Any] = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    objects.put("StorageClass", "team", provisioner="example.com/nfs", metadata=default)
    refuse(site.wanted("run-2", storage_class=""))


def test_a_driver_that_is_missing_is_named_with_its_remedy(site: Site, objects: Objects) -> None:
    del objects.storage[_DRIVER]
    with pytest.raises(EnvironmentFailed, match="no aws-ebs-csi-driver, which the storage class gp3") as caught:
        refuse(site.wanted("run-1"))
    assert "create-addon --cluster-name mlops --addon-name aws-ebs-csi-driver" in caught.value.next_step


def test_the_driver_of_auto_mode_is_built_in(site: Site, objects: Objects) -> None:
    del objects.storage[_DRIVER]
    objects.storage[_GP3]["provisioner"] = "ebs.csi.eks.amazonaws.com"
    refuse(site.wanted("run-1"))


def test_nobody_but_the_cluster_is_asked(site: Site, cloud: Cloud) -> None:
    refuse(site.wanted("run-1"))
    asked = {call.parameters["addonName"] for call in cloud.log.calls() if call.operation == "DescribeAddon"}
    assert asked == {"eks-pod-identity-agent"}
