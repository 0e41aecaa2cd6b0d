"""A run as a document: what only it is called is gone, everything else is there, and no secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.parity.compare import differences
from harness.parity.document import Parts, document

from .runs import eks_parts, kind_parts, on_eks, on_kind

_PUSH = "task push_data"


def one_pod(**spec: Any) -> Parts:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "base"}], **spec}}
    return replace(kind_parts(), pods={_PUSH: pod})


@pytest.mark.parametrize("parts", [kind_parts, eks_parts])
def test_two_runs_of_the_same_thing_on_one_target_give_the_same_document(parts: Any) -> None:
    one, other = document(parts("a1b2c3d4")), document(parts("b9b8b7b6"))
    assert one["run"] != other["run"]
    assert differences(one, other) == ()


def test_a_document_can_be_written_as_json_and_read_back() -> None:
    assert json.loads(json.dumps(on_kind())) == on_kind()


def test_the_environment_has_what_comes_from_elsewhere_and_of_secrets_that_it_comes_from_there() -> None:
    found = on_kind()["environment"]
    assert found[_PUSH]["base"] == {
        "GIT_REPO": "https://git.harness.svc.cluster.local/mlops.git",
        "GITSYNC_PASSWORD": "from Secret git-credentials",
        "GITSYNC_USERNAME": "from Secret git-credentials",
        "PIPELINE_RUN_ID": "{dag-run}",
        "SHARED_DIR": "/shared",
        "AWS_ENDPOINT_URL_S3": "http://s3.harness.svc.cluster.local:4566",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "dummy",
        "AWS_SECRET_ACCESS_KEY": "[redacted]",
        "GIT_SSL_CAINFO": "/etc/harness/ca.crt",
    }
    assert found["executor push_data"]["base"]["KEY"] == "from Secret airflow-fernet-key, key fernet-key"


def test_a_variable_of_the_container_goes_before_one_of_a_config_map() -> None:
    container = {
        "name": "base",
        "env": [{"name": "GIT_REPO", "value": "mine"}, {"name": "EMPTY"}],
        "envFrom": [{"configMapRef": {"name": "dataset-pipeline"}, "prefix": ""}],
    }
    found = document(one_pod(containers=[container]))["environment"][_PUSH]["base"]
    assert found == {"GIT_REPO": "mine", "EMPTY": ""}


def test_what_a_variable_comes_from_is_told_where_its_value_is_not_known() -> None:
    sources = {
        "A": {"configMapKeyRef": {"name": "dataset-pipeline", "key": "GIT_REPO"}},
        "B": {"configMapKeyRef": {"name": "other", "key": "k"}},
        "C": {"fieldRef": {"fieldPath": "status.podIP"}},
        "D": {"resourceFieldRef": {"resource": "limits.cpu"}},
    }
    env = [{"name": name, "valueFrom": source} for name, source in sources.items()]
    whole = [{"prefix": "X_", "configMapRef": {"name": "gone"}}, {"prefix": "Y_", "secretRef": {"name": "gone"}}]
    found = document(one_pod(containers=[{"name": "base", "env": env, "envFrom": whole}]))["environment"][_PUSH]["base"]
    assert found == {
        "A": "https://git.harness.svc.cluster.local/mlops.git",
        "B": "from ConfigMap other, key k",
        "C": "from field status.podIP",
        "D": 'from {"resourceFieldRef": {"resource": "limits.cpu"}}',
        "X_(all of ConfigMap gone)": "not read",
        "Y_(all of Secret gone)": "from Secret gone",
    }


def test_no_value_of_a_secret_is_in_it() -> None:
    secret = on_kind()["manifests"]["Secret extra"]
    assert secret["data"] == {"key": "[redacted]"}
    assert "bm90IHRv" not in json.dumps(on_kind())


def test_files_of_a_config_map_are_compared_by_their_parts() -> None:
    data = on_kind()["manifests"]["ConfigMap airflow-config"]["data"]
    assert data == {
        "airflow.cfg": {"core": {"parallelism": "32"}},
        "pod_template_file.yaml": {"spec": {"restartPolicy": "Never"}},
    }


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "{"), ("a.cfg", "no section"), ("notes", "a: 1")])
def test_a_file_of_no_known_form_is_compared_as_text(name: str, text: str) -> None:
    manifest = {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {name: text}}
    assert document(replace(kind_parts(), manifests=[manifest]))["manifests"]["ConfigMap m"]["data"] == {name: text}


def test_the_remote_is_told_by_bucket_and_prefix() -> None:
    assert on_eks(root="e2e/")["repository"][".dvc/config"]["'remote \"storage\"'"] == {
        "url": {"scheme": "s3", "bucket": "team-dvc", "prefix": "e2e/runs/{run}"},
        "read_timeout": "60",
    }


def test_a_configuration_that_is_none_is_compared_as_text() -> None:
    assert document(replace(kind_parts(), dvc_config="nothing"))["repository"] == {".dvc/config": "nothing"}


def test_of_the_claim_what_was_asked_for_is_there_and_not_what_it_was_bound_to() -> None:
    assert on_kind()["claim"] == {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard"}


def test_what_the_executor_hands_to_its_pod_is_read() -> None:
    workload = on_kind()["pods"]["executor pull_data"]["spec"]["containers"]["base"]["args"][2]
    assert workload == {
        "token": "[redacted]",
        "log_path": "run_id={dag-run}/attempt=1.log",
        "ti": {"id": "{uuid}", "try_number": 1},
        "trace": "{trace}",
    }


def test_an_argument_that_only_begins_like_json_stays_text() -> None:
    spec = document(one_pod(containers=[{"name": "base", "args": ["{{ run_id }}", "{1}"]}]))["pods"][_PUSH]["spec"]
    assert spec["containers"]["base"]["args"] == ["{{ run_id }}", "{1}"]


def test_where_a_pod_was_put_and_what_was_noted_on_it_in_passing_does_not_count() -> None:
    pod = on_kind()["pods"]["executor pull_data"]
    assert {"nodeName", "serviceAccount"} & set(pod["spec"]) == set()
    assert pod["labels"] == {"dag_id": "dataset_pipeline", "run_id": "a-dag-run"}
    assert set(pod["annotations"]) == {"cluster-autoscaler.kubernetes.io/safe-to-evict"}
    assert pod["spec"]["serviceAccountName"] == "airflow-worker"


def test_the_order_of_init_containers_counts_and_that_of_others_does_not() -> None:
    a, b = {"name": "a"}, {"name": "b"}

    def spec(field: str, *order: dict[str, str]) -> Any:
        return document(one_pod(**{field: list(order)}))["pods"][_PUSH]["spec"][field]

    assert spec("initContainers", a, b) != spec("initContainers", b, a)
    assert spec("containers", a, b) == spec("containers", b, a) == {"a": {}, "b": {}}


def test_mounts_are_known_by_their_path_since_a_volume_may_be_mounted_twice() -> None:
    mounts = [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b", "readOnly": True}]
    spec = document(one_pod(containers=[{"name": "base", "volumeMounts": mounts}]))["pods"][_PUSH]["spec"]
    assert spec["containers"]["base"]["volumeMounts"] == {"/a": {"name": "v"}, "/b": {"name": "v", "readOnly": True}}


def test_a_list_of_things_without_names_of_their_own_stays_a_list() -> None:
    tolerations = [{"key": "a"}, {"key": "b"}]
    twice = [{"name": "same"}, {"name": "same"}]
    spec = document(one_pod(tolerations=tolerations, volumes=twice, hostAliases=[]))["pods"][_PUSH]["spec"]
    assert (spec["tolerations"], spec["volumes"], spec["hostAliases"]) == (tolerations, twice, [])


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("kube-api-access-66jfc", "kube-api-access-{any}"),
        ("at 2026-11-21T18:00:17.123Z", "at {time}"),
        ("01a1ff43-cd1a-73c3-83d2-debeef04f8b5", "{uuid}"),
        ("http://172.26.0.1:37247/x", "http://{address}:{port}/x"),
        # What is not made anew for each run stays as it is.
        ("10.0.0.1:8080", "10.0.0.1:8080"),
        ("http://s3.harness.svc.cluster.local:4566", "http://s3.harness.svc.cluster.local:4566"),
        ("http://169.254.170.23/v1/credentials", "http://169.254.170.23/v1/credentials"),
        ("2026-11-21", "2026-11-21"),
    ],
)
def test_only_what_is_generated_is_replaced(text: str, stands: str) -> None:
    found = document(one_pod(containers=[{"name": "base", "args": [text]}]))["pods"][_PUSH]["spec"]
    assert found["containers"]["base"]["args"] == [stands]


def test_longer_names_are_replaced_first_and_short_ones_not_at_all() -> None:
    names = {"abcdef": "{one}", "abcdefgh": "{two}", "main": "{branch}"}
    parts = replace(one_pod(containers=[{"name": "base", "args": ["abcdefgh", "abcdef", "main"]}]), names=names)
    assert document(parts)["pods"][_PUSH]["spec"]["containers"]["base"]["args"] == ["{two}", "{one}", "main"]
