"""What is to be prepared for a cluster: each thing with its name, in the order in which they are made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

from harness.eks_admin.association import Association
from harness.eks_admin.bucket import Bucket
from harness.eks_admin.identity_provider import IdentityProvider
from harness.eks_admin.in_cluster import Namespace, RoleAnnotation, ServiceAccount
from harness.eks_admin.repository import Repository
from harness.eks_admin.role import Role
from harness.eks_admin.things import ENVIRONMENT, NEVER, Marks, Thing
from harness.eks_policies import document
from harness.eks_settings import EksSettings, Identity
from harness.errors import EnvironmentFailed, UsageError
from harness.journal import Journal
from harness.kubeapi import KubeApi
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, LABEL_OWNER, OWNER
from harness.targets.attached.claim import NAMESPACES
from harness.targets.attached.images import LOCAL
from harness.targets.eks.attach import EksCluster
from harness.targets.eks.aws import client, explained
from harness.targets.eks.ecr import ECR, repository_of
from harness.versions import versions
from harness.wait import Waiter

# The guide's names.
ROLE: Final = "Airflow-DVCS3Role"
ROLE_POLICY: Final = "Airflow-DVCS3Policy"
_SUFFIX: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,14}[a-z0-9])?")
_BUCKET_LENGTH: Final = 63
# By botocore 1.43's model of IAM (policyPathType, policyNameType); AWS's own policies are of the account "aws".
_POLICY_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:iam::(?:\d{12}|aws):policy/(?:[\w.,+@=-]+/)*[\w+=,.@-]{1,128}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller asks for; what cannot be meant is refused before anything is looked at.

    Attributes:
        suffix: Of the names of role and bucket and of the repositories' prefix, for a cluster beside others in its
            account; empty for the guide's names.
        identity: How pods get the role.
        boundary: ARN of the role's permissions boundary; empty for none, and for whichever it has.
        adopt: Names of things that are somebody else's and are to be used.
        expires: When all of it counts as left behind, ISO 8601; "never" for what is prepared once.
        may_empty: Whether the bucket may be removed with what is in it.
    """

    suffix: str = ""
    identity: Identity = Identity.POD_IDENTITY
    boundary: str = ""
    adopt: frozenset[str] = frozenset()
    expires: str = NEVER
    may_empty: bool = False

    def __post_init__(self) -> None:
        """Hold what goes into names and into the role to its form.

        Raises:
            UsageError: The suffix is none, or the boundary is no ARN of a policy.
        """
        _hold_suffix(self.suffix)
        if self.boundary and not _POLICY_ARN.fullmatch(self.boundary):
            raise UsageError(
                f"{self.boundary!r} is not the ARN of an IAM policy, and cannot be a permissions boundary",
                next_step="use one such as arn:aws:iam::ACCOUNT:policy/NAME, as `aws iam list-policies` shows it",
            )


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one environment.

    Attributes:
        environment: Of all of it: the cluster's name, and the suffix after a dot.
        role: Of the role.
        bucket: Of the bucket.
        values: By the names in the policies' files.
        repositories: Of ECR; none where runs push nothing there.
    """

    environment: str
    role: str
    bucket: str
    values: Mapping[str, str]
    repositories: tuple[str, ...] = ()

    @property
    def role_arn(self) -> str:
        """Of the role."""
        return f"arn:{self.values['partition']}:iam::{self.values['account']}:role/{self.role}"


def environment(cluster: str, suffix: str) -> str:
    """What all of it is called in a region: in tags, labels and the state folder."""
    return f"{cluster}.{suffix}" if suffix else cluster


def made_for(cluster: EksCluster) -> str:
    """The environment that a cluster was made for by `harness eks create --eks-create`; empty where it was not."""
    of = cluster.tags.get(ENVIRONMENT, "")
    return of if cluster.tags.get(LABEL_OWNER) == OWNER and of.partition(".")[0] == cluster.name else ""


def journal_of(state: Path, account: str, region: str, environment: str) -> Journal:
    """The journal of an environment: beside those of runs, for it outlives them.

    One of an earlier version, which had no account in its path, is taken for that of the first account that asks:
    nothing in it says whose it is.
    """
    path = state / "eks" / account / region / environment / "journal.jsonl"
    earlier = state / "eks" / region / environment / "journal.jsonl"
    if earlier.exists() and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        earlier.replace(path)
    return Journal(path)


def names(cluster: EksCluster, settings: EksSettings, suffix: str) -> Names:
    """The names of an environment.

    Raises:
        UsageError: A name is not one.
    """
    _hold_suffix(suffix)
    unnamed = f"dvc-{cluster.account}-{re.sub(r'[^a-z0-9]+', '-', cluster.name.lower()).strip('-')}"
    bucket, role = _ending(settings.bucket or unnamed, suffix), _ending(ROLE, suffix)
    if len(bucket) > _BUCKET_LENGTH:
        raise UsageError(f"{bucket} is too long for a bucket's name", next_step="name another with --eks-bucket")
    values = {
        "partition": cluster.arn.split(":")[1],
        "account": cluster.account,
        "region": cluster.region,
        "cluster": cluster.name,
        "bucket": bucket,
        "role": role,
        "keys": f"{settings.prefix}/" if settings.prefix else "",
        "repositories": _ending(settings.ecr_prefix, suffix),
    }
    pushed = [reference for name, reference in versions().images.items() if name not in LOCAL]
    repositories = (
        tuple(repository_of(values["repositories"], one) for one in pushed) if settings.registry == ECR else ()
    )
    return Names(environment(cluster.name, suffix), role, bucket, values, repositories)


def _hold_suffix(suffix: str) -> None:
    if suffix and not _SUFFIX.fullmatch(suffix):
        raise UsageError(
            f"{suffix!r} is no suffix for names", next_step="use lower-case letters, digits and -, at most 16"
        )


def _ending(name: str, suffix: str) -> str:
    """A name with the suffix at its end, once: the settings of runs have the names that `create` told, with it."""
    if not suffix or name == suffix or name.endswith(f"-{suffix}"):
        return name
    return f"{name}-{suffix}" if name else suffix


def things(
    cluster: EksCluster,
    named: Names,
    asked: Asked,
    *,
    session: boto3.Session,
    kube: KubeApi,
    waiter: Waiter,
    until_end: ExitStack,
) -> list[Thing]:
    """All that is to be prepared, in the order in which it is made.

    Args:
        cluster: The cluster.
        named: The names.
        asked: What the caller asks for.
        session: Of AWS.
        kube: The cluster's API.
        waiter: How patient to be.
        until_end: Closes the clients.

    Raises:
        AwsRefused: The cluster's issuer may not be asked.
        EnvironmentFailed: It has none.
    """
    eks = client(session, "eks")
    until_end.callback(eks.close)
    issuers = (issuer(eks, cluster.name),) if asked.identity is Identity.IRSA else ()
    marks, within = Marks(named.environment, asked.expires, cluster.arn), Marks(named.environment, asked.expires)
    account = ServiceAccount(kube, AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, within, by_irsa=bool(issuers))
    annotation = RoleAnnotation(kube, AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, named.role_arn, within)
    association = Association(eks, cluster.name, AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, named.role_arn, marks, waiter)
    return [
        *in_account(cluster, named, asked, issuers=issuers, session=session, until_end=until_end),
        *(Namespace(kube, name, labels, within, waiter) for name, labels in NAMESPACES.items()),
        account,
        annotation if issuers else association,
    ]


def in_account(
    cluster: EksCluster,
    named: Names,
    asked: Asked,
    *,
    issuers: Sequence[str],
    session: boto3.Session,
    until_end: ExitStack,
) -> list[Thing]:
    """What of it is in the account, and not of the cluster: made first, and removed also where the cluster is gone.

    Args:
        cluster: The cluster.
        named: The names.
        asked: What the caller asks for.
        issuers: The cluster's, of those whose provider is to be there: the role trusts the first, or with none the
            agent of Pod Identity.
        session: Of AWS.
        until_end: Closes the clients.
    """
    clients = [client(session, service) for service in ("iam", "s3", "ecr")]
    iam, s3, ecr = clients
    for one in clients:
        until_end.callback(one.close)
    marks = Marks(named.environment, asked.expires, cluster.arn)
    trust = document("dvc-trust", named.values)
    if issuers:
        trust = document("dvc-trust-irsa", {**named.values, "issuer": issuers[0]})
    providers = f"arn:{named.values['partition']}:iam::{cluster.account}:oidc-provider"
    return [
        Bucket(s3, named.bucket, cluster.account, cluster.region, marks, asked.may_empty),
        *(Repository(ecr, name, marks) for name in named.repositories),
        *(IdentityProvider(iam, f"{providers}/{one}", one, marks) for one in issuers),
        Role(iam, named.role, ROLE_POLICY, trust, document("dvc-s3", named.values), asked.boundary, marks),
    ]


def other_identity(
    cluster: EksCluster,
    named: Names,
    asked: Asked,
    *,
    session: boto3.Session,
    kube: KubeApi,
    waiter: Waiter,
    until_end: ExitStack,
) -> Thing:
    """What gives the pods their role in the way that is not asked for; arguments as for `things`."""
    if asked.identity is Identity.POD_IDENTITY:
        marks = Marks(named.environment)
        return RoleAnnotation(kube, AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, named.role_arn, marks)
    eks = client(session, "eks")
    until_end.callback(eks.close)
    marks = Marks(named.environment, cluster=cluster.arn)
    return Association(eks, cluster.name, AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, named.role_arn, marks, waiter)


def issuer(eks: Any, cluster: str) -> str:
    """The issuer of a cluster's service account tokens, without its scheme.

    Raises:
        AwsRefused: It may not be asked.
        EnvironmentFailed: It has none.
    """
    with explained(f"ask for the OIDC issuer of {cluster}"):
        found = eks.describe_cluster(name=cluster)["cluster"].get("identity", {}).get("oidc", {}).get("issuer", "")
    if not str(found).startswith("https://"):
        raise EnvironmentFailed(f"EKS names no OIDC issuer of {cluster}", next_step="use --identity pod-identity")
    return str(found).removeprefix("https://")
