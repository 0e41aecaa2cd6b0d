"""What `harness parity` compares, collected at the end of a run's first proof: `parity.json` among its evidence."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from harness.airflow.chart import helm_environment
from harness.dvc import GitAccess, Repository
from harness.environment import Environment, Ready
from harness.errors import HarnessError
from harness.kubeapi import JsonObject, KubeApi
from harness.model import PipelineRun, Seeded
from harness.names import AIRFLOW_NAMESPACE, RELEASE, SHARED_CLAIM
from harness.parity.document import FILE, SCHEMA, Parts, document
from harness.report.files import redacted

_HELM_SECONDS: Final = 30.0
# Of a Job or of ours, a pod comes and goes; its manifest is compared all the same.
_STANDING: Final = frozenset({"ReplicaSet", "StatefulSet"})
_MINOR: Final = re.compile(r"v?(\d+\.\d+)")


def record_parity(
    environment: Environment,
    ready: Ready,
    run: PipelineRun,
    *,
    manifests: Mapping[str, JsonObject],
    config: bytes | None,
) -> None:
    """Write it. What cannot be collected stands there by its reason, and is no fault of the run.

    Args:
        environment: Of the run.
        ready: The same, up.
        run: The DAG run.
        manifests: The last object seen of each of its pods, by name.
        config: `.dvc/config` as it found it.
    """
    found: dict[str, Any] = {"schema": SCHEMA, "run": environment.run_id, "target": str(environment.settings.target)}
    with environment.timeline.phase("parity record") as note:
        try:
            found = document(_parts(environment, ready, run, manifests, config))
        except (HarnessError, yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            found["problem"] = f"{type(error).__name__}: {error}"
            note("could not be collected", failed=True)
        text = json.dumps(redacted(found, environment.redactor), indent=1, sort_keys=True)
        (environment.evidence / FILE).write_text(text + "\n", encoding="utf-8")


def _parts(
    environment: Environment,
    ready: Ready,
    run: PipelineRun,
    manifests: Mapping[str, JsonObject],
    config: bytes | None,
) -> Parts:
    kube, release = ready.kube, ready.release
    pods = {**dict(_components(kube)), **dict(_of_the_run(run, manifests))}
    sources = [source for pod in pods.values() for source in _sources(pod)]
    maps = {str(one["name"]) for kind, one in sources if kind.startswith("configMap")}
    secrets = {str(one["name"]) for kind, one in sources if kind == "secretRef"}
    minor = _MINOR.match(ready.cluster.kubernetes_version)
    return Parts(
        run=environment.run_id,
        target=str(environment.settings.target),
        versions={
            "airflow": release.version,
            "chart": release.chart,
            "kubernetes": minor[1] if minor is not None else ready.cluster.kubernetes_version,
        },
        manifests=[one for one in yaml.safe_load_all(_installed(environment, ready)) if one],
        pods=pods,
        config_maps={name: dict(_data(kube, "ConfigMap", name)) for name in maps},
        secret_keys={name: sorted(_data(kube, "Secret", name)) for name in secrets},
        claim=(kube.get("PersistentVolumeClaim", SHARED_CLAIM, AIRFLOW_NAMESPACE) or {}).get("spec") or {},
        dvc_config=(config or b"").decode("utf-8", "replace"),
        dags=_dags(environment, ready, run.seeded),
        names=_names(environment, ready, run),
    )


def _installed(environment: Environment, ready: Ready) -> str:
    """The rendering that was installed, as Helm keeps it in the cluster."""
    cluster = ready.cluster
    home = environment.settings.state_dir / "clusters" / cluster.name / "helm"
    command: list[str | Path] = [
        ready.toolchain.helm, "get", "manifest", RELEASE, "--namespace", AIRFLOW_NAMESPACE,
        "--kubeconfig", cluster.kubeconfig, "--kube-context", cluster.context,
    ]  # fmt: skip
    return environment.runner.run(command, env=helm_environment(home), timeout=_HELM_SECONDS).stdout


def _components(kube: KubeApi) -> Iterator[tuple[str, JsonObject]]:
    """Airflow's own pods, by component; of several of one the last made."""
    for pod in sorted(kube.list("Pod", AIRFLOW_NAMESPACE), key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        metadata = pod["metadata"]
        owners = {str(owner["kind"]) for owner in metadata.get("ownerReferences") or ()}
        component = (metadata.get("labels") or {}).get("component")
        if component and owners & _STANDING and not metadata.get("deletionTimestamp"):
            yield f"component {component}", pod


def _of_the_run(run: PipelineRun, manifests: Mapping[str, JsonObject]) -> Iterator[tuple[str, JsonObject]]:
    """The pods of the run by role and task; of a task's tries the first."""
    tried = sorted(run.pods.values(), key=lambda pod: (-pod.try_number, pod.name))
    for pod in tried:
        mapped = f"[{pod.map_index}]" if pod.map_index >= 0 else ""
        if pod.name in manifests:
            yield f"{pod.role} {pod.task_id}{mapped}", manifests[pod.name]


def _sources(pod: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Where its containers take variables from: kind of the reference, and the reference."""
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or ():
            for one in container.get("envFrom") or ():
                yield from ((name, value) for name, value in one.items() if name != "prefix")
            for one in container.get("env") or ():
                yield from (one.get("valueFrom") or {}).items()


def _data(kube: KubeApi, kind: str, name: str) -> Mapping[str, str]:
    return (kube.get(kind, name, AIRFLOW_NAMESPACE) or {}).get("data") or {}


def _dags(environment: Environment, ready: Ready, seeded: Seeded) -> dict[str, str]:
    git = ready.services.git
    access = GitAccess(url=git.outside, username=git.username, password=git.password, ca_file=git.ca_file)
    with tempfile.TemporaryDirectory(prefix="parity-", dir=environment.scratch) as folder:
        repository = Repository.clone(environment.runner, access, Path(folder) / "mirror.git")
        return repository.files(seeded.sha, seeded.dags_path)


def _names(environment: Environment, ready: Ready, run: PipelineRun) -> dict[str, str]:
    """What only this run is called."""
    store, seeded = ready.services.s3, run.seeded
    own_bucket = f"dvc-{ready.cluster.name}"
    return {
        seeded.prefix.removeprefix(store.root): "runs/{run}",
        environment.run_id: "{run}",
        run.outcome.run_id: "{dag-run}",
        seeded.sha: "{sha}",
        # A store that is made with its cluster is called by it; a bucket that was there is not this run's own.
        **({own_bucket: "dvc-{cluster}"} if store.bucket == own_bucket else {}),
    }
