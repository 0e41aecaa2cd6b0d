"""`harness sweep --target eks`: what is past its time in an EKS cluster, its bucket and its account.

What runs have left says so in cluster and bucket (`targets.eks.leftovers`); what `harness eks create` has made with a
lifetime, in its tags (`eks_admin.leftovers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from harness.eks_admin.leftovers import Prepared
from harness.errors import CleanupFailed, ExitCode, HarnessError
from harness.kubeapi import KubeApi
from harness.liveness import scratch
from harness.settings import Settings
from harness.targets.attached.folder import KUBECONFIG
from harness.targets.eks.attach import write_kubeconfig
from harness.targets.eks.aws import open_session
from harness.targets.eks.environment import described
from harness.targets.eks.guards import guarded_cluster
from harness.targets.eks.leftovers import Leftover, Search
from harness.targets.eks.prefix import RUNS
from harness.targets.eks.target import check_settings
from harness.wait import Waiter

_AGAIN: Final = "harness sweep --target eks, once what keeps it is gone"


def sweep(settings: Settings, console: Console, *, yes: bool) -> ExitCode:
    """Show what is left, and remove it if so wished; what is in use, or nobody's, stays and is named.

    Args:
        settings: Which cluster and bucket, and what allows the harness there. The consent is `yes`.
        console: Where it is shown.
        yes: Whether to remove it.

    Raises:
        UsageError: The settings name no cluster or bucket, or allow nothing.
        GuardError: Account, region, cluster, its tag or the bucket's account are not those that are allowed.
        EnvironmentFailed: The cluster or AWS does not answer, or refused something.
        CleanupFailed: Something that was to go is still there, or costs until somebody removes it by hand; names it.
    """
    with _found(settings, console) as found:
        for one in found:
            if one.remove is None:
                _say(console, f"left {one.what}: {one.why}")
        going = [one for one in found if one.remove is not None]
        if not going:
            _say(console, "nothing to sweep")
        elif not yes:
            for one in going:
                _say(console, f"would remove {one.what} ({one.why})")
            _say(console, f"nothing was removed; with --yes {len(going)} would be")
        else:
            _remove(going, console)
    if costs := {one.what: one.why for one in found if one.by_hand}:
        commands = "; ".join(one.by_hand for one in found if one.by_hand)
        raise CleanupFailed(
            "something costs past its time, and no sweep removes it", evidence=costs, next_step=commands
        )
    return ExitCode.GREEN


def known_here(state_dir: Path) -> dict[str, str]:
    """Runs that this machine knows: each by its id, with what removes what it has left.

    Raises:
        EnvironmentFailed: What is known of an environment is damaged.
    """
    found = {folder.name: "harness sweep removes what it left" for folder in (state_dir / "runs").glob("*")}
    for folder in sorted((state_dir / "clusters").glob("*")):
        environment = described(folder)
        if environment is not None:
            runs = {environment.run, *(prefix.rpartition(RUNS)[2].rstrip("/") for prefix in environment.prefixes)}
            found |= dict.fromkeys(runs, f"harness down --cluster {folder.name} removes it, unless a run is using it")
    return found


def _remove(going: Sequence[Leftover], console: Console) -> None:
    problems: dict[str, str] = {}
    for one in going:
        if one.remove is None:
            continue
        try:
            one.remove()
        except HarnessError as error:
            problems[one.what] = "; ".join([error.message, *error.evidence.values()])
        else:
            _say(console, f"removed {one.what} ({one.why})")
    if problems:
        raise CleanupFailed("some things could not be removed", evidence=problems, next_step=_AGAIN)
    _say(console, f"swept {len(going)}")


@contextmanager
def _found(settings: Settings, console: Console) -> Iterator[list[Leftover]]:
    check_settings(settings)
    eks = settings.eks.model_copy(update={"consent": True})
    session = open_session(profile=eks.profile, region=eks.region)
    cluster = guarded_cluster(session, eks)
    waiter = Waiter(patience=settings.patience, on_change=lambda what, state: _say(console, f"{what}: {state}"))
    with scratch(settings.state_dir, "sweep") as folder, ExitStack() as until_end:
        write_kubeconfig(cluster, folder / KUBECONFIG, profile=eks.profile)
        with KubeApi(folder / KUBECONFIG, cluster.arn) as kube:
            root = f"{eks.prefix}/" if eks.prefix else ""
            known = known_here(settings.state_dir)
            search = Search(kube, session, eks.bucket or "", root, eks.accounts, known, waiter)
            prepared = Prepared(settings, cluster, session, kube, waiter, search.held())
            # What runs have left first: it is in what was prepared.
            yield [*search.found(), *prepared.found(until_end)]


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
