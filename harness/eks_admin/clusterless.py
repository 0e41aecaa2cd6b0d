"""What was made for a cluster that is not there any more, or never came up: removed from the account without it.

What was in the cluster has gone with it, or goes with it, its association too: that is of the cluster, by its ARN
(`arn:aws:eks:REGION:ACCOUNT:podidentityassociation/CLUSTER/ID`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import boto3

from harness.eks_admin import preparing
from harness.eks_admin.eksctl import KIND as CLUSTER
from harness.eks_admin.identity_provider import KIND as PROVIDER
from harness.eks_admin.plan import Asked, Names, in_account, names
from harness.eks_admin.preparing import Say
from harness.eks_admin.role import Role
from harness.eks_admin.things import Thing
from harness.eks_settings import EksSettings
from harness.journal import Journal
from harness.targets.eks.attach import EksCluster

# Kinds in the journal of what is in the cluster, or is of it.
WITHIN: Final = frozenset({"namespace", "service-account", "role-annotation", "aws-association"})


def remove(
    session: boto3.Session, settings: EksSettings, asked: Asked, arn: str, *, journal: Journal, say: Say
) -> bool:
    """Remove what is in the account; the guards were passed before.

    Args:
        session: Of AWS.
        settings: The cluster's name, and the names of what was made for it.
        asked: The suffix, and whether the bucket may be emptied.
        arn: That the cluster has, had or would have.
        journal: Told of each that is gone.
        say: Told what was done.

    Returns:
        Whether there was anything.

    Raises:
        UsageError: A name is not one.
        CleanupFailed: Something of ours is still there; names it, with the reason.
    """
    gone = EksCluster(settings.cluster or "", arn, endpoint="", authority="", version="", tags={})
    named = names(gone, settings, asked.suffix)
    with ExitStack() as until_end:
        made = _made(session, gone, named, asked, journal, until_end)
        return preparing.delete(made, journal=journal, say=say, later=WITHIN | {CLUSTER})


def forget_within(journal: Journal) -> None:
    """Note that what was in the cluster is gone: with it."""
    for entry in journal.open():
        if entry.kind in WITHIN:
            journal.removed(entry)


def _made(
    session: boto3.Session, gone: EksCluster, named: Names, asked: Asked, journal: Journal, until_end: ExitStack
) -> Sequence[Thing]:
    def planned(*issuers: str) -> list[Thing]:
        return in_account(gone, named, asked, issuers=issuers, session=session, until_end=until_end)

    # The cluster cannot be asked for its issuer: by our journal, and by the role, which goes before its provider.
    known = [entry.name for entry in journal.open() if entry.kind == PROVIDER]
    trusted = [issuer for thing in planned() if isinstance(thing, Role) for issuer in thing.trusted()]
    return planned(*dict.fromkeys([*known, *trusted]))
