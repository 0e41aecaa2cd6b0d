"""What `harness eks` does; each ends in an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import boto3
from rich.console import Console

from harness.eks_admin import making, preparing
from harness.eks_admin.guards import hold_unused
from harness.eks_admin.plan import Asked, Names, journal_of, made_for, names, other_identity, things
from harness.eks_admin.plan import environment as environment_of
from harness.eks_admin.readiness import Readiness
from harness.eks_admin.things import NEVER, State, Thing
from harness.eks_settings import Identity
from harness.errors import CleanupFailed, ExitCode, Interrupted, UsageError
from harness.folders import make_usable
from harness.journal import Journal
from harness.kubeapi import KubeApi
from harness.settings import Settings
from harness.targets.eks.attach import EksCluster, check_pod_identity, describe, looking_into, removed_by
from harness.targets.eks.aws import open_session
from harness.targets.eks.guards import guarded_cluster
from harness.wait import Waiter


@dataclass(frozen=True, slots=True)
class _Open:
    """One environment, looked into."""

    session: boto3.Session
    cluster: EksCluster
    things: Sequence[Thing]
    other_identity: Thing
    names: Names
    kube: KubeApi
    journal: Journal
    waiter: Waiter


_ON: Final = "harness eks create goes on, harness eks delete goes back; harness eks status says how each thing stands"
# For who interrupts `create`: what there is by then, and what next.
_BEGUN: Final = ("what is said above to be there stays; what was being made may be there, too", _ON)
_UNPROVEN: Final = ("all of it is there and stays, and no pod has shown that it gets the role", _ON)


def expiry(hours: float | None) -> str:
    """When what is made now counts as left behind: after so many hours, or never."""
    return NEVER if hours is None else (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="seconds")


def create(
    settings: Settings,
    asked: Asked,
    console: Console,
    *,
    probe_image: str | None,
    cluster: making.Wanted | None = None,
) -> ExitCode:
    """Have role, bucket, association, namespaces and service account there, and show that a pod gets the role.

    Args:
        settings: Which cluster, bucket and account, and the consent.
        asked: What is wanted besides.
        console: Told what is done.
        cluster: The cluster that is to be made, if there is none; None to make none.
        probe_image: Image with python3 and botocore that the nodes can have; None leaves the pod out.

    Raises:
        UsageError: A name is not one, or nothing can be written into the state folder.
        GuardError: Account, cluster or region are not allowed, a thing of that name is somebody else's, or the pods get
            their role in another way.
        EnvironmentFailed: Something could not be made, or a pod does not get the role.
        Interrupted: By a signal; says what stays.
    """
    if cluster is not None:
        make_usable("state_dir", settings.state_dir / "runs", mode=0o700)
        with _told(_cluster_begun(settings.eks.cluster or "", asked)):
            making.make(settings, asked, cluster, say=lambda text: _say(console, text))
    with _told(_BEGUN), _opened(settings, asked, writes=True) as there:
        if asked.identity is Identity.POD_IDENTITY:
            check_pod_identity(there.session, there.cluster.name)
        (instead,) = set(Identity) - {asked.identity}
        preparing.hold_identity(there.other_identity, instead.value)
        preparing.create(there.things, adopt=asked.adopt, journal=there.journal, say=lambda text: _say(console, text))
        with _told(_UNPROVEN):
            ready = Readiness(there.kube, asked.identity, there.names.role, there.waiter)
            ready.wait_injected()
            if probe_image is None:
                _say(console, "pods are told where their keys are; with --probe-image a pod would show whose they are")
            else:
                _say(console, f"a pod is {ready.wait_identity(probe_image)}")
        prefix = f", eks.ecr_prefix = {there.names.values['repositories']}" if there.names.repositories else ""
        _say(console, f"for a run: --eks-cluster {settings.eks.cluster} --eks-bucket {there.names.bucket}{prefix}")
    return ExitCode.GREEN


def delete(settings: Settings, asked: Asked, console: Console) -> ExitCode:
    """Remove what `create` has made, and nothing else; the cluster last, and only when all else has gone.

    Raises:
        UsageError: A name is not one.
        GuardError: Account, cluster or region are not allowed, or a run has the cluster: nothing was removed.
        EnvironmentFailed: There is no such cluster, and nothing that was made for it.
        CleanupFailed: Something of ours is still there; names it.
    """

    def say(text: str) -> None:
        _say(console, text)

    if making.remove_unreachable(settings, asked, say=say):
        return ExitCode.GREEN
    with _opened(settings, asked, writes=True) as there:
        hold_unused(there.kube)
        name, environment = there.cluster.name, made_for(there.cluster)
        with making.waiting(name, made=environment == there.names.environment):
            preparing.delete(there.things, journal=there.journal, say=say)
    if environment not in {"", there.names.environment}:
        raise CleanupFailed(
            f"the cluster {name} was left: it was made for {environment}, and goes on costing",
            next_step=f"if that was meant: {removed_by(name, environment)}",
        )
    making.remove(settings, asked, say=say)
    return ExitCode.GREEN


def status(settings: Settings, asked: Asked, console: Console, *, as_json: bool) -> ExitCode:
    """Say how each thing stands; environment failed where something is not as it should be. Writes nothing.

    Raises:
        UsageError: A name is not one.
        EnvironmentFailed: Something may not be asked.
    """
    with _opened(settings, asked, writes=False) as there:
        standing = preparing.look(there.things)
    if as_json:
        listed = [
            {"what": one.thing.what, "name": one.thing.name, "state": str(one.found.state), "note": one.found.note,
             "expires": one.found.expires if one.found.state is State.OURS else None,
             "differences": list(one.found.differences)} for one in standing
        ]  # fmt: skip
        console.print(json.dumps(listed, indent=1), highlight=False, markup=False, soft_wrap=True)
    else:
        for one in standing:
            until = "" if one.found.expires == NEVER else f", until {one.found.expires}"
            _say(console, f"{one.thing.what}: {one.found}{until}")
            for line in one.found.differences:
                _say(console, f"  {line}")
    good = all(one.found.state in {State.OURS, State.ADOPTED} and not one.found.differences for one in standing)
    return ExitCode.GREEN if good else ExitCode.ENVIRONMENT_FAILED


def _cluster_begun(name: str, asked: Asked) -> tuple[str, str]:
    """The same while its cluster is looked at, and made."""
    gone = removed_by(name, environment_of(name, asked.suffix))
    return f"the cluster {name} was to be made: what eksctl has made of it stays, and costs", f"{gone} removes it"


@contextmanager
def _told(there: tuple[str, str]) -> Iterator[None]:
    """Have an interrupt of what is done inside tell what there is, and what next."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: {there[0]}", next_step=there[1]) from None


@contextmanager
def _opened(settings: Settings, asked: Asked, *, writes: bool) -> Iterator[_Open]:
    if settings.eks.cluster is None:
        raise UsageError("no EKS cluster is named", next_step="name it with --eks-cluster")
    waiter = Waiter(patience=settings.patience)
    session = open_session(profile=settings.eks.profile, region=settings.eks.region)
    cluster = guarded_cluster(session, settings.eks) if writes else describe(session, settings.eks.cluster)
    named = names(cluster, settings.eks, asked.suffix)
    journal = journal_of(settings.state_dir, cluster.account, cluster.region, named.environment)
    with ExitStack() as until_end:
        kube = until_end.enter_context(
            looking_into(cluster, profile=settings.eks.profile, state_dir=settings.state_dir)
        )
        made = things(
            cluster, named, asked, session=session, kube=kube, waiter=waiter, until_end=until_end,
        )  # fmt: skip
        other = other_identity(
            cluster, named, asked, session=session, kube=kube, waiter=waiter, until_end=until_end
        )  # fmt: skip
        yield _Open(session, cluster, made, other, named, kube, journal, waiter)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
