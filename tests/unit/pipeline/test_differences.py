"""What the adapter added is read from the pods of the run, as the adapter itself notes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.model import PodEvidence
from harness.names import ADAPTER_ANNOTATION
from harness.pipeline.differences import added_to, differences
from harness.pipeline.podrecord import PodRecord
from harness.services.apps.adapter.patch import Configuration, patch_for

CONFIGURATION = Configuration(
    env={"AWS_ENDPOINT_URL_S3": "http://s3:4566"},
    identities={"airflow-dvc-sa": {"AWS_ACCESS_KEY_ID": "dummy"}},
    ca_config_map="ca",
    pull_policy="IfNotPresent",
)


def admitted(account: str, **container: Any) -> dict[str, Any]:
    """A pod with the note that the adapter makes on it."""
    pod: dict[str, Any] = {
        "metadata": {"name": "p"},
        "spec": {"serviceAccountName": account, "containers": [{"name": "base", **container}]},
    }
    added = patch_for(pod, CONFIGURATION).added
    return {**pod, "metadata": {"name": "p", "annotations": {ADAPTER_ANNOTATION: json.dumps(added)}}}


def seen(name: str, role: str, pod: dict[str, Any]) -> PodEvidence:
    return PodEvidence(name, "t", role, "Succeeded", "i", "sha256:1", added=added_to(pod))


def test_what_was_added_is_listed_by_kind_of_pod_one_entry_for_each_thing() -> None:
    pods = [
        seen("e", "executor", admitted("airflow-worker", imagePullPolicy="IfNotPresent")),
        seen("t", "task", admitted("airflow-dvc-sa", env=[{"name": "A", "value": "1"}])),
        seen("u", "task", admitted("airflow-dvc-sa")),
    ]
    every = ("base: env AWS_ENDPOINT_URL_S3", "base: env GIT_SSL_CAINFO", "base: file /etc/harness/ca.crt")
    assert differences(pods) == {
        "executor": every,
        "task": ("base: env AWS_ACCESS_KEY_ID", *every, "base: pull policy IfNotPresent"),
    }


def test_what_is_seen_of_a_pod_of_a_run_has_its_note() -> None:
    assert PodRecord(admitted("airflow-dvc-sa")).evidence().added[0] == "base: env AWS_ENDPOINT_URL_S3"


def test_further_runs_add_to_what_is_known() -> None:
    first = differences([seen("e", "executor", admitted("x"))])
    second = differences([seen("t", "task", {"metadata": {"name": "t"}})], known=first)
    assert second == {**first, "task": ()}


@pytest.mark.parametrize("metadata", [{}, {"annotations": None}, {"annotations": {"other": "x"}}])
def test_a_pod_without_a_note_got_nothing(metadata: dict[str, Any]) -> None:
    assert added_to({"metadata": metadata}) == ()


@pytest.mark.parametrize("note", ["{", '{"a": 1}', '"x"'])
def test_a_note_in_another_form_is_shown_and_not_taken_for_none(note: str) -> None:
    assert added_to({"metadata": {"annotations": {ADAPTER_ANNOTATION: note}}}) == (note,)
