"""No pod is root, privileged, without limits or with a token that it does not use; exceptions are named.

Memory is limited and CPU is not: a limit there only throttles a start on a machine that has nothing better to do.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import jinja2
import pytest
import yaml
from kubernetes import client

from harness.airflow.chart import Chart, Manifest
from harness.airflow.chart_rendering import Rendering
from harness.assets import asset, package_path

HELM = asset("helm")
Render = Callable[[Chart, Sequence[Path]], tuple[Manifest, ...]]
# Empties what tasks of any user wrote on the shared volume: root, with two capabilities and nothing else.
AS_ROOT = {"Pod harness-probe-1 (empty-claim.yaml.j2)": {"DAC_OVERRIDE", "FOWNER"}}
# They start pods, or read their logs; nobody else speaks to Kubernetes.
WITH_TOKEN = {"Deployment airflow-scheduler", "Deployment airflow-api-server", "pod template"}
VALUES = {
    "image": "example/image:1",
    "config": "{}",
    "digest": "0" * 64,
    "ca_bundle": "Q0E=",
    "ca_certificate": "ca",
    "pipeline": {},
    "agent": True,
    "name": "harness-probe-1",
    "program": "print(1)",
    "bucket": "b",
    "postgres": "postgres.example:5432",
    "seconds": 90,
    "node_port": 30443,
    "root": "",
    "storage_class": "",
    "access": "ReadWriteOnce",
}


@dataclass(frozen=True)
class Pod:
    """A pod spec with its owner.

    Attributes:
        token: Whether its account's own setting, where the pod says nothing, gives it a token.
    """

    owner: str
    spec: Mapping[str, Any]
    token: bool = True

    @property
    def containers(self) -> Iterator[Mapping[str, Any]]:
        for kind in ("initContainers", "containers"):
            yield from self.spec.get(kind) or ()

    def context(self, container: Mapping[str, Any], key: str) -> Any:
        """What holds for a container: its own word, or else the pod's."""
        own = container.get("securityContext") or {}
        return own.get(key, (self.spec.get("securityContext") or {}).get(key))


def problems(pod: Pod) -> list[str]:
    """What is wrong with a pod."""
    found = [f"shares the node's {what}" for what in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(what)]
    found += [f"mounts the node's {one['hostPath']}" for one in pod.spec.get("volumes") or () if "hostPath" in one]
    if pod.spec.get("automountServiceAccountToken", pod.token) != (pod.owner in WITH_TOKEN):
        found.append("has a token that it does not use" if pod.owner not in WITH_TOKEN else "lacks its token")
    for container in pod.containers:
        for problem in _of_container(pod, container):
            found.append(f"{container['name']}: {problem}")
    return found


def _of_container(pod: Pod, container: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    root = pod.owner in AS_ROOT
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add") or ()) != AS_ROOT.get(pod.owner, set()):
        yield f"capabilities {capabilities}"
    if (pod.context(container, "runAsNonRoot") is not True or pod.context(container, "runAsUser") == 0) != root:
        yield "root or not, as it comes" if not root else "not root any more: take it off the list"
    if (pod.context(container, "seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if "memory" not in (container.get("resources") or {}).get("limits", {}):
        yield "no limit of memory"
    if not {"cpu", "memory"} <= (container.get("resources") or {}).get("requests", {}).keys():
        yield "no requests"
    for port in container.get("ports") or ():
        if "hostPort" in port:
            yield f"takes port {port['hostPort']} of the node"


def services() -> Iterator[Pod]:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - YAML, not HTML
    for path in sorted(package_path("services", "manifests").glob("*.yaml*")):
        for one in yaml.safe_load_all(environment.from_string(path.read_text(encoding="utf-8")).render(**VALUES)):
            spec = (one or {}).get("spec") or {}
            inner = spec.get("template", {}).get("spec") or (spec if "containers" in spec else None)
            if inner:
                yield Pod(f"{one['kind']} {one['metadata']['name']} ({path.name})", inner)


SERVICES = list(services())


def of_chart(manifests: Sequence[Manifest]) -> list[Pod]:
    accounts = {
        one["metadata"]["name"]: one.get("automountServiceAccountToken", True)
        for one in manifests
        if one["kind"] == "ServiceAccount"
    }
    return [
        Pod(owner, spec, token=accounts.get(spec.get("serviceAccountName"), True))
        for owner, spec in Rendering(manifests).pods
    ]


@pytest.mark.parametrize("pod", SERVICES, ids=lambda pod: pod.owner)
def test_a_pod_of_the_services_has_what_it_needs_and_no_more(pod: Pod) -> None:
    assert problems(pod) == []


def test_every_manifest_with_a_pod_is_looked_at() -> None:
    files = {path.name for path in package_path("services", "manifests").iterdir() if "containers:" in path.read_text()}
    assert {pod.owner.rpartition("(")[2].rstrip(")") for pod in SERVICES} == files


def check_chart(chart: Chart, rendered: Render) -> None:
    pods = of_chart(rendered(chart, (HELM / "values.yaml", HELM / "kind.yaml")))
    assert {pod.owner for pod in pods} >= WITH_TOKEN
    assert {pod.owner: found for pod in pods if (found := problems(pod))} == {}


def test_the_pods_of_the_embedded_chart_have_what_they_need_and_no_more(embedded: Chart, rendered: Render) -> None:
    check_chart(embedded, rendered)


@pytest.mark.usefixtures("helm_program")
def test_the_pods_of_the_official_chart_have_what_they_need_and_no_more(official: Chart, rendered: Render) -> None:
    check_chart(official, rendered)


@dataclass
class Operators:
    """Stands in for Airflow while the DAG's file is read: what it hands to the operator is what is looked at."""

    given: list[dict[str, Any]] = field(default_factory=list)

    def modules(self) -> dict[str, ModuleType]:
        operators = self

        class Operator:
            def __init__(self, **options: Any) -> None:
                operators.given.append(options)

            def __rshift__(self, other: Self) -> Self:
                return other

        class Dag:
            def __init__(self, *_given: Any, **_options: Any) -> None:
                pass

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_exception: object) -> None:
                pass

        pod, sdk = "airflow.providers.cncf.kubernetes.operators.pod", "airflow.sdk"
        names = {".".join(name.split(".")[:end]) for name in (pod, sdk) for end in range(1, name.count(".") + 2)}
        made: dict[str, Any] = {name: ModuleType(name) for name in names}
        made[pod].KubernetesPodOperator = Operator
        made[sdk].DAG, made[sdk].Param = Dag, lambda *_given, **_options: None
        return made


@pytest.fixture
def dag_pods(monkeypatch: pytest.MonkeyPatch) -> list[Pod]:
    operators = Operators()
    for name, module in operators.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    runpy.run_path(str(asset("dags") / "dataset_pipeline.py"))
    plain: Any = client.ApiClient().sanitize_for_serialization
    return [
        Pod(
            given["task_id"],
            plain(
                {
                    "securityContext": given["security_context"],
                    "automountServiceAccountToken": given["automount_service_account_token"],
                    "volumes": given["volumes"],
                    "hostNetwork": given.get("hostnetwork", False),
                    "containers": [
                        {
                            "name": "base",
                            "securityContext": given["container_security_context"],
                            "resources": given["container_resources"],
                        }
                    ],
                }
            ),
        )
        for given in operators.given
    ]


def test_the_pods_of_the_dag_have_what_they_need_and_no_more(dag_pods: list[Pod]) -> None:
    assert [pod.owner for pod in dag_pods] == ["pull_data", "modify_data", "push_data"]
    assert {pod.owner: found for pod in dag_pods if (found := problems(pod))} == {}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hostNetwork": True}, "shares the node's hostNetwork"),
        ({"automountServiceAccountToken": True}, "has a token that it does not use"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "mounts the node's"),
        ({"securityContext": {"runAsNonRoot": False}}, "root or not"),
        ({"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}, "root or not"),
    ],
)
def test_a_pod_that_takes_more_is_found(dag_pods: list[Pod], change: dict[str, Any], problem: str) -> None:
    pod = dag_pods[0]
    assert problem in "; ".join(problems(Pod(pod.owner, {**pod.spec, **change})))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"securityContext": {"privileged": True}}, "privileged; base: may gain privileges; base: capabilities {}"),
        ({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}, "no limit of memory"),
        ({"resources": {"limits": {"memory": "1Gi"}}}, "no requests"),
        ({"ports": [{"containerPort": 80, "hostPort": 80}]}, "takes port 80 of the node"),
    ],
)
def test_a_container_that_takes_more_is_found(dag_pods: list[Pod], change: dict[str, Any], problem: str) -> None:
    pod = dag_pods[0]
    containers = [{**next(pod.containers), **change}]
    assert problem in "; ".join(problems(Pod(pod.owner, {**pod.spec, "containers": containers})))
