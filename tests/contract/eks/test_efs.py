"""The shared claim on EFS: what the cluster must have for it, asked before anything is built, and what it becomes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EnvironmentFailed, GuardError
from harness.lookalike.cloud import Cloud
from harness.targets.eks.target import refuse
from tests.contract.eks.aftermath import fill
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import CLUSTER

EFS: dict[str, Any] = {"shared_storage": "efs"}
FILE_SYSTEM = "fs-0123456789abcdef0"
PARAMETERS = {"provisioningMode": "efs-ap", "fileSystemId": FILE_SYSTEM, "directoryPerms": "700"}


@pytest.fixture(autouse=True)
def _prepared(cloud: Cloud, objects: Objects) -> None:
    cloud.eks.cluster(CLUSTER).addons["aws-efs-csi-driver"] = "v2.1.9-eksbuild.1"
    put_class(objects)


def put_class(objects: Objects, name: str = "efs", provisioner: str = "efs.csi.aws.com", **parameters: str) -> None:
    objects.put("StorageClass", name, provisioner=provisioner, parameters=PARAMETERS | parameters)


def test_a_claim_on_efs_is_for_many_and_of_the_class_of_efs(site: Site, objects: Objects, cloud: Cloud) -> None:
    cluster = site.target(**EFS, efs_file_system=FILE_SYSTEM).up()
    assert (cluster.storage_class, cluster.claim_access) == ("efs", "ReadWriteMany")
    assert {call.outcome for call in cloud.log.calls() if call.principal.endswith("user/limited")} == {"allowed"}


def test_it_is_asked_before_anything_is_built_and_nothing_is_written(site: Site, objects: Objects) -> None:
    refuse(site.wanted("run-1", **EFS))
    assert "EFS 0.00" in site.told[0]
    assert objects.writes == []


def test_without_it_none_of_it_is_asked(site: Site, objects: Objects, cloud: Cloud) -> None:
    cloud.eks.cluster(CLUSTER).addons.pop("aws-efs-csi-driver")
    objects.found.pop(("StorageClass", "", "efs"))
    assert site.target().up().claim_access == "ReadWriteOnce"


def test_a_driver_that_is_missing_is_named_with_its_remedy(site: Site, cloud: Cloud) -> None:
    cloud.eks.cluster(CLUSTER).addons.pop("aws-efs-csi-driver")
    with pytest.raises(EnvironmentFailed, match="mlops has no aws-efs-csi-driver") as caught:
        refuse(site.wanted("run-1", **EFS))
    assert "create-addon --cluster-name mlops --addon-name aws-efs-csi-driver" in caught.value.next_step


def test_a_driver_by_its_chart_is_one(site: Site, objects: Objects, cloud: Cloud) -> None:
    cloud.eks.cluster(CLUSTER).addons.pop("aws-efs-csi-driver")
    objects.put("CSIDriver", "efs.csi.aws.com")
    refuse(site.wanted("run-1", **EFS))


def test_a_class_that_is_missing_is_named_with_its_remedy(site: Site, objects: Objects) -> None:
    with pytest.raises(EnvironmentFailed, match="mlops has no storage class team") as caught:
        refuse(site.wanted("run-1", **EFS, storage_class="team"))
    assert "kubectl apply -f fixtures/eks/storage-class-efs.yaml" in caught.value.next_step
    assert objects.writes == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"provisioner": "ebs.csi.aws.com"}, "storage class efs is of ebs.csi.aws.com, not of efs.csi.aws.com"),
        ({"provisioningMode": "efs-dir"}, "storage class efs has provisioningMode efs-dir, not efs-ap"),
    ],
)
def test_a_class_of_another_kind_is_refused(site: Site, objects: Objects, given: dict[str, str], said: str) -> None:
    put_class(objects, **given)
    with pytest.raises(EnvironmentFailed, match=said):
        refuse(site.wanted("run-1", **EFS))


def test_a_class_on_another_file_system_than_the_named_is_refused(site: Site) -> None:
    with pytest.raises(GuardError, match=f"storage class efs is on {FILE_SYSTEM}, and eks.efs_file_system is fs-0000"):
        refuse(site.wanted("run-1", **EFS, efs_file_system="fs-00000000"))


@pytest.mark.parametrize(("before", "after"), [({}, EFS), (EFS, {}), ({"storage_class": "gp2"}, {})])
def test_a_kept_environment_with_another_claim_is_made_anew(
    site: Site, objects: Objects, before: dict[str, Any], after: dict[str, Any]
) -> None:
    objects.put("StorageClass", "gp2", provisioner="ebs.csi.aws.com")
    first = site.target("run-1", **before)
    cluster = first.up()
    fill(cluster, objects)
    put_claim(objects, cluster.claim_access, cluster.storage_class)
    first.keep()
    first.release()
    again = site.target("run-2", **before)
    assert again.up().reused
    again.release()
    other = site.target("run-3", **after)
    assert not other.up().reused
    assert "PersistentVolumeClaim/airflow-shared-pvc" not in objects.names("airflow")


def put_claim(objects: Objects, access: str, storage_class: str) -> None:
    spec = {"accessModes": [access], "storageClassName": storage_class}
    objects.put("PersistentVolumeClaim", "airflow-shared-pvc", "airflow", spec=spec)
