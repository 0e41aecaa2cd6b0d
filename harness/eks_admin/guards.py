"""Guards of what is prepared: as for a run, for a cluster that is yet to be made, and for what a run is using."""

from __future__ import annotations

from datetime import date

import boto3

from harness.eks_settings import EksSettings
from harness.errors import GuardError, UsageError
from harness.kubeapi import KubeApi
from harness.names import SERVICES_NAMESPACE
from harness.targets.attached.claim import NAME as CLAIM
from harness.targets.attached.expiry import is_past
from harness.targets.eks.guards import caller, hold_price
from harness.targets.eks.prices import Estimate, Plan, estimate


def hold_place(session: boto3.Session, settings: EksSettings) -> str:
    """Hold account and region to be those where a cluster of that name may be made and removed.

    Returns:
        The ARN that it has, had or would have.

    Raises:
        UsageError: No cluster is named.
        GuardError: The account, or the ARN that it would have, are not allowed; or consent is missing.
        AwsRefused: AWS does not say who is calling.
    """
    if settings.cluster is None:
        raise UsageError("no EKS cluster is named", next_step="name it with --eks-cluster")
    account, arn = caller(session)
    would_be = f"arn:{arn.split(':')[1]}:eks:{session.region_name}:{account}:cluster/{settings.cluster}"
    for name, value, allowed in (
        ("accounts", account, settings.accounts),
        ("clusters", would_be, settings.clusters),
    ):
        if value not in allowed:
            raise GuardError(
                f"{value} is not on the allow-list eks.{name}",
                next_step="change the list only if this is really meant",
                evidence={"allowed": ", ".join(allowed) or "nothing", "caller": arn},
            )
    if not settings.consent:
        raise GuardError(
            f"making or removing {would_be} needs your consent",
            next_step="give --eks-consent, or set HARNESS_EKS__CONSENT=true, once you are sure",
        )
    return would_be


def price(plan: Plan, settings: EksSettings, *, today: date) -> Estimate:
    """What a cluster would cost for as long as it may live.

    Raises:
        GuardError: More than it may.
        UsageError: No price is known for its nodes.
    """
    found = estimate(plan, today=today)
    less = "ask for less with --lifetime"
    if found.extended:
        less += f"; Kubernetes {plan.version} is not in EKS's standard support any more, as far as the harness knows"
    hold_price(found, settings, less=less)
    return found


def hold_unused(kube: KubeApi) -> None:
    """Hold the cluster to have no run in it: role, bucket and association are its own whosoever the namespaces are.

    Raises:
        GuardError: A run has it, or has left it without giving it back.
    """
    claim = kube.get("ConfigMap", CLAIM, SERVICES_NAMESPACE)
    if claim is None:
        return
    said = claim.get("data") or {}
    expires = said.get("expires", "")
    past = f", past its time since {expires}" if is_past(expires) else ""
    raise GuardError(
        f"run {said.get('run', 'unknown')} has the cluster{past}; nothing was removed",
        evidence={"it counts as left behind from": expires or "no time"},
        next_step="harness sweep --target eks --yes removes what it left, then again"
        if past
        else "wait for it to end; harness down or harness sweep on the machine that it ran on removes it",
    )
