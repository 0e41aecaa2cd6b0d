"""What the verbs of the command do besides running: look at, enter and remove what is there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import clusters, standing, sweeping
from harness.airflow.chart import embedded_chart
from harness.assets import package_path
from harness.clusters import KnownCluster
from harness.diagnostics.doctor import examine, exit_code, summary
from harness.diagnostics.host import LocalHost
from harness.environment import KEPT_CLUSTER
from harness.errors import ExitCode, UsageError
from harness.kubeapi import KubeApi, KubeApiError, KubeUnavailable
from harness.liveness import is_alive, scratch
from harness.model import Engine
from harness.names import AIRFLOW_NAMESPACE, SERVICES_NAMESPACE
from harness.process import SubprocessRunner
from harness.report import history
from harness.report.history_table import show
from harness.settings import Settings
from harness.supply import sbom
from harness.supply.cache import Cache
from harness.supply.engine import EngineFolders, EngineSupply
from harness.supply.node import FULL_NODE
from harness.versions import dvc_version, harness_version, versions
from harness.wait import Waiter

# What `harness logs` takes: namespace and label selector.
_PARTS = {
    "airflow": (AIRFLOW_NAMESPACE, "release=airflow"),
    **{
        name: (AIRFLOW_NAMESPACE, f"release=airflow,component={name}")
        for name in ("scheduler", "dag-processor", "api-server")
    },
    **{name: (SERVICES_NAMESPACE, f"app={name}") for name in ("git", "s3", "postgres", "adapter")},
}

# Of each container, its end.
LOG_LINES = 500


def doctor(settings: Settings, console: Console, *, as_json: bool = False) -> ExitCode:
    """What this machine has and lacks, and how to mend each."""
    findings = examine(
        LocalHost(SubprocessRunner()),
        cache_dir=settings.cache_dir,
        package=package_path("versions.toml"),
        folders={"state_dir": settings.state_dir, "evidence_dir": settings.evidence_dir},
        kept=settings.state_dir / "clusters" / (settings.cluster_name or KEPT_CLUSTER),
        own_engine=EngineFolders.below(settings.state_dir, settings.cache_dir).host,
    )
    if as_json:
        return _json(console, [asdict(finding) for finding in findings], exit_code(findings))
    table = Table("", "check", "found", "needed", box=None)
    for finding in findings:
        table.add_row(str(finding.level), finding.name, finding.found, finding.needed)
    console.print(table)
    for finding in findings:
        if finding.mend:
            console.print(f"{finding.name}: {finding.mend}", highlight=False, markup=False)
    console.print(summary(findings), highlight=False, markup=False)
    return exit_code(findings)


def cache(
    settings: Settings, console: Console, *, clear: bool = False, evict: bool = False, as_json: bool = False
) -> ExitCode:
    """What the caches hold; evicted down to the budget, or cleared, on request only.

    Raises:
        UsageError: A run that lives, or a kept cluster, stands on what should be cleared; or both were asked for.
    """
    if clear and evict:
        raise UsageError("--clear removes all, --evict what is over the budget", next_step="give one of the two")
    live = [folder.name for folder in sorted((settings.state_dir / "runs").glob("*")) if is_alive(folder)]
    if clear and live:
        raise UsageError(
            f"the caches are in use by run {', '.join(live)}", next_step="wait for it to end, then clear them"
        )
    if clear and clusters.known(settings.state_dir):
        raise UsageError("a kept cluster still needs the caches", next_step="harness down, then again")
    runner = SubprocessRunner()
    # What is waited for is no part of a document.
    aside = Console(stderr=True) if as_json else console
    with _engine(settings, runner, aside) as engine:
        caches = Cache(
            engine=engine, runner=runner, cache_dir=settings.cache_dir, status=lambda text: _say(aside, text)
        )
        removed: tuple[str, ...] = ()
        if clear or evict:
            removed = (caches.clear() if clear else caches.evict(settings.cache_limit_gb)).removed
        usage = caches.usage()
    if as_json:
        limit = int(settings.cache_limit_gb * 1e9)
        return _json(console, {**asdict(usage), "total": usage.total, "limit": limit, "removed": removed})
    table = Table("GB", "last used", "what", box=None)
    for image in usage.images:
        table.add_row(f"{image.unique / 1e9:.2f}", f"{image.last_used:%Y-%m-%d %H:%M}", ", ".join(image.names))
    table.add_row(f"{usage.build_cache_bytes / 1e9:.2f}", "", "build cache")
    for name, size in usage.folders.items():
        table.add_row(f"{size / 1e9:.2f}", "", f"{settings.cache_dir / name}")
    console.print(table)
    for name in removed:
        _say(console, f"removed {name}")
    console.print(f"{usage.total / 1e9:.1f} GB of at most {settings.cache_limit_gb:.0f} GB", highlight=False)
    return ExitCode.GREEN


def print_versions(console: Console, *, as_json: bool = False) -> ExitCode:
    """Every pinned version."""
    pinned, embedded = versions(), embedded_chart()
    parts = {
        "harness": harness_version(),
        **{name: str(getattr(pinned, name)) for name in ("kubernetes", "etcd", "coredns", "kind", "helm", "airflow")},
        "official chart": pinned.chart,
        "embedded chart": f"{embedded.version}, where the official one is not given or cannot be had",
        "dvc": dvc_version(),
        "debian base": pinned.debian_base,
        "debian node": pinned.debian_node,
        **{f"image {name}": reference for name, reference in pinned.images.items()},
    }
    if as_json:
        return _json(console, {**parts, "embedded chart": embedded.version})
    table = Table("part", "version", box=None)
    for name, version in parts.items():
        table.add_row(name, version)
    console.print(table)
    return ExitCode.GREEN


def write_sboms(settings: Settings, folder: Path, console: Console) -> ExitCode:
    """Write what is in each image of the caches, in the host's programs and in the harness's own environment.

    Raises:
        UsageError: A file is in the folder's place.
        EnvironmentFailed: The engine does not answer, or an image cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", next_step="name a folder with --sbom; it is made if need be")
    version = harness_version()
    runner = SubprocessRunner()
    with _engine(settings, runner, console) as engine, scratch(settings.state_dir, "sbom") as room:
        images = Cache(engine=engine, runner=runner, cache_dir=settings.cache_dir).usage().images
        filled = [image for image in images if any(name.startswith(FULL_NODE) for name in image.names)]
        sbom.write_images(
            folder,
            tuple(image for image in images if image not in filled),
            engine=engine,
            runner=runner,
            scratch=room,
            tool_version=version,
            say=lambda text: _say(console, text),
        )
    for image in filled:
        _say(console, f"{image.names[0]}: the node with the others unpacked inside; see theirs")
    written = sbom.write_programs(folder, settings.cache_dir / "tools", tool_version=version)
    for path in [*written, sbom.write_harness(folder, tool_version=version)]:
        _say(console, path.name)
    return ExitCode.GREEN


def show_history(
    settings: Settings, console: Console, *, merge: Sequence[Path], since: str | None, as_json: bool
) -> ExitCode:
    """How runs ended, by code; those of other files are added first.

    Raises:
        UsageError: There is no such file, or no such time.
    """
    begin = history.beginning(since, datetime.now(UTC)) if since is not None else None
    path = settings.evidence_dir / history.FILE
    added = history.merge(path, merge) if merge else 0
    # What is damaged in the other files is named, too: it was not merged.
    shown = history.read(path, *merge).since(begin)
    if as_json:
        console.file.write(json.dumps(history.document(shown), indent=1) + "\n")
        return ExitCode.GREEN
    if merge:
        console.print(f"{added} new runs in {path}", highlight=False, markup=False, soft_wrap=True)
    show(shown, console)
    return ExitCode.GREEN


def status(settings: Settings, console: Console, *, as_json: bool = False) -> ExitCode:
    """The clusters of the harness, how to get into Airflow, and their pods."""
    found = clusters.known(settings.state_dir)
    if as_json:
        return _json(console, [standing.document(cluster) for cluster in found])
    standing.show(found, console)
    return ExitCode.GREEN


def _kube(cluster: KnownCluster) -> KubeApi:
    return KubeApi(cluster.kubeconfig, cluster.context)


def logs(settings: Settings, part: str, console: Console, *, previous: bool = False, tail: int = LOG_LINES) -> ExitCode:
    """The logs of one part of a kept cluster; of the instances before, if so wished.

    A container that has no log (it has not started, or was never restarted) is named, and the others are shown.

    Raises:
        UsageError: There is no such cluster or part.
    """
    cluster = _chosen(settings)
    namespace, labels = _PARTS.get(part, (AIRFLOW_NAMESPACE, ""))
    with _kube(cluster) as kube:
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
                        name, container["name"], namespace=namespace, previous=previous, tail_lines=tail
                    )
                except KubeUnavailable:
                    raise
                except KubeApiError as error:
                    text = f"(no log: {error.message})"
                console.print(text, markup=False, highlight=False, soft_wrap=True)
    return ExitCode.GREEN


def shell(settings: Settings, console: Console) -> ExitCode:
    """Become a shell whose kubectl and helm talk to one kept cluster; does not return."""
    cluster = _chosen(settings)
    tools = sorted((settings.cache_dir / "tools").glob("*/kubectl"), key=lambda path: path.stat().st_mtime)
    path = os.pathsep.join([*(str(tool.parent) for tool in tools[-1:]), os.environ.get("PATH", os.defpath)])
    console.print(f"kubectl and helm talk to {cluster.name} in this shell; leave it with exit", highlight=False)
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        # Goes with the cluster, and not to the user's ~/.kube.
        "KUBECACHEDIR": str(cluster.folder / "discovery"),
        "PATH": path,
    }
    program = os.environ.get("SHELL", "/bin/sh")
    os.execvpe(program, [program], environment)  # noqa: S606 - the reader asked for a shell, with the terminal to itself


def down(settings: Settings, console: Console) -> ExitCode:
    """Remove a kept cluster.

    Raises:
        UsageError: There is none of that name, or it is not said which of several is meant.
        GuardError: A run is using it.
        EngineError: The engine that it was made in does not answer.
        CleanupFailed: It is still there.
    """
    cluster = _chosen(settings)
    folder = cluster.folder
    _say(console, f"removing {cluster.name}, {cluster.origin}")
    runner = SubprocessRunner()
    engines = _engines(settings, runner, console)
    with sweeping.removing(engines, runner, clusters=folder.parent, say=lambda text: _say(console, text)) as remover:
        there = remover.cluster(folder, sweeping.host_of(folder))
    for what in there.foreign.values():
        _say(console, f"left {what}: no run here has made it")
    _say(console, f"removed {cluster.name}")
    return ExitCode.GREEN


def sweep(settings: Settings, console: Console) -> ExitCode:
    """Remove what the journals of runs that are over say was left behind; kept clusters stay.

    Raises:
        CleanupFailed: Something is still there; names it.
    """
    runner = SubprocessRunner()
    engines = _engines(settings, runner, console)
    swept = sweeping.sweep(
        settings.state_dir,
        engines,
        runner,
        cache_dir=settings.cache_dir,
        say=lambda text: _say(console, text),
        git=settings.git,
    )
    console.print(f"swept {swept}" if swept else "nothing to sweep", highlight=False)
    return ExitCode.GREEN


def _engines(settings: Settings, runner: SubprocessRunner, console: Console) -> EngineSupply:
    return EngineSupply(
        folders=EngineFolders.below(settings.state_dir, settings.cache_dir),
        runner=runner,
        waiter=Waiter(patience=settings.patience),
        status=lambda text: _say(console, text),
    )


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _engine(settings: Settings, runner: SubprocessRunner, console: Console) -> Iterator[Engine]:
    """The engine for a verb; afterwards it is stopped if it is ours and nothing needs it any more."""
    engines = _engines(settings, runner, console)
    engine = engines.acquire()
    try:
        yield engine
    finally:
        engines.release(keep=bool(clusters.known(settings.state_dir)))


def _chosen(settings: Settings) -> KnownCluster:
    return clusters.chosen(clusters.known(settings.state_dir), settings.cluster_name)


def _json(console: Console, document: object, code: ExitCode = ExitCode.GREEN) -> ExitCode:
    """For programs: the bare document, whatever the width of a terminal."""
    console.file.write(json.dumps(document, indent=1, default=str) + "\n")
    return code
