"""The cluster of `harness eks create --eks-create`: guarded, made by eksctl, removed when all else is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import boto3

from harness.eks_admin import clusterless
from harness.eks_admin.eksctl import EksctlCluster
from harness.eks_admin.guards import hold_place, price
from harness.eks_admin.plan import Asked, environment, journal_of
from harness.eks_admin.sizes import plan_of
from harness.eks_admin.things import Marks
from harness.errors import CleanupFailed, EnvironmentFailed, GuardError, UsageError
from harness.process import SubprocessRunner, which
from harness.settings import Settings
from harness.targets.eks.attach import removed_by
from harness.targets.eks.aws import open_session
from harness.targets.eks.guards import caller
from harness.targets.eks.prices import Estimate
from harness.versions import versions

Say = Callable[[str], None]
_ACTIVE = "ACTIVE"
# What a cluster is before it was ever ACTIVE, or once it is on its way out. One that is UPDATING may be full of things.
_NEVER_UP = frozenset({"CREATING", "PENDING", "FAILED", "DELETING"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cluster that is to be made if there is none.

    Attributes:
        hours: How long it may live.
        today: The day, UTC, that its price is asked for.
        template: File for eksctl; None for our own.
    """

    hours: float
    today: date
    template: Path | None = None


def make(settings: Settings, asked: Asked, wanted: Wanted, *, say: Say) -> None:
    """Have the cluster there: made here, now or before, and then to stay until when it is asked for now.

    Raises:
        UsageError: No cluster is named, its file is of another or has no price, or there is no eksctl.
        GuardError: It may not be made there, would cost too much, or somebody else's is there.
        EnvironmentFailed: eksctl failed, or an earlier one did.
    """
    session, cluster = _cluster(settings, asked, say, wanted.template)
    arn = hold_place(session, settings.eks)
    status = cluster.status(session)
    if status == _ACTIVE and cluster.finished():
        if cluster.expires(session) == cluster.marks.expires:
            say(f"cluster {cluster.name}: there already")
            return
        # What a cluster of ours costs from now on.
        cost = _priced(settings, cluster, wanted)
        cluster.renew(session, arn)
        say(f"cluster {cluster.name}: there already, now until {cluster.marks.expires}, {cost}")
        return
    if status or cluster.entries():
        raise EnvironmentFailed(
            f"the cluster {cluster.name} was begun and not finished: {_standing(status)}",
            next_step=f"{removed_by(cluster.name, cluster.marks.environment)}, then again",
        )
    say(f"cluster {cluster.name}: 15 to 20 minutes, {_priced(settings, cluster, wanted)}")
    cluster.create()
    say(f"cluster {cluster.name}: made")


def _priced(settings: Settings, cluster: EksctlCluster, wanted: Wanted) -> Estimate:
    plan = plan_of(
        cluster.rendered(), hours=wanted.hours, name=cluster.name, region=cluster.region, tags=cluster.marks.tags
    )
    return price(plan, settings.eks, today=wanted.today)


def remove_unreachable(settings: Settings, asked: Asked, *, say: Say) -> bool:
    """Remove a cluster that is not there or never came up, after what was made for it in the account.

    By its tags where EKS knows it, whichever machine has begun it; else by the journal here. What was in it has gone
    with it.

    Returns:
        Whether it is such a cluster.

    Raises:
        GuardError: It may not be removed there.
        EnvironmentFailed: There is none, and nothing that was made for it: another was meant.
        CleanupFailed: Something is still there; the cluster too, then, for it goes last.
    """
    session, cluster = _cluster(settings, asked, say, None)
    try:
        status = cluster.status(session)
    except GuardError:
        return False  # it is somebody else's
    if status and status not in _NEVER_UP:
        return False
    arn, known = hold_place(session, settings.eks), bool(cluster.journal.open())
    say(f"cluster {cluster.name}: {status or 'not there'}, so what was made for it goes without it")
    with waiting(cluster.name, made=bool(status)):
        there = clusterless.remove(session, settings.eks, asked, arn, journal=cluster.journal, say=say)
    if status or cluster.entries():
        cluster.delete(session)
        say(f"cluster {cluster.name}: {'removed, it was not finished' if status else 'nothing of it is left'}")
    elif not (there or known):
        raise EnvironmentFailed(
            f"there is no EKS cluster {cluster.name} in {cluster.region}, and nothing that was made for it",
            next_step="check eks.cluster, eks.region and eks.bucket, which account the profile is of, and --suffix",
        )
    clusterless.forget_within(cluster.journal)
    return True


@contextmanager
def waiting(cluster: str, *, made: bool) -> Iterator[None]:
    """While all else goes: if something stays, say that the cluster does, too, where it was made by `make`."""
    try:
        yield
    except CleanupFailed as error:
        if made:
            error.evidence[f"cluster {cluster}"] = "left, and goes on costing: it goes last, when all else has gone"
        raise


def remove(settings: Settings, asked: Asked, *, say: Say) -> None:
    """Remove the cluster, if it was made by `make`; the guards were passed before.

    Raises:
        CleanupFailed: It could not be removed.
    """
    session, cluster = _cluster(settings, asked, say, None)
    try:
        status = cluster.status(session)
    except GuardError:
        return  # it was there before
    if status:
        cluster.delete(session)
        say(f"cluster {cluster.name}: removed")


def _standing(status: str) -> str:
    if status == _ACTIVE:
        return "its control plane is up, and what was to follow, nodes and add-ons, may not be there"
    return status or "EKS does not know it"


def _cluster(settings: Settings, asked: Asked, say: Say, template: Path | None) -> tuple[boto3.Session, EksctlCluster]:
    eks = settings.eks
    if eks.cluster is None:
        raise UsageError("no EKS cluster is named", next_step="name it with --eks-cluster")
    session = open_session(profile=eks.profile, region=eks.region)
    named, (account, _arn) = environment(eks.cluster, asked.suffix), caller(session)
    journal = journal_of(settings.state_dir, account, str(session.region_name), named)
    return session, EksctlCluster(
        eks, str(session.region_name), versions().eks, Marks(named, asked.expires), which("eksctl"), template,
        journal.path.parent, SubprocessRunner(), journal, say,
    )  # fmt: skip
