"""What the commands for EKS do; each ends in an exit code."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from harness import clusters, sweeping
from harness.eks_lookalike import DEFAULT_NAME, LookAlikeBringUp
from harness.errors import EnvironmentFailed, ExitCode, GuardError, HarnessError, Interrupted, UsageError
from harness.kubeapi import KubeApi
from harness.liveness import is_alive
from harness.lookalike.account import Plan
from harness.lookalike.calls import read_calls
from harness.lookalike.hosting import Folder, Hosted
from harness.lookalike.process import GatewayProcess
from harness.lookalike.surroundings import Surroundings
from harness.lookalike_environments import environments_held, forget
from harness.process import SubprocessRunner
from harness.remover import is_kept
from harness.report.live import LivePhases
from harness.settings import Settings
from harness.signals import interrupted_once
from harness.supply.engine import EngineFolders, EngineSupply
from harness.targets.eks import token
from harness.targets.ownership import runs_of
from harness.timeline import Timeline, UsualTimes
from harness.wait import Waiter

# Seconds for an answer of a cluster that may be gone.
_SECONDS = 5


def eks_token(cluster: str, *, region: str | None, profile: str | None) -> ExitCode:
    """Print a token for an EKS cluster on standard output; nothing else may be printed there.

    Raises:
        UsageError: No such profile, no region, or the Kubernetes client asks for another form.
        AwsRefused: There are no credentials.
    """
    sys.stdout.write(token.answer(cluster, region=region, profile=profile) + "\n")
    return ExitCode.GREEN


def lookalike_up(settings: Settings, console: Console) -> ExitCode:
    """Bring the EKS look-alike up with its cluster, and say how to use it; one that is up already is left as it is.

    Raises:
        UsageError: The cluster of that name is another one, or did not come up.
        GuardError: It is coming up already.
        EnvironmentFailed: It could not be brought up, or is there and has ended.
        Interrupted: By a signal; says what is left.
    """
    folder = _cluster_folder(settings)
    if folder.exists():
        _show(_standing(folder), console)
        return ExitCode.GREEN
    timeline, usual = Timeline(), UsualTimes(settings.state_dir / "usual-times.json")
    try:
        with interrupted_once(console), LivePhases(console, usual) as live:
            timeline.listen(live)
            made = LookAlikeBringUp(settings, timeline=timeline, usual=usual, status=live.status)()
    except KeyboardInterrupt:
        raise _interrupted(folder, timeline.elapsed) from None
    _say(console, f"up in {timeline.elapsed:.1f} s")
    _show(made, console)
    return ExitCode.GREEN


def lookalike_down(settings: Settings, console: Console) -> ExitCode:
    """Remove the EKS look-alike with its cluster and the environments in it, or those that it has left behind.

    Raises:
        UsageError: There is none of that name.
        GuardError: A run is using it, or an environment in it.
        CleanupFailed: Something is still there.
    """

    def say(text: str) -> None:
        _say(console, text)

    folder = _cluster_folder(settings)
    if not folder.exists():
        with environments_held(folder) as left:
            forget(left, folder.name, say=say)
        if left:
            return ExitCode.GREEN
    folder = _there(settings)
    runner = SubprocessRunner()
    engines = EngineSupply(
        folders=EngineFolders.below(settings.state_dir, settings.cache_dir),
        runner=runner,
        waiter=Waiter(patience=settings.patience),
        status=say,
    )
    with sweeping.removing(engines, runner, clusters=folder.parent, say=say) as remover:
        there = remover.cluster(folder, sweeping.host_of(folder))
    for what in there.foreign.values():
        say(f"left {what}: no run here has made it")
    say(f"removed {folder.name}")
    return ExitCode.GREEN


def lookalike_status(settings: Settings, console: Console) -> ExitCode:
    """How the EKS look-alike stands: its process, its cluster, the agent; the calls so far.

    Raises:
        UsageError: There is none of that name, or it did not come up.
        GuardError: It is coming up.
        EnvironmentFailed: It is not whole; with what to do.
    """
    # It has no file yet of those that are read here, or an empty one.
    _hold_unattended(_cluster_folder(settings))
    folder = _there(settings)
    files = Folder.of_cluster(folder)
    pid = GatewayProcess(files).pid()
    calls = read_calls(files.calls) if files.calls.exists() else []
    _say(console, folder.name)
    _say(console, f"  gateway     {f'process {pid}' if pid else 'has ended'}, {len(calls)} calls recorded")
    agent = _agent(folder)
    _say(console, f"  agent       {agent or 'ready'}")
    made = _standing(folder)
    for name, url in sorted(made.serving.endpoints.items()):
        _say(console, f"  {name:<27} {url}")
    _say(console, f"  environment {files.environment}")
    return ExitCode.ENVIRONMENT_FAILED if agent else ExitCode.GREEN


def _interrupted(folder: Path, seconds: float) -> Interrupted:
    """For who has interrupted the bringing up of a cluster: what there is of it by now."""
    name, after = folder.name, f"interrupted after {seconds:.1f} s"
    if is_kept(folder):
        return Interrupted(
            f"{after}: {name} was up by then, and stays",
            next_step=f"harness eks-lookalike status --cluster {name}; harness eks-lookalike down --cluster {name}",
        )
    if folder.exists():
        return Interrupted(f"{after}: something of {name} is left", next_step=f"harness down --cluster {name}")
    return Interrupted(
        f"{after}: nothing of {name} is left, but what was built for it, in the caches",
        next_step=f"harness eks-lookalike up --cluster {name} begins anew",
    )


def _agent(folder: Path) -> str:
    """What is wrong with the cluster, or its agent; nothing if nothing is."""
    cluster = next(one for one in clusters.known(folder.parent.parent) if one.folder == folder)
    try:
        with KubeApi(cluster.kubeconfig, cluster.context, timeout=_SECONDS) as kube:
            found = kube.get("DaemonSet", "eks-pod-identity-agent", "kube-system") or {}
    except HarnessError as error:
        return error.message
    ready = int((found.get("status") or {}).get("numberReady", 0))
    return "" if ready else "not ready"


def _cluster_folder(settings: Settings) -> Path:
    return settings.state_dir / "clusters" / (settings.cluster_name or DEFAULT_NAME)


def _there(settings: Settings) -> Path:
    folder = _cluster_folder(settings)
    if not Folder.of_cluster(folder).path.is_dir():
        raise UsageError(
            f"there is no EKS look-alike {folder.name} here", next_step="`harness eks-lookalike up` makes one"
        )
    return folder


def _hold_unattended(folder: Path) -> None:
    """Make sure that no run that lives is bringing a cluster up, or takes back what it has begun of it.

    Raises:
        GuardError: One is.
    """
    runs = folder.parent.parent / "runs"
    at_work = [run for run in sorted(runs_of(folder)) if is_alive(runs / run)]
    if at_work and not is_kept(folder):
        raise GuardError(
            f"run {at_work[0]} is at work on the cluster {folder.name}, which is not up",
            next_step="wait for it to end, then again; or name another cluster with --cluster",
        )


def _standing(folder: Path) -> Surroundings:
    """The look-alike of a folder, if it lives.

    Raises:
        UsageError: There is none, or it did not come up.
        GuardError: It is coming up.
        EnvironmentFailed: It has ended.
    """
    files = Folder.of_cluster(folder)
    again = f"harness eks-lookalike down --cluster {folder.name}, then up"
    _hold_unattended(folder)
    if not is_kept(folder):
        raise UsageError(
            f"the cluster {folder.name} did not come up whole",
            next_step=f"harness down --cluster {folder.name}, then again; or name another one with --cluster",
        )
    if not files.path.is_dir():
        raise UsageError(
            f"the cluster {folder.name} is there, and is no EKS look-alike",
            next_step="choose another name with --cluster",
        )
    process, serving = GatewayProcess(files), files.serving()
    if process.pid() is None or serving is None:
        raise EnvironmentFailed(
            f"the look-alike of AWS of {folder.name} has ended, and with it what its account held",
            next_step=again,
            evidence={"its last words": process.last_words() or "none: it was killed, or this machine was restarted"},
        )
    hosted = Hosted.read(files)
    return Surroundings(files, Plan(hosted.cluster, hosted.region, hosted.account), serving)


def _show(made: Surroundings, console: Console) -> None:
    _say(console, f"\nTo use it:  . {made.folder.environment}\nwhich says\n")
    _say(console, made.shell())


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
