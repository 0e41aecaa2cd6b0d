"""The shared claim on EFS: its driver, and a storage class that makes an access point per claim, asked before all.

Nothing of EFS itself is asked: whoever makes volumes in the cluster is the driver, not the run. Facts by the driver's
docs/parameters.md and templates/csidriver.yaml (kubernetes-sigs/aws-efs-csi-driver) and Amazon EFS's guide, "Enforcing
a user identity using an access point", November 2026: with dynamic provisioning EFS replaces whoever asks by the user
of the access point, which is the class's `uid` and `gid`, or else one that the driver picks, and that user owns all.
The CSIDriver names no fsGroupPolicy, so the kubelet applies a pod's fsGroup to volumes of mode ReadWriteOnce alone: to
this claim never.
"""

from __future__ import annotations

from typing import Final

import boto3

from harness.eks_settings import EksSettings
from harness.errors import EnvironmentFailed, GuardError
from harness.kubeapi import JsonObject, KubeApi
from harness.targets.eks.attach import EksCluster, has_addon

_ADDON: Final = "aws-efs-csi-driver"
_DRIVER: Final = "efs.csi.aws.com"
_ACCESS_POINTS: Final = "efs-ap"
_MANIFEST: Final = "fixtures/eks/storage-class-efs.yaml"


def check_efs(session: boto3.Session, cluster: EksCluster, kube: KubeApi, settings: EksSettings) -> None:
    """Hold a cluster to have what a claim of mode ReadWriteMany needs, by calls that only read.

    Raises:
        EnvironmentFailed: The driver is missing or not ACTIVE, the class is missing or of another kind.
        GuardError: The class is on another file system than the one that is named.
        AwsRefused: The add-on may not be asked for.
    """
    # The driver may also be there by its Helm chart: then EKS knows of no add-on.
    addon = has_addon(session, cluster.name, _ADDON)
    if not addon and kube.get("CSIDriver", _DRIVER) is None:
        raise EnvironmentFailed(
            f"{cluster.name} has no {_ADDON}, which shared_storage = efs needs: nobody would make the volume",
            next_step=f"aws eks create-addon --cluster-name {cluster.name} --addon-name {_ADDON}, with a role "
            "for efs-csi-controller-sa (docs/how-to/eks.md); or --shared-storage rwo",
        )
    name = settings.claim_class
    if (found := kube.get("StorageClass", name)) is None:
        raise EnvironmentFailed(
            f"{cluster.name} has no storage class {name}, which the claim on EFS is to have",
            next_step=f"kubectl apply -f {_MANIFEST}, with the file system's id; or name another: eks.storage_class",
        )
    _check_class(name, found, settings.efs_file_system)


def _check_class(name: str, found: JsonObject, file_system: str | None) -> None:
    parameters = found.get("parameters") or {}
    step = f"make it as {_MANIFEST} is, or name another: eks.storage_class"
    provisioner, mode = found.get("provisioner"), parameters.get("provisioningMode")
    if provisioner != _DRIVER:
        raise EnvironmentFailed(f"the storage class {name} is of {provisioner}, not of {_DRIVER}", next_step=step)
    if mode != _ACCESS_POINTS:
        raise EnvironmentFailed(
            f"the storage class {name} has provisioningMode {mode}, not {_ACCESS_POINTS}", next_step=step
        )
    if file_system is not None and (on := parameters.get("fileSystemId")) != file_system:
        raise GuardError(
            f"the storage class {name} is on {on or 'a file system that it does not name'}, and "
            f"eks.efs_file_system is {file_system}",
            next_step="check both; name the class of that file system with eks.storage_class",
        )
