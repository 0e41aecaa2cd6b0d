"""How the DAG's pods get their role, asked before anything is built: Pod Identity's association, or IRSA's annotation.

By IRSA ("IAM roles for service accounts" in the EKS user guide) the service account names the role, EKS's webhook adds
a token to its pods, and they call STS themselves (AssumeRoleWithWebIdentity); no add-on takes part. An account that has
both gets what Pod Identity's webhook adds, and nothing of IRSA.
"""

from __future__ import annotations

from typing import Final

import boto3

from harness.eks_settings import EksSettings, Identity
from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT
from harness.targets.eks.attach import (
    EksCluster,
    associated_role,
    check_pod_identity,
    role_of_pods,
)

# What the webhook of IRSA goes by ("IAM roles for service accounts" in the EKS user guide).
ROLE_ANNOTATION: Final = "eks.amazonaws.com/role-arn"


def check_identity(session: boto3.Session, cluster: EksCluster, kube: KubeApi, settings: EksSettings) -> None:
    """Hold a cluster to give the DAG's pods a role, in the way that is wanted, by calls that only read.

    Raises:
        EnvironmentFailed: It gives them none, or in the other way.
        AwsRefused: AWS may not be asked.
    """
    if settings.identity is Identity.POD_IDENTITY:
        check_pod_identity(session, cluster.name)
        role_of_pods(session, cluster.name)
        return
    account = f"{AIRFLOW_NAMESPACE}/{DVC_SERVICE_ACCOUNT}"
    if role := associated_role(session, cluster.name):
        raise EnvironmentFailed(
            f"the service account {account} of {cluster.name} has an association with {role}: its pods would get their "
            "keys by Pod Identity, not by IRSA",
            next_step="--eks-identity pod-identity, or remove the association",
        )
    found = kube.get("ServiceAccount", DVC_SERVICE_ACCOUNT, AIRFLOW_NAMESPACE)
    annotations = (((found or {}).get("metadata") or {}).get("annotations")) or {}
    if not annotations.get(ROLE_ANNOTATION):
        raise EnvironmentFailed(
            f"the service account {account} of {cluster.name} "
            + ("is not there" if found is None else f"has no annotation {ROLE_ANNOTATION}")
            + ": the DAG's pods would get no keys",
            next_step="harness eks create --identity irsa; or kubectl annotate serviceaccount "
            f"--namespace {AIRFLOW_NAMESPACE} {DVC_SERVICE_ACCOUNT} {ROLE_ANNOTATION}=ROLE",
        )
