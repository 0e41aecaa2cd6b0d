"""The shared claim on EBS, or on what a class of the team's stands for: the class and its driver, asked before all.

EKS has no class `gp3` by itself, and a claim of a class that is not there, or that nobody makes volumes for, waits for
ever: the run would be told so by its own patience, half an hour later. Kubernetes is asked, not EKS: a driver that is
there by its Helm chart is no add-on.
"""

from __future__ import annotations

from typing import Final

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.targets.eks.attach import EksCluster
from harness.targets.storage import check_storage

_ADDON: Final = "aws-ebs-csi-driver"
# EKS Auto Mode has a driver of its own, with another name and no CSIDriver that a user must bring (EKS user guide,
# "Create a storage class").
_DRIVER: Final = "ebs.csi.aws.com"
_MANIFEST: Final = "fixtures/eks/storage-class.yaml"


def check_ebs(cluster: EksCluster, kube: KubeApi, name: str) -> None:
    """Hold a cluster to have what a claim of mode ReadWriteOnce needs, by calls that only read.

    Args:
        cluster: Which.
        kube: Its API.
        name: Of the claim's class; empty for the cluster's default.

    Raises:
        EnvironmentFailed: The class is missing, or the driver that it names is.
    """
    check_storage(kube, name, next_step=f"kubectl apply -f {_MANIFEST}; or name another: eks.storage_class")
    if not name or (kube.get("StorageClass", name) or {}).get("provisioner") != _DRIVER:
        return
    if kube.get("CSIDriver", _DRIVER) is None:
        raise EnvironmentFailed(
            f"{cluster.name} has no {_ADDON}, which the storage class {name} needs: nobody would make the volume",
            next_step=f"aws eks create-addon --cluster-name {cluster.name} --addon-name {_ADDON}, with a role "
            "for ebs-csi-controller-sa (docs/how-to/eks.md); or name another class: eks.storage_class",
        )
