"""Two runs of one thing, on kind and on EKS: made like the real ones, by the very webhooks that patch their pods."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

from harness.lookalike import injector
from harness.parity.document import Parts, document
from harness.services.apps.adapter.patch import ANNOTATION, Configuration, patch_for
from tests.jsonpatch import applied

Pod = dict[str, Any]

_COMMON: dict[str, Any] = {"ca_config_map": "harness-git-ca", "pull_policy": "IfNotPresent"}
# As harness/services/deploy.py has it, secrets as the redactor leaves them.
ON_KIND = Configuration(
    env={
        "AWS_ENDPOINT_URL_S3": "http://s3.harness.svc.cluster.local:4566",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    },
    identities={"airflow-dvc-sa": {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "[redacted]"}},
    **_COMMON,
)
ON_EKS = Configuration(**_COMMON)
ON_LOOK_ALIKE = replace(ON_EKS, env={"AWS_ENDPOINT_URL_S3": "http://172.26.0.1:37247"})
ECR = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
# As harness/targets names them: in ECR with the beginning of the id, in another registry as they are.
WITH_REGISTRY = replace(
    ON_EKS,
    images={
        "airflow-dvc-worker:2.0.0": f"{ECR}/mlops/airflow-dvc-worker:2.0.0-1a2b3c4d5e6f",
        "registry.k8s.io/git-sync/git-sync:v4.4.2": f"{ECR}/mlops/git-sync/git-sync:v4.4.2-6f5e4d3c2b1a",
        "apache/airflow:3.3.2": "registry.example:5000/team/apache/airflow:3.3.2",
    },
)
REMOTE = (
    "[core]\n    remote = storage\n['remote \"storage\"']\n    url = s3://{bucket}/{prefix}\n    read_timeout = 60\n"
)


def _pod(account: str, *, name: str, **container: Any) -> Pod:
    token = {"name": f"kube-api-access-{name[-5:]}", "projected": {"sources": [], "defaultMode": 420}}
    return {
        "metadata": {
            "name": name,
            "labels": {"dag_id": "dataset_pipeline", "run_id": "a-dag-run"},
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        },
        "spec": {
            "serviceAccountName": account,
            "serviceAccount": account,
            "nodeName": f"node-of-{name}",
            "containers": [{"name": "base", "imagePullPolicy": "IfNotPresent", **container}],
            "volumes": [token],
        },
    }


def _task(verb: str, *, mark: str) -> Pod:
    pod = _pod(
        "airflow-dvc-sa",
        name=f"dvc-{verb}-{mark}",
        image="airflow-dvc-worker:2.0.0",
        args=[verb],
        env=[{"name": "PIPELINE_RUN_ID", "value": f"dag-run-{mark}"}, {"name": "SHARED_DIR", "value": "/shared"}],
        envFrom=[{"configMapRef": {"name": "dataset-pipeline"}}, {"secretRef": {"name": "git-credentials"}}],
    )
    pod["metadata"]["labels"]["run_id"] = f"dag-run-{mark}"
    return pod


def _executor(verb: str, *, mark: str) -> Pod:
    workload = {
        "token": "[redacted]",
        "log_path": f"run_id=dag-run-{mark}/attempt=1.log",
        "ti": {"id": f"01a1ff43-cd1a-73c3-83d2-debeef04{mark[:4]}", "try_number": 1},
        "trace": f"00-71055fb3bea048dc661812fd3ef9{mark[:4]}-096dd18312f63271-00",
    }
    pod = _pod(
        "airflow-worker",
        name=f"dataset-pipeline-{verb}-{mark}",
        image="apache/airflow:3.3.2",
        args=["python", "--json-string", json.dumps(workload)],
        env=[{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "airflow-fernet-key", "key": "fernet-key"}}}],
    )
    pod["spec"]["initContainers"] = [
        {
            "name": "git-sync-init",
            "image": "registry.k8s.io/git-sync/git-sync:v4.4.2",
            "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "GITSYNC_REPO", "value": "https://git.harness.svc.cluster.local/mlops.git"}],
        }
    ]
    if mark.startswith("a"):
        pod["metadata"]["labels"]["airflow_executor_done"] = "True"
    return pod


def _admitted(pod: Pod, adapter: Configuration, *, region: str | None, mode: injector.Mode) -> Pod:
    """As an API server admits it: EKS's webhook and ours, and the API server's own defaults."""
    if region is not None and pod["spec"]["serviceAccountName"] == "airflow-dvc-sa":
        pod = applied(pod, injector.patch_for(pod, region, mode))
    pod = applied(pod, patch_for(pod, adapter).operations)
    assert ANNOTATION in pod["metadata"]["annotations"]
    for volume in pod["spec"]["volumes"]:
        for kind in {"configMap", "projected"} & set(volume):
            volume[kind]["defaultMode"] = 420
    return pod


def _service(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "airflow-api-server"}, "spec": spec}


def _manifests(service: dict[str, Any]) -> list[dict[str, Any]]:
    config = {"airflow.cfg": "[core]\nparallelism = 32\n", "pod_template_file.yaml": "spec: {restartPolicy: Never}\n"}
    return [
        _service(service),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "airflow-config"}, "data": config},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "extra"}, "data": {"key": "bm90IHRvIGJlIHNlZW4="}},
    ]


def _parts(
    mark: str,
    *,
    adapter: Configuration,
    region: str | None,
    mode: injector.Mode = injector.POD_IDENTITY,
    **more: Any,
) -> Parts:
    pods = {
        **{f"executor {verb}_data": _executor(verb, mark=mark) for verb in ("pull", "push")},
        **{f"task {verb}_data": _task(verb, mark=mark) for verb in ("pull", "push")},
    }
    return Parts(
        run=f"20261121-{mark}",
        versions={"airflow": "3.3.2", "chart": "airflow 0.1.0 (embedded)", "kubernetes": "1.34"},
        pods={name: _admitted(pod, adapter, region=region, mode=mode) for name, pod in pods.items()},
        config_maps={"dataset-pipeline": {"GIT_REPO": "https://git.harness.svc.cluster.local/mlops.git"}},
        secret_keys={"git-credentials": ("GITSYNC_PASSWORD", "GITSYNC_USERNAME")},
        dags={"dags/dataset_pipeline.py": "3b18e512, 5123 bytes, mode 100644"},
        **more,
    )


def kind_parts(mark: str = "a1b2c3d4") -> Parts:
    """A run on kind; another mark, another run of the same."""
    return _parts(
        mark,
        adapter=ON_KIND,
        region=None,
        target="kind",
        manifests=_manifests({"type": "NodePort", "ports": [{"name": "api-server", "port": 8080, "nodePort": 30080}]}),
        claim={"accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "volumeName": f"pvc-{mark}"},
        dvc_config=REMOTE.format(bucket=f"dvc-harness-{mark}", prefix=f"runs/20261121-{mark}/0f0f0f"),
        names={
            f"runs/20261121-{mark}/0f0f0f": "runs/{run}",
            f"20261121-{mark}": "{run}",
            f"dag-run-{mark}": "{dag-run}",
            f"dvc-harness-{mark}": "dvc-{cluster}",
        },
    )


def eks_parts(
    mark: str = "b5b6b7b8",
    *,
    adapter: Configuration = ON_EKS,
    root: str = "",
    mode: injector.Mode = injector.POD_IDENTITY,
) -> Parts:
    """A run on EKS, or on the look-alike."""
    return _parts(
        mark,
        adapter=adapter,
        region="eu-central-1",
        mode=mode,
        target="eks",
        manifests=_manifests({"type": "ClusterIP", "ports": [{"name": "api-server", "port": 8080}]}),
        claim={"accessModes": ["ReadWriteOnce"], "storageClassName": "gp3", "volumeName": f"pvc-{mark}"},
        dvc_config=REMOTE.format(bucket="team-dvc", prefix=f"{root}runs/20261121-{mark}/1e1e1e"),
        names={
            f"runs/20261121-{mark}/1e1e1e": "runs/{run}",
            f"20261121-{mark}": "{run}",
            f"dag-run-{mark}": "{dag-run}",
        },
    )


def on_kind() -> dict[str, Any]:
    """The document of a run on kind."""
    return document(kind_parts())


def on_eks(**options: Any) -> dict[str, Any]:
    """That of a run on EKS."""
    return document(eks_parts(**options))


def changed(found: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    """A document with something else at a place; None takes it away."""
    made = copy.deepcopy(found)
    at = made
    for part in path[:-1]:
        at = at.setdefault(part, {})
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return made
