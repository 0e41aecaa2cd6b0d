"""The facts about an installed Airflow hold on both charts, and each of them can fail."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.airflow.chart import Chart, Manifest
from harness.airflow.chart_facts import FACTS, Fact, check_facts
from harness.assets import asset

SHIPPED = (asset("helm") / "values.yaml", asset("helm") / "kind.yaml")
Render = Callable[[Chart, Sequence[Path]], tuple[Manifest, ...]]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_fact_holds_on_the_embedded_chart(fact: Fact, embedded: Chart, rendered: Render) -> None:
    (result,) = [result for result in check_facts(rendered(embedded, SHIPPED)) if result.name == fact.name]
    assert result.problems == ()


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_fact_holds_on_the_official_chart(fact: Fact, official: Chart, rendered: Render) -> None:
    (result,) = [result for result in check_facts(rendered(official, SHIPPED)) if result.name == fact.name]
    assert result.problems == ()


def pod(manifests: list[Manifest], name: str) -> dict[str, Any]:
    (found,) = [each for each in manifests if each["metadata"]["name"] == name and "template" in each.get("spec", {})]
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def main(manifests: list[Manifest], name: str) -> dict[str, Any]:
    container: dict[str, Any] = pod(manifests, name)["containers"][0]
    return container


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def replaced(manifests: list[Manifest], key: str, old: str, new: str) -> None:
    data = named(manifests, "ConfigMap", "airflow-config")["data"]
    assert old in data[key]
    data[key] = data[key].replace(old, new)


def without_env(container: dict[str, Any], *names: str) -> None:
    container["env"] = [each for each in container["env"] if each["name"] not in names]


def rendered_env(container: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in container["env"] if each["name"] == name]
    variable: dict[str, Any] = found
    return variable


SCHEDULER, API, DAGS, USER = "airflow-scheduler", "airflow-api-server", "airflow-dag-processor", "airflow-create-user"
CFG, POD = "airflow.cfg", "pod_template_file.yaml"
PLAIN_SECRET = {"name": "GIT_TOKEN", "value": "hunter2"}
PASSWORD_URL = {"name": "REPO", "value": "https://me:hunter2@git.invalid"}

# Fact -> each way in which a chart could break it.
MUTATIONS: list[tuple[str, Callable[[list[Manifest]], object]]] = [
    ("components", lambda m: m.remove(named(m, "Deployment", SCHEDULER))),
    ("components", lambda m: m.append({"kind": "StatefulSet", "metadata": {"name": "airflow-triggerer"}})),
    ("components", lambda m: named(m, "ConfigMap", "airflow-config")["data"].pop(POD)),
    ("no-hooks", lambda m: named(m, "Job", USER)["metadata"].update(annotations={"helm.sh/hook": "post-install"})),
    ("no-secrets", lambda m: main(m, API)["env"].append(PLAIN_SECRET)),
    ("no-secrets", lambda m: main(m, API)["env"].append(PASSWORD_URL)),
    ("no-secrets", lambda m: main(m, USER)["args"].append("-p")),
    ("no-secrets", lambda m: main(m, USER)["args"].append("airflow users create --password hunter2")),
    ("no-secrets", lambda m: replaced(m, CFG, "workers = 1", "conn = postgresql://a:b@c")),
    ("images", lambda m: main(m, API).update(image="apache/airflow:3.2.2")),
    ("images", lambda m: replaced(m, POD, "apache/airflow:3.3.2", "apache/airflow:3.2.2")),
    ("images", lambda m: replaced(m, CFG, "worker_container_tag = 3.3.2", "worker_container_tag = 3.2.2")),
    ("images", lambda m: main(m, API).update(imagePullPolicy="Always")),
    ("environment", lambda m: without_env(main(m, SCHEDULER), "AIRFLOW__CORE__FERNET_KEY")),
    ("environment", lambda m: without_env(main(m, SCHEDULER), "AIRFLOW__API_AUTH__JWT_SECRET")),
    (
        "environment",
        lambda m: main(m, DAGS)["env"].append(rendered_env(main(m, API), "AIRFLOW__API_AUTH__JWT_SECRET")),
    ),
    (
        "environment",
        lambda m: rendered_env(main(m, API), "AIRFLOW_CONN_AIRFLOW_DB")["valueFrom"]["secretKeyRef"].update(name="x"),
    ),
    ("git-sync", lambda m: without_env(pod(m, DAGS)["containers"][1], "GITSYNC_PASSWORD")),
    ("git-sync", lambda m: rendered_env(pod(m, DAGS)["containers"][1], "GIT_SYNC_BRANCH").update(value="other")),
    ("git-sync", lambda m: rendered_env(pod(m, DAGS)["containers"][1], "GIT_SYNC_REV").update(value="abc")),
    ("git-sync", lambda m: pod(m, DAGS)["initContainers"].pop()),
    ("mounts", lambda m: main(m, API).update(volumeMounts=[])),
    ("mounts", lambda m: replaced(m, CFG, "/pod_templates/", "/elsewhere/")),
    ("mounts", lambda m: replaced(m, CFG, "/opt/airflow/dags/repo", "/opt/airflow/dags")),
    ("mounts", lambda m: pod(m, USER)["volumes"][1].update(name="other")),
    ("mounts", lambda m: main(m, DAGS)["volumeMounts"][-1].update(readOnly=False, mountPath="/opt/airflow/dags")),
    ("probes", lambda m: main(m, API).pop("readinessProbe")),
    ("probes", lambda m: main(m, API)["startupProbe"].update(failureThreshold=6)),
    ("probes", lambda m: main(m, SCHEDULER)["startupProbe"].update(periodSeconds=10)),
    ("probes", lambda m: main(m, API)["livenessProbe"].update(httpGet={"path": "/"})),
    ("migrations", lambda m: pod(m, API).update(initContainers=[])),
    ("migrations", lambda m: pod(m, API)["initContainers"][0].update(args=["--migration-wait-timeout=60"])),
    ("rbac", lambda m: named(m, "Role", "airflow-pod-launcher-role")["rules"].pop()),
    ("rbac", lambda m: named(m, "Role", "airflow-pod-log-reader-role")["rules"][0]["verbs"].append("delete")),
    (
        "rbac",
        lambda m: named(m, "RoleBinding", "airflow-pod-launcher-rolebinding")["subjects"].append(
            {"name": "airflow-dvc-sa"}
        ),
    ),
    ("rbac", lambda m: replaced(m, POD, "serviceAccountName: ", "serviceAccountName: airflow-dvc-sa # ")),
    ("security", lambda m: pod(m, API).update(securityContext={"runAsUser": 0})),
    ("security", lambda m: main(m, API).update(securityContext={})),
    ("security", lambda m: replaced(m, POD, "runAsNonRoot: true", "runAsNonRoot: false")),
    ("service", lambda m: named(m, "Service", API)["spec"]["ports"][0].update(nodePort=30081)),
    ("service", lambda m: named(m, "Service", API)["spec"]["ports"][0].update(port=80)),
    ("config", lambda m: replaced(m, CFG, "delete_worker_pods = False", "delete_worker_pods = True")),
    ("config", lambda m: replaced(m, CFG, "\nrefresh_interval = 5", "\nrefresh_interval = 300")),
    ("config", lambda m: replaced(m, CFG, "creation_batch_size = 4", "creation_batch_size = 1")),
    ("resources", lambda m: main(m, API)["resources"].pop("limits")),
    ("resources", lambda m: main(m, API)["resources"]["limits"].update(memory="4Gi")),
    ("resources", lambda m: main(m, API)["resources"]["requests"].update(cpu=2)),
    ("grace", lambda m: pod(m, SCHEDULER).update(terminationGracePeriodSeconds=600)),
]


def test_every_fact_is_broken_by_some_mutation() -> None:
    assert {name for name, _ in MUTATIONS} == {fact.name for fact in FACTS}


@pytest.mark.parametrize(
    ("name", "mutate"), MUTATIONS, ids=[f"{name}-{index}" for index, (name, _) in enumerate(MUTATIONS)]
)
def test_a_broken_rendering_turns_its_fact_red(
    name: str, mutate: Callable[[list[Manifest]], object], embedded: Chart, rendered: Render
) -> None:
    manifests = copy.deepcopy(list(rendered(embedded, SHIPPED)))
    mutate(manifests)
    assert name in {result.name for result in check_facts(manifests) if not result.holds}
