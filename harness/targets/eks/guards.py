"""Guards before the first write: the right account, region and cluster, its tag, consent, and the price.

All are asked of AWS afresh, by calls that only read. What is not on an allow-list is refused, and an empty list allows
nothing.
"""

from __future__ import annotations

from typing import Final

import boto3

from harness.eks_settings import EksSettings
from harness.errors import GuardError, UsageError
from harness.targets.eks.attach import EksCluster, describe
from harness.targets.eks.aws import client, explained
from harness.targets.eks.prices import Estimate

_CONSENT: Final = "give --eks-consent, or set HARNESS_EKS__CONSENT=true, once you are sure"


def caller(session: boto3.Session) -> tuple[str, str]:
    """Who calls: (account, ARN).

    Raises:
        AwsRefused: AWS does not know the caller.
    """
    sts = client(session, "sts")
    with explained("ask AWS who is calling"):
        identity = sts.get_caller_identity()
    sts.close()
    return identity["Account"], identity["Arn"]


def guarded_cluster(session: boto3.Session, settings: EksSettings) -> EksCluster:
    """The named cluster, if the harness may write to it and its account.

    Raises:
        UsageError: No cluster is named, or an allow-list is empty.
        GuardError: Account, region, cluster or tag are not those that are allowed, or consent is missing.
        AwsRefused: AWS does not say.
    """
    if settings.cluster is None:
        raise UsageError(
            "no EKS cluster is named", next_step="name it with --eks-cluster (eks.cluster, HARNESS_EKS__CLUSTER)"
        )
    for name, allowed in (("accounts", settings.accounts), ("clusters", settings.clusters)):
        if not allowed:
            raise UsageError(
                f"eks.{name} allows nothing: the harness writes only to what is named there",
                next_step=f"name it under [tool.harness.eks] in pyproject.toml, or in HARNESS_EKS__{name.upper()}",
            )
    account, arn = caller(session)
    _hold(
        account in settings.accounts, f"these credentials are of account {account}", "accounts", settings.accounts, arn
    )
    cluster = describe(session, settings.cluster)
    if settings.region is not None and cluster.region != settings.region:
        raise GuardError(f"the cluster is in {cluster.region}, and {settings.region} was named")
    if cluster.account != account:
        raise GuardError(f"the cluster is of account {cluster.account}, the credentials of {account}")
    _hold(cluster.arn in settings.clusters, f"the cluster is {cluster.arn}", "clusters", settings.clusters, arn)
    name, _, value = settings.tag.partition("=")
    if cluster.tags.get(name) != value:
        found = f"{name}={cluster.tags[name]}" if name in cluster.tags else "no such tag"
        raise GuardError(
            f"the cluster {cluster.name} is not tagged {settings.tag}: it has {found}",
            next_step=f"aws eks tag-resource --resource-arn {cluster.arn} --tags {settings.tag}",
        )
    if not settings.consent:
        raise GuardError(f"writing to {cluster.arn} needs your consent", next_step=_CONSENT)
    return cluster


def hold_price(estimate: Estimate, settings: EksSettings, *, less: str = "ask for less with --max-lifetime") -> None:
    """Hold an estimate to what may be spent.

    Args:
        estimate: It.
        settings: What may be.
        less: What makes it cheaper, for the reader.

    Raises:
        GuardError: It is more.
    """
    if estimate.total > settings.max_cost:
        raise GuardError(
            f"this would cost about {estimate.total:.2f} USD, and eks.max_cost allows {settings.max_cost:.2f}",
            next_step=f"allow more with --max-cost (eks.max_cost), or {less}",
            evidence={"estimate": str(estimate)},
        )


def _hold(holds: bool, said: str, name: str, allowed: tuple[str, ...], arn: str) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise GuardError(
            f"{said}, which is not on the allow-list eks.{name}",
            next_step="check eks.profile and eks.cluster; change the list only if this is really meant",
            evidence={"allowed": ", ".join(allowed), "caller": arn},
        )
