"""What is kept when a run fails, so that nobody has to make it fail again to see why.

::

    error.txt                            what ended the run, with its causes
    pods.txt  pods/<ns>/<pod>.yaml       all pods, not only unready ones: a ready pod can serve errors
    events.txt  claims/  nodes/          events by time; volume claims; nodes
    logs/<ns>/<pod>/<container>.log      of every container, init ones too; `.previous.log` of the instance before
    helm-status.txt  helm-history.txt    of the release
    git-log.txt  bucket.txt              of the repository under test and its remote
    tasks/<name>.log                     Airflow's task logs
    journal.jsonl  transcript.txt  settings.json
    collection-problems.txt              what could not be had; absent if all could

Nothing here raises: the failure that is being recorded stays the one that is reported.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from harness.diagnostics.bundle import Bundle
from harness.diagnostics.evidence import Evidence
from harness.diagnostics.kube import (
    KubeReader,
    as_yaml,
    containers_with_logs,
    events_sorted,
    name_of,
    namespace_of,
    pods_wide,
)
from harness.model import Cluster
from harness.names import AIRFLOW_NAMESPACE, RELEASE, SERVICES_NAMESPACE
from harness.process import Runner
from harness.redaction import Redactor

_NAMESPACES: Final = (AIRFLOW_NAMESPACE, SERVICES_NAMESPACE, "kube-system")
# Bounds what is fetched; the bundle keeps the last 2 MB of it.
_LOG_LINES: Final = 20_000
_HELM_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmAccess:
    """How to ask Helm about the release.

    Attributes:
        runner: Runs it.
        helm: The program.
        cluster: Its kubeconfig and context are named on every call.
    """

    runner: Runner
    helm: Path
    cluster: Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where evidence can be had; what is None does not exist in this run (yet).

    Attributes:
        error: What ended the run.
        kube: The cluster.
        namespaces: Of interest in it.
        helm: The release.
        git_log: The log of the repository under test.
        bucket: A listing of the bucket.
        task_logs: Airflow's task logs by name.
        journal: The journal's file.
        transcript: The file in which the runner notes its commands.
        settings: The resolved settings, as JSON-like values.
        further: Anything else, by the name of its file in the bundle.
    """

    error: BaseException | None = None
    kube: KubeReader | None = None
    namespaces: tuple[str, ...] = _NAMESPACES
    helm: HelmAccess | None = None
    git_log: Callable[[], str] | None = None
    bucket: Callable[[], str] | None = None
    task_logs: Callable[[], Mapping[str, str]] | None = None
    journal: Path | None = None
    transcript: Path | None = None
    settings: Mapping[str, Any] | None = None
    further: Mapping[str, Callable[[], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of it.

    Attributes:
        folder: The bundle.
        files: What is in it.
        problems: What could not be had, and why, a line each.
        evidence: The same for `diagnose`, not redacted.
    """

    folder: Path
    files: tuple[Path, ...]
    problems: tuple[str, ...]
    evidence: Evidence


def collect(folder: Path, sources: Sources, *, redactor: Redactor) -> Collected:
    """Write the bundle; what is quickest to have and soonest gone first. Never raises an `Exception`."""
    return _Collection(Bundle(folder, redactor), sources).run()


@dataclass(slots=True)
class _Collection:
    bundle: Bundle
    sources: Sources
    pods: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)

    def run(self) -> Collected:
        bundle, sources = self.bundle, self.sources
        if sources.error is not None:
            bundle.attempt("error.txt", self._error, sources.error)
        if sources.kube is not None:
            self._cluster(sources.kube)
        if sources.task_logs is not None:
            bundle.attempt("task logs", self._task_logs, sources.task_logs)
        for name, text in {"git-log.txt": sources.git_log, "bucket.txt": sources.bucket, **sources.further}.items():
            if text is not None:
                bundle.attempt(name, self._told, name, text)
        if sources.helm is not None:
            for verb in ("status", "history"):
                bundle.attempt(f"helm {verb}", self._helm, sources.helm, verb)
        self._files()
        evidence = Evidence(
            error=sources.error,
            pods=tuple(self.pods),
            events=tuple(self.events),
            claims=tuple(self.claims),
            logs=dict(self.logs),
        )
        return Collected(bundle.folder, tuple(bundle.files), tuple(bundle.problems), evidence)

    def _error(self, error: BaseException) -> None:
        self.bundle.write("error.txt", f"{error}\n\n{''.join(traceback.format_exception(error))}")

    def _told(self, name: str, text: Callable[[], str]) -> None:
        self.bundle.write(name, text())

    def _cluster(self, kube: KubeReader) -> None:
        attempt = self.bundle.attempt
        nodes: list[dict[str, Any]] = []
        for namespace in self.sources.namespaces:
            for kind, into in (("Pod", self.pods), ("Event", self.events), ("PersistentVolumeClaim", self.claims)):
                attempt(f"{kind}s of {namespace}", _list, kube, kind, namespace, into)
        attempt("Nodes", _list, kube, "Node", None, nodes)
        if self.pods:
            attempt("pods.txt", self._pods_wide)
        if self.events:
            attempt("events.txt", self._events)
        for pod in self.pods:
            for container, previous in containers_with_logs(pod):
                which = f"{container}, previous" if previous else container
                attempt(f"log of {namespace_of(pod)}/{name_of(pod)}, container {which}", self._log, kube, pod,
                        container, previous=previous)  # fmt: skip
        for folder, things in (("pods", self.pods), ("claims", self.claims), ("nodes", nodes)):
            for thing in things:
                inside = "" if folder == "nodes" else f"{namespace_of(thing)}/"
                path = f"{folder}/{inside}{name_of(thing)}.yaml"
                attempt(path, self._object, path, thing)

    def _pods_wide(self) -> None:
        self.bundle.write("pods.txt", pods_wide(self.pods, now=datetime.now(UTC)))

    def _events(self) -> None:
        self.bundle.write("events.txt", events_sorted(self.events))

    def _object(self, path: str, thing: Mapping[str, Any]) -> None:
        self.bundle.write(path, as_yaml(thing))

    def _log(self, kube: KubeReader, pod: Mapping[str, Any], container: str, *, previous: bool) -> None:
        namespace, name = namespace_of(pod), name_of(pod)
        text = kube.pod_logs(
            name, container, namespace=namespace, previous=previous, tail_lines=_LOG_LINES, timestamps=True
        )
        self.logs[f"pod {namespace}/{name}, container {container}{' (previous)' if previous else ''}"] = text
        self.bundle.write(f"logs/{namespace}/{name}/{container}{'.previous' if previous else ''}.log", text)

    def _task_logs(self, task_logs: Callable[[], Mapping[str, str]]) -> None:
        for name, text in task_logs().items():
            self.logs[f"task {name}"] = text
            self.bundle.attempt(f"log of task {name}", self.bundle.write, f"tasks/{name.replace('/', '_')}.log", text)

    def _helm(self, access: HelmAccess, verb: str) -> None:
        cluster = access.cluster
        argv: list[str | Path] = [access.helm, verb, RELEASE, "--namespace", AIRFLOW_NAMESPACE,
                                  "--kubeconfig", cluster.kubeconfig, "--kube-context", cluster.context]  # fmt: skip
        done = access.runner.run(argv, timeout=_HELM_SECONDS, check=False)
        self.bundle.write(f"helm-{verb}.txt", _without_notes(done.stdout) + done.stderr)

    def _files(self) -> None:
        for name, path in (("journal.jsonl", self.sources.journal), ("transcript.txt", self.sources.transcript)):
            if path is not None:
                self.bundle.attempt(name, self._copy, name, path)
        if self.sources.settings is not None:
            self.bundle.attempt("settings.json", self._settings)

    def _copy(self, name: str, path: Path) -> None:
        self.bundle.write(name, path.read_text(encoding="utf-8", errors="replace"))

    def _settings(self) -> None:
        self.bundle.write("settings.json", json.dumps(self.sources.settings, indent=1, default=str) + "\n")


def _list(kube: KubeReader, kind: str, namespace: str | None, into: list[dict[str, Any]]) -> None:
    into.extend(kube.list(kind, namespace))


def _without_notes(text: str) -> str:
    """The chart's notes print the administrator's password."""
    return text.partition("\nNOTES:")[0].rstrip() + "\n"
