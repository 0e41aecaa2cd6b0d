"""What is kept when a run fails, so that nobody has to make it fail again to see why.

::

    error.txt                            what ended the run, with its causes
    pods.txt  pods/<ns>/<pod>.yaml       all pods, not only unready ones: a ready pod can serve errors
    events.txt  claims/  nodes/          events by time; volume claims; nodes
    logs/<ns>/<pod>/<container>.log      of every container, init ones too; `.previous.log` of the instance before
    blocked-egress.txt                   what pods were kept from reaching outside the cluster; absent if nothing was
    helm-status.txt  helm-history.txt    of the release
    helm-values.yaml                     the values that the release was installed with, secrets masked
    git-log.txt                          of the branch under test, the newest 50 commits with what they touched
    bucket.txt                           keys and sizes, of the run's prefix and of the rest
    tasks/<name>.log                     Airflow's task logs, a file for each try
    journal.jsonl  transcript.txt  settings.json
    further                              what the caller adds: values files, versions, timeline
    collection-problems.txt              what could not be had, and why; absent if all could

Each part has a time limit, and a source that stays silent is not asked again. Nothing here raises: the failure that is
being recorded stays the one that is reported.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

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
from harness.diagnostics.values import masked
from harness.model import BlockedEgress, Cluster
from harness.names import AIRFLOW_NAMESPACE, RELEASE, SERVICES_NAMESPACE
from harness.process import Runner
from harness.redaction import Redactor

_NAMESPACES: Final = (AIRFLOW_NAMESPACE, SERVICES_NAMESPACE, "kube-system")
# Bounds what is fetched; the bundle keeps the last 2 MB of it.
_LOG_LINES: Final = 20_000
_HELM_SECONDS: Final = 20.0
_HELM: Final[Mapping[str, Sequence[str]]] = {
    "helm-status.txt": ("status", RELEASE),
    "helm-history.txt": ("history", RELEASE),
    "helm-values.yaml": ("get", "values", RELEASE, "--output", "yaml"),
}
Given = ParamSpec("Given")
Found = TypeVar("Found")


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
        blocked: What pods tried to reach outside the cluster, and were kept from.
        git_log: The log of the repository under test.
        bucket: A listing of the bucket.
        task_logs: Tells which of Airflow's task logs there are, by name, and how to read each.
        journal: The journal's file.
        transcript: The file in which the runner notes its commands.
        settings: The resolved settings, as JSON-like values.
        further: Anything else that this process knows, by the name of its file in the bundle.
        missing: What cannot be had in this run, and why, for the list of problems.
    """

    error: BaseException | None = None
    kube: KubeReader | None = None
    namespaces: tuple[str, ...] = _NAMESPACES
    helm: HelmAccess | None = None
    blocked: Callable[[], Sequence[BlockedEgress]] | None = None
    git_log: Callable[[], str] | None = None
    bucket: Callable[[], str] | None = None
    task_logs: Callable[[], Mapping[str, Callable[[], str]]] | None = None
    journal: Path | None = None
    transcript: Path | None = None
    settings: Mapping[str, Any] | None = None
    further: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


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
    blocked: tuple[BlockedEgress, ...] = ()

    def run(self) -> Collected:
        bundle, sources = self.bundle, self.sources
        if sources.error is not None:
            self._own("error.txt", _error, sources.error)
        self._files()
        if sources.blocked is not None:
            self.blocked = tuple(bundle.ask("the node", "blocked-egress.txt", sources.blocked) or ())
            lines = [f"{entry}, {entry.packets} packets\n" for entry in self.blocked]
            bundle.put("blocked-egress.txt", "blocked-egress.txt", "".join(lines) or None)
        if sources.kube is not None:
            self._cluster(sources.kube)
        if sources.task_logs is not None:
            self._task_logs(sources.task_logs)
        for source, name, text in (
            ("the Git server", "git-log.txt", sources.git_log),
            ("the object store", "bucket.txt", sources.bucket),
        ):
            if text is not None:
                bundle.put(name, name, bundle.ask(source, name, text))
        if sources.helm is not None:
            for name, arguments in _HELM.items():
                bundle.put(name, name, bundle.ask("Helm", name, _helm, sources.helm, arguments))
        for what, why in sources.missing.items():
            bundle.problem(what, why)
        evidence = Evidence(
            error=sources.error,
            pods=tuple(self.pods),
            events=tuple(self.events),
            claims=tuple(self.claims),
            logs=dict(self.logs),
            blocked=self.blocked,
        )
        return Collected(bundle.folder, tuple(bundle.files), tuple(bundle.problems), evidence)

    def _own(self, name: str, make: Callable[Given, str], *args: Given.args, **kwargs: Given.kwargs) -> None:
        """A file about this process and its files, for which nobody else is asked."""
        self.bundle.put(name, name, self.bundle.ask("this machine", name, make, *args, **kwargs))

    def _cluster(self, kube: KubeReader) -> None:
        nodes: list[dict[str, Any]] = []
        for namespace in self.sources.namespaces:
            for kind, into in (("Pod", self.pods), ("Event", self.events), ("PersistentVolumeClaim", self.claims)):
                into.extend(self._ask(f"{kind}s of {namespace}", kube.list, kind, namespace) or ())
        nodes.extend(self._ask("Nodes", kube.list, "Node", None) or ())
        if self.pods:
            self._own("pods.txt", lambda: pods_wide(self.pods, now=datetime.now(UTC)))
        if self.events:
            self._own("events.txt", lambda: events_sorted(self.events))
        for folder, things in (("pods", self.pods), ("claims", self.claims), ("nodes", nodes)):
            for thing in things:
                inside = "" if folder == "nodes" else f"{namespace_of(thing)}/"
                self._own(f"{folder}/{inside}{name_of(thing)}.yaml", as_yaml, thing)
        for pod in self.pods:
            for container, previous in containers_with_logs(pod):
                self._log(kube, pod, container, previous=previous)

    def _ask(self, what: str, call: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found | None:
        return self.bundle.ask("the cluster", what, call, *args, **kwargs)

    def _log(self, kube: KubeReader, pod: Mapping[str, Any], container: str, *, previous: bool) -> None:
        namespace, name = namespace_of(pod), name_of(pod)
        what = f"log of {namespace}/{name}, container {container}{', previous' if previous else ''}"

        def read() -> str:
            return kube.pod_logs(
                name, container, namespace=namespace, previous=previous, tail_lines=_LOG_LINES, timestamps=True
            )

        text = self._ask(what, read)
        if text is not None:
            self.logs[f"pod {namespace}/{name}, container {container}{' (previous)' if previous else ''}"] = text
            self.bundle.put(what, f"logs/{namespace}/{name}/{container}{'.previous' if previous else ''}.log", text)

    def _task_logs(self, tasks: Callable[[], Mapping[str, Callable[[], str]]]) -> None:
        for name, read in (self.bundle.ask("Airflow's API", "task logs", tasks) or {}).items():
            what = f"log of task {name}"
            text = self.bundle.ask("Airflow's API", what, read)
            if text is not None:
                self.logs[f"task {name}"] = text
                self.bundle.put(what, f"tasks/{name.replace('/', '_')}.log", text)

    def _files(self) -> None:
        for name, path in (("journal.jsonl", self.sources.journal), ("transcript.txt", self.sources.transcript)):
            if path is not None:
                self._own(name, path.read_text, encoding="utf-8", errors="replace")
        if self.sources.settings is not None:
            self._own("settings.json", lambda: json.dumps(self.sources.settings, indent=1, default=str) + "\n")
        for name, text in self.sources.further.items():
            self._own(name, text)


def _error(error: BaseException) -> str:
    return f"{error}\n\n{''.join(traceback.format_exception(error))}"


def _helm(access: HelmAccess, arguments: Sequence[str]) -> str:
    cluster = access.cluster
    argv: list[str | Path] = [access.helm, *arguments, "--namespace", AIRFLOW_NAMESPACE,
                              "--kubeconfig", cluster.kubeconfig, "--kube-context", cluster.context]  # fmt: skip
    done = access.runner.run(argv, timeout=_HELM_SECONDS, check=False)
    if arguments[0] == "get" and done.code == 0:
        return masked(done.stdout)
    return _without_notes(done.stdout) + done.stderr


def _without_notes(text: str) -> str:
    """The chart's notes print the administrator's password."""
    return text.partition("\nNOTES:")[0].rstrip() + "\n"
