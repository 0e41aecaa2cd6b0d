"""What every manifest of the services must keep to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from harness.assets import package_path
from harness.names import AIRFLOW_NAMESPACE, NODE_PORTS, SERVICES_NAMESPACE

FILES = sorted(package_path("services", "manifests").glob("*.yaml*"))
VALUES = {
    "image": "example/image:1",
    "config": '{"env": {}}',
    "digest": "0" * 64,
    "ca_bundle": "Q0E=",
    "ca_certificate": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    "pipeline": {"GIT_BRANCH": "main"},
    "name": "harness-probe-1",
    "program": "print(1)",
    "bucket": "dvc-example",
    "postgres": "postgres.example:5432",
    "seconds": 90,
    "agent": True,
    "root": "",
    "storage_class": "",
    "access": "ReadWriteOnce",
}


def documents(path: Path) -> list[dict[str, Any]]:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - YAML, not HTML
    # A file is called by its service, and by what stands behind it: "s3-localstack".
    node_port = NODE_PORTS.get(path.name.partition(".")[0].partition("-")[0])
    text = environment.from_string(path.read_text(encoding="utf-8")).render(**VALUES, node_port=node_port)
    return [document for document in yaml.safe_load_all(text) if document]


DEPLOYMENTS = [
    pytest.param(document, id=path.name)
    for path in FILES
    for document in documents(path)
    if document["kind"] == "Deployment"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_a_comment_on_top_says_what_it_is_for(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_no_manifest_holds_a_secret(path: Path) -> None:
    assert "Secret" not in {document["kind"] for document in documents(path)}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_pods_have_no_privileges(deployment: dict[str, Any]) -> None:
    spec = deployment["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_pods_say_what_they_need_and_when_they_are_ready(deployment: dict[str, Any]) -> None:
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert container["readinessProbe"]["periodSeconds"] == 1


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_services_run_in_their_own_namespace(deployment: dict[str, Any]) -> None:
    assert deployment["metadata"]["namespace"] == SERVICES_NAMESPACE
    assert deployment["spec"]["selector"]["matchLabels"].items() <= (
        deployment["spec"]["template"]["metadata"]["labels"].items()
    )


def test_node_ports_are_those_that_the_cluster_maps() -> None:
    found = {
        (document["metadata"]["name"], port["nodePort"])
        for path in FILES
        for document in documents(path)
        if document["kind"] == "Service"
        for port in document["spec"]["ports"]
        if "nodePort" in port
    }
    assert found == {("git", NODE_PORTS["git"]), ("s3", NODE_PORTS["s3"])}


def test_the_adapter_is_asked_for_airflows_pods_only_and_never_skipped() -> None:
    namespaces = {
        document["metadata"]["name"]: document["metadata"]["labels"]
        for document in documents(package_path("services", "manifests", "namespaces.yaml"))
    }
    webhook = next(
        document
        for document in documents(package_path("services", "manifests", "adapter.yaml.j2"))
        if document["kind"] == "MutatingWebhookConfiguration"
    )["webhooks"][0]
    selected = webhook["namespaceSelector"]["matchLabels"].items()
    assert [name for name, labels in namespaces.items() if selected <= labels.items()] == [AIRFLOW_NAMESPACE]
    assert webhook["failurePolicy"] == "Fail"
    assert webhook["rules"][0]["operations"] == ["CREATE"]


def test_the_probe_asks_for_a_name_again_after_a_second() -> None:
    (pod,) = (
        document
        for document in documents(package_path("services", "manifests", "probe.yaml.j2"))
        if document["kind"] == "Pod"
    )
    assert {"name": "timeout", "value": "1"} in pod["spec"]["dnsConfig"]["options"]
