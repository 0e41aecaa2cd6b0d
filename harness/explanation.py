"""Why a run failed: collects the bundle while everything still exists, and names the likeliest causes."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from harness.diagnostics.catalogue import UNKNOWN
from harness.diagnostics.collect import HelmAccess, Sources, collect
from harness.diagnostics.diagnose import diagnose
from harness.diagnostics.kube import dag_runs
from harness.diagnostics.values import masked
from harness.dvc import GitAccess, Verdict
from harness.environment import Environment
from harness.errors import EnvironmentFailed, HarnessError, UsageError
from harness.model import BlockedEgress, Diagnosis, GitService, S3Service
from harness.names import AIRFLOW_NAMESPACE, SERVICES_NAMESPACE
from harness.pipeline import egress
from harness.process import Runner
from harness.report.protocols import as_declared
from harness.services import s3
from harness.versions import versions

BUNDLE: Final = "bundle"
_SHOWN: Final = 3
_TASK_STATE: Final = "# Airflow calls this task instance"
_COMMITS: Final = 50
_GIT_SECONDS: Final = 20.0
_MOST_KEYS: Final = 5_000
_LOGS_COMMAND: Final = re.compile(r"harness logs (?P<part>[\w.-]+)")
_STATUS_COMMAND: Final = re.compile(r"harness status")


def explain(
    environment: Environment, error: BaseException | None, *, since: datetime | None = None
) -> tuple[Diagnosis, ...]:
    """Write the bundle into the run's evidence folder and return the likeliest causes.

    Never raises an `Exception`: what cannot be collected is listed in the bundle itself.

    Args:
        environment: Of the run.
        error: What ended it; None where a verdict is red.
        since: What only tells of the time before is no cause; by default the beginning of the run.
    """
    services, kube, api = environment.services, environment.kube, environment.api
    not_yet = "there is none: the run ended before it was up and proven"
    missing = {
        name: not_yet
        for name, source in (
            ("pods, events and logs", kube),
            ("task logs", api),
            ("git-log.txt", services),
            ("bucket.txt", services),
            ("blocked-egress.txt", environment.cluster),
            ("Helm", environment.cluster),
        )
        if source is None
    }
    sources = Sources(
        error=error,
        kube=kube,
        helm=_helm(environment),
        blocked=partial(_blocked, environment) if environment.cluster is not None else None,
        git_log=partial(_git_log, environment, services.git) if services is not None else None,
        bucket=partial(_bucket, services.s3, f"{services.s3.root}runs/{environment.run_id}/")
        if services is not None
        else None,
        task_logs=partial(_task_logs, environment) if kube is not None and api is not None else None,
        journal=environment.journal.path,
        transcript=environment.evidence / "commands.log",
        settings=environment.settings.model_dump(mode="json"),
        further={
            "versions.json": partial(_versions, environment),
            "timeline.json": lambda: json.dumps(environment.timeline.to_json(), indent=1) + "\n",
            "values-files.yaml": partial(_values, environment),
        },
        missing=missing,
    )
    bundle = environment.evidence / BUNDLE
    collected = collect(bundle, sources, redactor=environment.redactor)
    kept = environment.cluster.name if environment.cluster is not None and environment.keeps_cluster else None
    if isinstance(error, HarnessError):
        # Whoever raised it could not know what would be kept.
        error.next_step = reachable(error.next_step, bundle=bundle, kept=kept)
    if error is None:
        # A red verdict explains itself, unless all that it knows is that a task has failed.
        found = next((verdict.diagnoses[:1] for verdict in environment.verdicts if _tells(verdict)), ())
    else:
        found = diagnose(collected.evidence.since(since or environment.started))
    if isinstance(error, UsageError | KeyboardInterrupt):
        # Nothing went wrong that the reader does not know already, unless something is recognised.
        found = tuple(one for one in found if one.code != UNKNOWN)
    return tuple(replace(one, do=reachable(one.do, bundle=bundle, kept=kept)) for one in found[:_SHOWN])


def _tells(verdict: Verdict) -> bool:
    """Whether it is one that nobody has asked for, and knows why tasks failed."""
    return not as_declared(verdict) and bool(verdict.diagnoses)


def reachable(advice: str, *, bundle: Path, kept: str | None) -> str:
    """Advice that can be followed when the run is over.

    Args:
        advice: May name `harness logs PART` or `harness status`.
        bundle: Of this run; stands for a cluster that is gone.
        kept: Name of the cluster if it is kept; then the command gets it.
    """
    if kept is not None:
        return _LOGS_COMMAND.sub(rf"\g<0> --cluster {kept}", advice)
    read = _LOGS_COMMAND.sub(lambda found: f"read {_logs_of(found['part'], bundle)}", advice)
    return _STATUS_COMMAND.sub(lambda _found: f"see {bundle / 'pods.txt'}", read)


def _logs_of(part: str, bundle: Path) -> str:
    """Where the bundle has the logs of what `harness logs` calls that; the whole folder if it has none of them."""
    logs = bundle / "logs"
    for pattern in (f"{SERVICES_NAMESPACE}/{part}-*", f"{AIRFLOW_NAMESPACE}/{part}", f"{AIRFLOW_NAMESPACE}/{part}-*"):
        found = sorted(logs.glob(pattern))
        if found:
            return str(found[0] if len(found) == 1 else logs / pattern)
    return str(logs if logs.is_dir() else bundle)


def _helm(environment: Environment) -> HelmAccess | None:
    if environment.cluster is None or environment.toolchain is None:
        return None
    return HelmAccess(runner=environment.runner, helm=environment.toolchain.helm, cluster=environment.cluster)


def _task_logs(environment: Environment) -> Mapping[str, Callable[[], str]]:
    """How to read each try of each task instance of this run's DAG runs."""
    kube, api = environment.kube, environment.api
    if kube is None or api is None:
        return {}
    found: dict[str, Callable[[], str]] = {}
    for dag_id, run_id in dag_runs(kube.list("Pod", AIRFLOW_NAMESPACE), since=environment.started):
        for task in api.task_instances(dag_id, run_id):
            mapped = f"[{task.map_index}]" if task.map_index >= 0 else ""
            for number in range(1, task.try_number + 1):

                def read(dag_id: str = dag_id, run_id: str = run_id, task: Any = task, number: int = number) -> str:
                    lines = api.task_logs(dag_id, run_id, task.task_id, try_number=number, map_index=task.map_index)
                    return "\n".join([f"{_TASK_STATE} {task.state}", *lines, ""])

                found[f"{run_id}/{task.task_id}{mapped}/try {number}"] = read
    return found


def _blocked(environment: Environment) -> tuple[BlockedEgress, ...]:
    """What was blocked since the last run of the DAG was judged; what was before that stands in its verdict.

    Raises:
        EnvironmentFailed: Nobody watches, or the node does not say.
    """
    found = egress.since(environment.blocked, environment.blocked_by_address())
    if found is None:
        raise EnvironmentFailed("what pods reach outside the cluster is not watched on this target")
    present = environment.kube.list("Pod") if environment.kube is not None else ()
    return egress.named(found, followed=(), namespace=AIRFLOW_NAMESPACE, present=present)


def _git_log(environment: Environment, git: GitService) -> str:
    access = GitAccess(url=git.outside, username=git.username, password=git.password, ca_file=git.ca_file)
    return git_log(
        environment.runner, access, branch=environment.settings.policy.branch, into=environment.scratch / "git-log"
    )


def git_log(runner: Runner, access: GitAccess, *, branch: str, into: Path) -> str:
    """The refs of a repository, then the newest commits of a branch with the paths that each touched.

    Args:
        runner: Runs git.
        access: The repository.
        branch: Its log is shown; that of every ref where there is no such branch.
        into: A folder that does not exist yet, for a clone.

    Raises:
        EnvironmentFailed: The repository cannot be had.
    """
    # One commit more than is shown: what the oldest one touches shows only beside its parent.
    depth = str(_COMMITS + 1)
    options = ["--quiet", "--bare", "--no-single-branch", "--depth", depth]
    runner.run(["git", "clone", *options, access.url, into], env=access.env, timeout=_GIT_SECONDS)
    git = ["git", f"--git-dir={into}"]
    refs = runner.run([*git, "for-each-ref", "--format=%(objectname) %(refname)"], env=access.env).stdout
    there = f"refs/heads/{branch}" in refs.split()
    shown = runner.run(
        [*git, "log", "-n", str(_COMMITS), "--date=iso-strict", "-c", "--name-status",
         "--format=%ncommit %H%nparents %P%nauthor %an <%ae> %ad%ncommitter %cn <%ce> %cd%n    %s",
         f"refs/heads/{branch}" if there else "--all", "--"],
        env=access.env,
    ).stdout  # fmt: skip
    title = f"the newest {_COMMITS} commits of {branch}" if there else f"there is no branch {branch}; all commits"
    return f"refs:\n{refs}\n{title}:\n{shown}"


def _bucket(service: S3Service, prefix: str) -> str:
    client: Any = s3.connect(service)
    return bucket_listing(client, service.bucket, prefix=prefix, root=service.root)


def bucket_listing(client: Any, bucket: str, *, prefix: str, root: str = "") -> str:
    """Key, size and time of every object, those of the run first; versions and delete markers where there are any.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket.
        prefix: What the run writes under.
        root: What all keys begin with that are of interest.
    """
    entries: list[tuple[str, str]] = []
    versioned = False
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=root)
    for page in pages:
        for kind in ("Versions", "DeleteMarkers"):
            for entry in page.get(kind, ()):
                # Without versioning each object has one version, called "null".
                versioned = versioned or entry["VersionId"] != "null" or kind == "DeleteMarkers"
                what = f"{entry['Size']:>12}" if kind == "Versions" else "deleted".rjust(12)
                version = f"{entry['VersionId']}{' (latest)' if entry['IsLatest'] else ''}"
                entries.append((entry["Key"], f"{what}  {entry['LastModified']:%Y-%m-%dT%H:%M:%SZ}  {version}"))
        if len(entries) >= _MOST_KEYS:
            break
    lines = [f"bucket {bucket}, {'with versions' if versioned else 'not versioned'}; bytes, time, key"]
    for title, mine in ((f"under {prefix}, this run's prefix", True), ("elsewhere", False)):
        found = [(key, text) for key, text in entries if key.startswith(prefix) is mine]
        lines.append(f"\n{title}: {len(found)}")
        lines += [f"{text if versioned else text.rpartition('  ')[0]}  {key}" for key, text in sorted(found)]
    if len(entries) >= _MOST_KEYS:
        lines.append(f"\nonly the first {len(entries)} are listed")
    return "\n".join([*lines, ""])


def _values(environment: Environment) -> str:
    """Every values file in the order in which Helm takes them, a document each."""
    return "".join(f"---\n# {path}\n{masked(path.read_text(encoding='utf-8'))}" for path in environment.values_files)


def _versions(environment: Environment) -> str:
    """What this run is made of, as far as it came."""
    pinned, toolchain, ready = versions(), environment.toolchain, environment.ready
    document: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": f"{platform.platform()} {platform.machine()}",
        "supply": environment.supply_note,
        "pinned": {
            name: getattr(pinned, name)
            for name in ("kubernetes", "etcd", "coredns", "kind", "helm", "airflow", "chart", "debian_base")
        },
        "stand-ins": [f"{part.name} for {part.replaces}: {part.because}" for part in environment.stand_ins],
    }
    if toolchain is not None:
        whose = "the harness's own" if toolchain.engine.ours else "the machine's own"
        document["engine"] = f"Docker {toolchain.engine.version}, {whose}"
        document["node image"] = toolchain.node_image
        document["images"] = {
            name: {"reference": reference, "digests": list(toolchain.image_digests.get(name, ()))}
            for name, reference in toolchain.images.items()
        }
    if environment.api is not None:
        document["models of apache-airflow-client that Airflow's answers do not fit"] = dict(environment.api.drift)
    if ready is not None:
        document["installed"] = {
            "kubernetes": ready.cluster.kubernetes_version,
            "airflow": ready.release.version,
            "chart": ready.release.chart,
            "values": ready.release.values_digest,
            "s3": ready.services.s3.backend,
        }
    return json.dumps(document, indent=1) + "\n"
