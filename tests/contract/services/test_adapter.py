"""The adapter over HTTPS, asked as the API server asks (AdmissionReview v1)."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from http import client as http_client
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Authority, Program, Start

SECRET = "dummy-secret-value"
CONFIGURATION = {
    "env": {"AWS_REGION": "us-east-1"},
    "identities": {"airflow-dvc-sa": {"AWS_SECRET_ACCESS_KEY": SECRET}},
    "ca_config_map": "harness-git-ca",
    "pull_policy": "IfNotPresent",
}


@pytest.fixture
def adapter(start: Start, authority: Authority, tmp_path: Path, wait: Callable[..., object]) -> Program:
    configuration = tmp_path / "config.json"
    configuration.write_text(json.dumps(CONFIGURATION))
    program = start(
        "adapter",
        {"ADAPTER_LISTEN": "127.0.0.1:0", "ADAPTER_TLS": str(authority.folder), "ADAPTER_CONFIG": str(configuration)},
    )
    wait("the adapter's first line", lambda: program.lines)
    return program


@pytest.fixture
def http(adapter: Program, authority: Authority) -> Iterator[httpx.Client]:
    address = json.loads(adapter.lines[0])["listening"]
    context = ssl.create_default_context(cafile=str(authority.ca))
    with httpx.Client(base_url=f"https://{address}", verify=context, trust_env=False, timeout=20) as client:
        yield client


def review(pod: Any, operation: str = "CREATE", kind: str = "Pod") -> dict[str, Any]:
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": kind},
        "operation": operation,
        "namespace": "airflow",
        "object": pod,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


POD = {
    "metadata": {"name": "task"},
    "spec": {"serviceAccountName": "airflow-dvc-sa", "containers": [{"name": "base", "image": "x"}]},
}
STRANGER = {**POD, "spec": {"serviceAccountName": "default", "containers": [{"name": "base", "image": "x"}]}}


def test_a_new_pod_gets_a_json_patch(http: httpx.Client) -> None:
    answer = http.post("/mutate", params={"timeout": "10s"}, json=review(POD)).json()
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = answer["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u-1", True, "JSONPatch")
    paths = {operation["path"] for operation in json.loads(base64.b64decode(response["patch"]))}
    assert {"/spec/containers/0/env", "/spec/volumes", "/metadata/annotations"} <= paths


@pytest.mark.parametrize(
    ("pod", "variables"), [(POD, {"AWS_REGION", "AWS_SECRET_ACCESS_KEY"}), (STRANGER, {"AWS_REGION"})]
)
def test_only_a_pod_of_the_account_with_an_identity_gets_keys(
    http: httpx.Client, pod: dict[str, Any], variables: set[str]
) -> None:
    response = http.post("/mutate", json=review(pod)).json()["response"]
    patch = json.loads(base64.b64decode(response["patch"]))
    added = next(operation["value"] for operation in patch if operation["path"] == "/spec/containers/0/env")
    assert {entry["name"] for entry in added} == {*variables, "GIT_SSL_CAINFO"}


@pytest.mark.parametrize(("operation", "kind"), [("UPDATE", "Pod"), ("DELETE", "Pod"), ("CREATE", "ConfigMap")])
def test_anything_but_a_new_pod_passes_unchanged(http: httpx.Client, operation: str, kind: str) -> None:
    response = http.post("/mutate", json=review(POD, operation, kind)).json()["response"]
    assert response == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize(
    "pod", [{}, {"spec": {"containers": [{}]}}, {"spec": {"containers": ["x"]}}, None, {"spec": 1}]
)
def test_a_pod_that_cannot_be_read_is_denied_with_a_reason(http: httpx.Client, pod: Any) -> None:
    response = http.post("/mutate", json=review(pod)).json()["response"]
    assert response["allowed"] is False
    assert "adapter" in response["status"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"request": null}', b'{"request": {}}', b"\xff\xfe"])
def test_a_malformed_review_is_refused_with_a_reason(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/mutate", content=body)
    assert answer.status_code == 400
    assert "AdmissionReview" in answer.json()["message"]


def test_a_body_above_the_limit_is_refused_unread(adapter: Program, authority: Authority) -> None:
    address = json.loads(adapter.lines[0])["listening"]
    connection = http_client.HTTPSConnection(
        address, timeout=20, context=ssl.create_default_context(cafile=str(authority.ca))
    )
    with closing(connection):
        connection.putrequest("POST", "/mutate")
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_health_is_answered(http: httpx.Client) -> None:
    assert http.get("/healthz").status_code == 200


def test_what_was_added_is_one_log_line_without_values(
    http: httpx.Client, adapter: Program, wait: Callable[..., object]
) -> None:
    http.post("/mutate", json=review(POD))
    wait("the log line", lambda: len(adapter.lines) > 1)
    line = json.loads(adapter.lines[1])
    assert line["pod"] == "task"
    assert any("AWS_REGION" in entry for entry in line["added"])
    assert SECRET not in adapter.output


def test_sigterm_stops_it_cleanly(adapter: Program) -> None:
    assert adapter.stop() == 0


def test_a_wrong_configuration_is_said_at_the_start(start: Start, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"unknown": 1}')
    program = start("adapter", {"ADAPTER_TLS": str(authority.folder), "ADAPTER_CONFIG": str(tmp_path / "config.json")})
    assert program.ended() == 1
    assert "configuration" in program.output
