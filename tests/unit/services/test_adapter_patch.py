"""What the adapter adds to a pod, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.names import ADAPTER_ANNOTATION
from harness.pipeline.differences import added_to
from harness.services.apps.adapter.patch import ANNOTATION, Configuration, ConfigurationError, patch_for
from tests.jsonpatch import applied

Pod = dict[str, Any]
CONFIGURATION = Configuration(
    env={"AWS_ENDPOINT_URL_S3": "http://s3:4566", "AWS_REGION": "us-east-1"},
    ca_config_map="harness-git-ca",
    ca_path="/etc/harness/ca.crt",
    pull_policy="IfNotPresent",
)


def pod(*containers: dict[str, Any], **spec: Any) -> Pod:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers) or [{"name": "base"}], **spec}}


def patched(before: Pod, configuration: Configuration = CONFIGURATION) -> Pod:
    return applied(before, patch_for(before, configuration).operations)


def env_of(container: dict[str, Any]) -> dict[str, Any]:
    names = [entry["name"] for entry in container["env"]]
    assert len(names) == len(set(names)), "a variable was added twice"
    return {entry["name"]: entry.get("value") for entry in container["env"]}


WANTED = {"AWS_ENDPOINT_URL_S3": "http://s3:4566", "AWS_REGION": "us-east-1", "GIT_SSL_CAINFO": "/etc/harness/ca.crt"}


@pytest.mark.parametrize("missing", [{}, {"env": [], "volumeMounts": []}, {"env": None, "volumeMounts": None}])
def test_a_bare_container_gets_everything(missing: dict[str, Any]) -> None:
    after = patched(pod({"name": "base", **missing}))
    container = after["spec"]["containers"][0]
    assert env_of(container) == WANTED
    assert container["imagePullPolicy"] == "IfNotPresent"
    mount = container["volumeMounts"][0]
    assert (mount["mountPath"], mount["subPath"]) == ("/etc/harness/ca.crt", "ca.crt")
    assert after["spec"]["volumes"] == [{"name": mount["name"], "configMap": {"name": "harness-git-ca"}}]


KEYS = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy-secret"}
WITH_IDENTITY = replace(CONFIGURATION, identities={"airflow-dvc-sa": KEYS})


def test_keys_are_for_every_container_of_the_pods_of_their_account() -> None:
    after = patched(
        pod({"name": "a"}, initContainers=[{"name": "i"}], serviceAccountName="airflow-dvc-sa"), WITH_IDENTITY
    )
    containers = after["spec"]["containers"] + after["spec"]["initContainers"]
    assert [env_of(container) for container in containers] == [{**WANTED, **KEYS}] * 2


@pytest.mark.parametrize("account", [{}, {"serviceAccountName": "default"}, {"serviceAccountName": "airflow-worker"}])
def test_a_pod_of_another_account_gets_no_keys_as_on_aws(account: dict[str, str]) -> None:
    before = pod({"name": "base"}, **account)
    assert env_of(patched(before, WITH_IDENTITY)["spec"]["containers"][0]) == WANTED
    assert not [entry for entry in patch_for(before, WITH_IDENTITY).added if "KEY" in entry]


def test_lists_that_are_there_keep_their_entries() -> None:
    after = patched(
        pod(
            {"name": "base", "env": [{"name": "A", "value": "1"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            volumes=[{"name": "v", "emptyDir": {}}],
        )
    )
    container = after["spec"]["containers"][0]
    assert env_of(container) == {"A": "1", **WANTED}
    assert [mount["name"] for mount in container["volumeMounts"]] == ["v", "harness-git-ca"]
    assert [volume["name"] for volume in after["spec"]["volumes"]] == ["v", "harness-git-ca"]


def test_every_container_and_init_container_is_adapted() -> None:
    after = patched(pod({"name": "a"}, {"name": "b"}, initContainers=[{"name": "i"}]))
    containers = after["spec"]["containers"] + after["spec"]["initContainers"]
    assert [env_of(container) for container in containers] == [WANTED] * 3
    assert len(after["spec"]["volumes"]) == 1


@pytest.mark.parametrize(
    "own",
    [
        {"name": "AWS_REGION", "value": "eu-west-1"},
        {"name": "AWS_REGION", "value": ""},
        {"name": "AWS_REGION", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
    ],
)
def test_what_a_container_sets_itself_is_kept_and_said(own: dict[str, Any]) -> None:
    before = pod({"name": "base", "env": [own]})
    assert patched(before)["spec"]["containers"][0]["env"][0] == own
    assert patch_for(before, CONFIGURATION).kept == ["base: env AWS_REGION"]


def test_what_is_added_to_a_container_with_variables_from_elsewhere_is_said_to_come_before_them() -> None:
    """A variable of `env` goes before one of the same name of `envFrom`, and what that holds is not in the pod."""
    source = [{"configMapRef": {"name": "team"}}]
    after = patched(pod({"name": "base", "envFrom": source}, {"name": "beside"}))
    assert after["spec"]["containers"][0]["envFrom"] == source
    assert [one for one in added_to(after) if "envFrom" in one] == ["base: env before envFrom"]
    assert patch_for(after, CONFIGURATION).operations == []


def test_an_adapted_pod_needs_nothing_more() -> None:
    again = patch_for(patched(pod({"name": "a"}, initContainers=[{"name": "i"}])), CONFIGURATION)
    assert (again.operations, again.added) == ([], [])


def test_a_container_that_came_later_is_adapted_and_noted_too() -> None:
    once = patched(pod({"name": "a"}))
    once["spec"]["containers"].append({"name": "sidecar"})
    twice = patched(once)
    assert env_of(twice["spec"]["containers"][1]) == WANTED
    noted = json.loads(twice["metadata"]["annotations"][ANNOTATION])
    assert {entry.partition(":")[0] for entry in noted} == {"a", "sidecar"}


def test_the_annotation_lists_what_was_added_without_values() -> None:
    secret = Configuration(env={"AWS_SECRET_ACCESS_KEY": "s3cr3t"})
    after = patched({**pod(), "metadata": {"annotations": {"other": "x"}}}, secret)
    assert json.loads(after["metadata"]["annotations"][ANNOTATION]) == ["base: env AWS_SECRET_ACCESS_KEY"]
    assert after["metadata"]["annotations"]["other"] == "x"
    assert "s3cr3t" not in after["metadata"]["annotations"][ANNOTATION]


def test_the_harness_reads_the_annotation_that_the_adapter_writes() -> None:
    assert ANNOTATION == ADAPTER_ANNOTATION


def test_images_are_mapped_by_their_exact_name() -> None:
    mapping = Configuration(images={"postgres:17": "local/postgres:17"})
    after = patched(pod({"name": "a", "image": "postgres:17"}, {"name": "b", "image": "x/postgres:17"}), mapping)
    assert [container["image"] for container in after["spec"]["containers"]] == ["local/postgres:17", "x/postgres:17"]


def test_an_empty_configuration_adds_nothing() -> None:
    assert patch_for(pod(), Configuration()).operations == []


@pytest.mark.parametrize("text", ["", "[]", '{"unknown": 1}', "{"])
def test_a_wrong_configuration_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Configuration.parse(text)
