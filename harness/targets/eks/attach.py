"""Attaching to an EKS cluster: what EKS says of it, and a kubeconfig of our own with our own exec plug-in."""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

from harness.assets import package_path
from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.liveness import scratch
from harness.names import (
    AIRFLOW_NAMESPACE,
    DVC_SERVICE_ACCOUNT,
    LABEL_ENVIRONMENT,
    LABEL_EXPIRES,
    LABEL_OWNER,
    OWNER,
)
from harness.targets.attached.folder import write_config
from harness.targets.eks.aws import AwsRefused, client, explained

_ACTIVE: Final = "ACTIVE"
_POD_IDENTITY: Final = "eks-pod-identity-agent"


@dataclass(frozen=True, slots=True)
class EksCluster:
    """A cluster as EKS describes it.

    Attributes:
        name: Its name.
        arn: Its ARN, which says partition, region and account.
        endpoint: URL of its API server.
        authority: Base64 of the PEM certificate that signed the API server's.
        version: Kubernetes minor, such as "1.34".
        tags: Its tags.
    """

    name: str
    arn: str
    endpoint: str
    authority: str
    version: str
    tags: Mapping[str, str]

    @property
    def region(self) -> str:
        """Where it is, by its ARN."""
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        """Whose it is, by its ARN."""
        return self.arn.split(":")[4]


def describe(session: boto3.Session, name: str) -> EksCluster:
    """What EKS says of a cluster.

    Raises:
        AwsRefused: There is none of that name, or it may not be asked.
        EnvironmentFailed: It is not ACTIVE.
    """
    eks = client(session, "eks")
    try:
        with explained(f"describe the EKS cluster {name} in {session.region_name}"):
            found: dict[str, Any] = eks.describe_cluster(name=name)["cluster"]
    except AwsRefused as refused:
        if refused.code != "ResourceNotFoundException":
            raise
        raise AwsRefused(
            f"there is no EKS cluster {name} in {session.region_name}",
            code=refused.code,
            next_step="check eks.cluster and eks.region, and which account the profile is of",
        ) from None
    finally:
        eks.close()
    if found["status"] != _ACTIVE:
        step = f"wait until it is: aws eks describe-cluster --name {name} --query cluster.status"
        tags = found.get("tags") or {}
        if ours := tags.get(LABEL_OWNER) == OWNER:
            step += f"; or, for harness eks create made it: {removed_by(name, tags.get(LABEL_ENVIRONMENT, ''))}"
        raise EnvironmentFailed(
            f"the EKS cluster {name} is {found['status']}, not {_ACTIVE}",
            next_step=step,
            evidence={"it may stay until": tags.get(LABEL_EXPIRES, "it does not say")} if ours else None,
        )
    authority = found["certificateAuthority"]["data"]
    try:
        base64.b64decode(authority, validate=True)
    except binascii.Error:
        raise EnvironmentFailed(f"EKS gives no usable certificate authority for {name}") from None
    return EksCluster(
        name, found["arn"], found["endpoint"], authority, found.get("version", ""), dict(found.get("tags") or {})
    )


def removed_by(cluster: str, environment: str) -> str:
    """The command that removes a cluster that `harness eks create` has made, with the suffix of its environment."""
    suffix = environment.partition(".")[2]
    return f"harness eks delete --eks-cluster {cluster}" + (f" --suffix {suffix}" if suffix else "")


def check_pod_identity(session: boto3.Session, cluster: str) -> None:
    """Hold a cluster to have what gives pods their keys: the add-on, or EKS Auto Mode, which has the agent built in.

    Auto Mode: docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html; `cluster.computeConfig.enabled` in
    botocore's model of EKS.

    Raises:
        EnvironmentFailed: It is missing, or not ACTIVE.
        AwsRefused: It may not be asked.
    """
    if not has_addon(session, cluster, _POD_IDENTITY) and not _is_auto_mode(session, cluster):
        raise EnvironmentFailed(
            f"{cluster} has no add-on {_POD_IDENTITY}: its pods get no keys",
            next_step=f"aws eks create-addon --cluster-name {cluster} --addon-name {_POD_IDENTITY}",
        )


def _is_auto_mode(session: boto3.Session, cluster: str) -> bool:
    eks = client(session, "eks")
    try:
        with explained(f"describe the EKS cluster {cluster}"):
            found: dict[str, Any] = eks.describe_cluster(name=cluster)["cluster"]
    finally:
        eks.close()
    return bool((found.get("computeConfig") or {}).get("enabled"))


def has_addon(session: boto3.Session, cluster: str, name: str) -> bool:
    """Whether a cluster has an add-on of EKS; one that it has is ACTIVE.

    Raises:
        EnvironmentFailed: It has it, and it is not ACTIVE.
        AwsRefused: It may not be asked.
    """
    eks = client(session, "eks")
    try:
        with explained(f"look for the add-on {name} of {cluster}"):
            status = eks.describe_addon(clusterName=cluster, addonName=name)["addon"]["status"]
    except AwsRefused as refused:
        if refused.code != "ResourceNotFoundException":
            raise
        return False
    finally:
        eks.close()
    if status != _ACTIVE:
        raise EnvironmentFailed(
            f"the add-on {name} of {cluster} is {status}, not {_ACTIVE}",
            next_step=f"see why: aws eks describe-addon --cluster-name {cluster} --addon-name {name}",
        )
    return True


def role_of_pods(session: boto3.Session, cluster: str) -> str:
    """ARN of the role that is associated with the service account of the DVC pods.

    Raises:
        EnvironmentFailed: None is.
        AwsRefused: It may not be asked.
    """
    if role := associated_role(session, cluster):
        return role
    account = f"{AIRFLOW_NAMESPACE}/{DVC_SERVICE_ACCOUNT}"
    raise EnvironmentFailed(
        f"no role is associated with the service account {account} in {cluster}: the DAG's pods would get no keys",
        next_step=f"aws eks create-pod-identity-association --cluster-name {cluster} --namespace {AIRFLOW_NAMESPACE} "
        f"--service-account {DVC_SERVICE_ACCOUNT} --role-arn ROLE; or --eks-identity irsa, if that is how it is",
    )


def associated_role(session: boto3.Session, cluster: str) -> str:
    """The same; empty where none is.

    Raises:
        AwsRefused: It may not be asked.
    """
    eks = client(session, "eks")
    account = f"{AIRFLOW_NAMESPACE}/{DVC_SERVICE_ACCOUNT}"
    of = {"clusterName": cluster, "namespace": AIRFLOW_NAMESPACE, "serviceAccount": DVC_SERVICE_ACCOUNT}
    try:
        with explained(f"look for the association of {account} in {cluster}"):
            listed: list[dict[str, Any]] = eks.list_pod_identity_associations(**of)["associations"]
            if listed:
                found = eks.describe_pod_identity_association(
                    clusterName=cluster, associationId=listed[0]["associationId"]
                )
                return str(found["association"]["roleArn"])
    finally:
        eks.close()
    return ""


def write_kubeconfig(cluster: EksCluster, path: Path, *, profile: str | None) -> str:
    """Write a kubeconfig with one context for a cluster, mode 0600; the context's name.

    Its user is the harness's own exec plug-in: each client asks it for a token, and asks again when that is over.

    Args:
        cluster: Which.
        path: File to write; its folder must be there.
        profile: Profile that signs; None for what boto3 finds.
    """
    command = [
        "-m", "harness.eks_token", "--cluster-name", cluster.name, "--region", cluster.region,
        *(("--profile", profile) if profile else ()),
    ]  # fmt: skip
    # This very harness, wherever the client runs the plug-in: a relative entry would lead elsewhere from there.
    paths = [
        package_path().parent,
        *(Path(one).absolute() for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one),
    ]
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": command,
        "env": [
            {"name": "PYTHONPATH", "value": os.pathsep.join(dict.fromkeys(map(str, paths)))},
            # Nor a package harness in the folder that it is run in, which `-m` would look in first
            # (docs.python.org, "Command line and environment": PYTHONSAFEPATH, since 3.11).
            {"name": "PYTHONSAFEPATH", "value": "1"},
        ],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster.arn,
                "cluster": {"server": cluster.endpoint, "certificate-authority-data": cluster.authority},
            }
        ],
        "users": [{"name": cluster.arn, "user": {"exec": plugin}}],
        "contexts": [{"name": cluster.arn, "context": {"cluster": cluster.arn, "user": cluster.arn}}],
        "current-context": cluster.arn,
    }
    write_config(config, path)
    return cluster.arn


@contextmanager
def looking_into(cluster: EksCluster, *, profile: str | None, state_dir: Path) -> Iterator[KubeApi]:
    """A cluster's API for a while, before anything of it is kept on this machine.

    Args:
        cluster: Which.
        profile: Profile that signs; None for what boto3 finds.
        state_dir: The state folder, in which `harness sweep` finds what a kill leaves.
    """
    with scratch(state_dir, "eks") as folder:
        kubeconfig = folder / "kubeconfig"
        context = write_kubeconfig(cluster, kubeconfig, profile=profile)
        with KubeApi(kubeconfig, context) as kube:
            yield kube
