"""What the verbs of the command do besides running: look at, enter and remove what is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import sweeping
from harness.assets import package_path
from harness.diagnostics.doctor import examine, exit_code
from harness.diagnostics.host import LocalHost
from harness.environment import KEPT_CLUSTER
from harness.errors import ExitCode, HarnessError, UsageError
from harness.kubeapi import KubeApi, KubeApiError, KubeUnavailable
from harness.liveness import is_alive
from harness.model import Engine
from harness.names import AIRFLOW_NAMESPACE, SERVICES_NAMESPACE
from harness.process import SubprocessRunner
from harness.settings import Settings
from harness.supply.cache import Cache
from harness.supply.engine import EngineFolders, EngineSupply
from harness.targets.eks import token
from harness.targets.eks.aws import open_session
from harness.versions import versions
from harness.wait import Waiter

# What `harness logs` takes: namespace and label selector.
_PARTS = {
    "airflow": (AIRFLOW_NAMESPACE, "release=airflow"),
    **{name: (SERVICES_NAMESPACE, f"app={name}") for name in ("git", "s3", "postgres", "adapter")},
}

# Of each container, its end; the rest is `harness shell`, then kubectl logs.
_LOG_LINES = 500


def doctor(settings: Settings, console: Console) -> ExitCode:
    """What this machine has and lacks, and how to mend each."""
    findings = examine(
        LocalHost(SubprocessRunner()),
        cache_dir=settings.cache_dir,
        package=package_path("versions.toml"),
        kept=settings.state_dir / "clusters" / (settings.cluster_name or KEPT_CLUSTER),
    )
    table = Table("", "check", "found", "needed", box=None)
    for finding in findings:
        table.add_row(str(finding.level), finding.name, finding.found, finding.needed)
    console.print(table)
    for finding in findings:
        if finding.mend:
            console.print(f"{finding.name}: {finding.mend}", highlight=False, markup=False)
    return exit_code(findings)


def cache(settings: Settings, console: Console, *, clear: bool) -> ExitCode:
    """What the caches hold; evicted down to the budget, or cleared on request.

    Raises:
        UsageError: A run that lives, or a kept cluster, stands on what should be cleared.
    """
    live = [folder.name for folder in sorted((settings.state_dir / "runs").glob("*")) if is_alive(folder)]
    if clear and live:
        raise UsageError(
            f"the caches are in use by run {', '.join(live)}", next_step="wait for it to end, then clear them"
        )
    if clear and _cluster_folders(settings):
        raise UsageError("a kept cluster still needs the caches", next_step="harness down, then again")
    runner = SubprocessRunner()
    with _engine(settings, runner, console) as engine:
        caches = Cache(
            engine=engine, runner=runner, cache_dir=settings.cache_dir, status=lambda text: _say(console, text)
        )
        evicted = caches.clear() if clear else caches.evict(settings.cache_limit_gb)
        usage = caches.usage()
    table = Table("GB", "last used", "what", box=None)
    for image in usage.images:
        table.add_row(f"{image.unique / 1e9:.2f}", f"{image.last_used:%Y-%m-%d %H:%M}", ", ".join(image.names))
    table.add_row(f"{usage.build_cache_bytes / 1e9:.2f}", "", "build cache")
    for name, size in usage.folders.items():
        table.add_row(f"{size / 1e9:.2f}", "", f"{settings.cache_dir / name}")
    console.print(table)
    for name in evicted.removed:
        console.print(f"removed {name}", highlight=False)
    console.print(f"{usage.total / 1e9:.1f} GB of at most {settings.cache_limit_gb:.0f} GB", highlight=False)
    return ExitCode.GREEN


def print_versions(console: Console) -> ExitCode:
    """Every pinned version."""
    pinned = versions()
    table = Table("part", "version", box=None)
    for name in ("kubernetes", "etcd", "coredns", "kind", "helm", "airflow", "chart", "debian_base", "debian_node"):
        table.add_row(name.replace("_", " "), str(getattr(pinned, name)))
    for name, reference in pinned.images.items():
        table.add_row(f"image {name}", reference)
    console.print(table)
    return ExitCode.GREEN


def status(settings: Settings, console: Console) -> ExitCode:
    """The clusters of the harness and their pods."""
    folders = _cluster_folders(settings)
    if not folders:
        console.print("no cluster of the harness is there; `harness up` makes one")
    for folder in folders:
        console.print(f"{folder.name}  kubeconfig {folder / 'kubeconfig'}", style="bold", highlight=False)
        try:
            with KubeApi(folder / "kubeconfig", f"kind-{folder.name}", timeout=5) as kube:
                for namespace in (SERVICES_NAMESPACE, AIRFLOW_NAMESPACE):
                    console.print(_pods(kube, namespace))
        except HarnessError as error:
            console.print(f"  does not answer: {error.message}", highlight=False, markup=False)
    return ExitCode.GREEN


def logs(settings: Settings, part: str, console: Console, *, previous: bool = False) -> ExitCode:
    """The logs of one part of a kept cluster; of the instances before, if so wished.

    A container that has no log (it has not started, or was never restarted) is named, and the others are shown.

    Raises:
        UsageError: There is no such cluster or part.
    """
    folder = _kept(settings)
    namespace, labels = _PARTS.get(part, (AIRFLOW_NAMESPACE, ""))
    with KubeApi(folder / "kubeconfig", f"kind-{folder.name}") as kube:
        pods = [
            pod
            for pod in kube.list("Pod", namespace, labels=labels)
            if part in _PARTS or pod["metadata"]["name"] == part
        ]
        if not pods:
            raise UsageError(f"there is no pod of {part!r}", next_step=f"use {', '.join(_PARTS)}, or a pod's name")
        for pod in pods:
            name = pod["metadata"]["name"]
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
                console.print(f"--- {name}/{container['name']}", style="bold", highlight=False)
                try:
                    text = kube.pod_logs(
                        name, container["name"], namespace=namespace, previous=previous, tail_lines=_LOG_LINES
                    )
                except KubeUnavailable:
                    raise
                except KubeApiError as error:
                    text = f"(no log: {error.message})"
                console.print(text, markup=False, highlight=False, soft_wrap=True)
    return ExitCode.GREEN


def shell(settings: Settings, console: Console) -> ExitCode:
    """Become a shell whose kubectl and helm talk to one kept cluster; does not return."""
    folder = _kept(settings)
    tools = sorted((settings.cache_dir / "tools").glob("*/kubectl"), key=lambda path: path.stat().st_mtime)
    path = os.pathsep.join([*(str(tool.parent) for tool in tools[-1:]), os.environ.get("PATH", os.defpath)])
    console.print(f"kubectl and helm talk to {folder.name} in this shell; leave it with exit", highlight=False)
    environment = {
        **os.environ,
        "KUBECONFIG": str(folder / "kubeconfig"),
        # Goes with the cluster, and not to the user's ~/.kube.
        "KUBECACHEDIR": str(folder / "discovery"),
        "PATH": path,
    }
    program = os.environ.get("SHELL", "/bin/sh")
    os.execvpe(program, [program], environment)  # noqa: S606 - the reader asked for a shell, with the terminal to itself


def down(settings: Settings, console: Console) -> ExitCode:
    """Remove a kept cluster.

    Raises:
        UsageError: There is none of that name.
        GuardError: A run is using it.
        EngineError: The engine that it was made in does not answer.
        CleanupFailed: It is still there.
    """
    folder = _kept(settings)
    runner = SubprocessRunner()
    with sweeping.removing(_engines(settings, runner, console), runner, clusters=folder.parent) as remover:
        remover.cluster(folder, sweeping.host_of(folder))
    console.print(f"removed {folder.name}", highlight=False)
    return ExitCode.GREEN


def sweep(settings: Settings, console: Console) -> ExitCode:
    """Remove what the journals of runs that are over say was left behind; kept clusters stay.

    Raises:
        CleanupFailed: Something is still there; names it.
    """
    runner = SubprocessRunner()
    engines = _engines(settings, runner, console)
    swept = sweeping.sweep(
        settings.state_dir, engines, runner, cache_dir=settings.cache_dir, say=lambda text: _say(console, text)
    )
    console.print(f"swept {swept}" if swept else "nothing to sweep", highlight=False)
    return ExitCode.GREEN


def _engines(settings: Settings, runner: SubprocessRunner, console: Console) -> EngineSupply:
    return EngineSupply(
        folders=EngineFolders(settings.state_dir / "engine", settings.cache_dir / "engine" / "data"),
        runner=runner,
        waiter=Waiter(patience=settings.patience),
        status=lambda text: _say(console, text),
    )


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)


@contextmanager
def _engine(settings: Settings, runner: SubprocessRunner, console: Console) -> Iterator[Engine]:
    """The engine for a verb; afterwards it is stopped if it is ours and nothing needs it any more."""
    engines = _engines(settings, runner, console)
    engine = engines.acquire()
    try:
        yield engine
    finally:
        engines.release(keep=bool(_cluster_folders(settings)))


def eks_token(cluster: str, *, region: str | None, profile: str | None) -> ExitCode:
    """Print a token for an EKS cluster on standard output; nothing else may be printed there.

    Raises:
        UsageError: No such profile, no region, or the Kubernetes client asks for another form.
        AwsRefused: There are no credentials.
    """
    session = open_session(profile=profile, region=region)
    made = token.make_token(session, cluster=cluster, now=datetime.now(UTC))
    sys.stdout.write(token.exec_credential(made, os.environ) + "\n")
    return ExitCode.GREEN


def _cluster_folders(settings: Settings) -> list[Path]:
    folder = settings.state_dir / "clusters"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _kept(settings: Settings) -> Path:
    name = settings.cluster_name
    folders = _cluster_folders(settings)
    if name is None:
        # Never one that a run is using: only what was kept on purpose is meant when no name is given.
        kept = [folder for folder in folders if sweeping.is_kept(folder)]
        candidates = [folder for folder in kept if folder.name == KEPT_CLUSTER] or kept
        if len(candidates) == 1:
            return candidates[0]
    found = [folder for folder in folders if folder.name == name]
    if found:
        return found[0]
    known = ", ".join(folder.name for folder in folders) or "none"
    raise UsageError(
        f"there is no cluster {name!r} of the harness" if name else "say which cluster is meant",
        evidence={"clusters": known},
        next_step="name one with --cluster, or make one with `harness up`",
    )


def _pods(kube: KubeApi, namespace: str) -> Table:
    table = Table("pod", "phase", "ready", "restarts", title=namespace, title_justify="left", box=None)
    for pod in kube.list("Pod", namespace):
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        ready = sum(bool(status.get("ready")) for status in statuses)
        restarts = sum(int(status.get("restartCount", 0)) for status in statuses)
        phase = str((pod.get("status") or {}).get("phase"))
        table.add_row(pod["metadata"]["name"], phase, f"{ready}/{len(statuses)}", str(restarts))
    return table
