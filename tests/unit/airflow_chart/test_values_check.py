"""Values are held to what a chart knows, before Helm runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.airflow.chart import contract, embedded_chart
from harness.airflow.chart_values import ChartContract, check_values, dotted
from harness.assets import asset
from harness.errors import ValuesError
from harness.names import GIT_URL

SHARED = asset("helm") / "values.yaml"
KIND = asset("helm") / "kind.yaml"

# As strict and as lax as the official chart's: closed, open and free maps, a $ref, defaults without a schema.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "definitions": {
        "io.k8s.Limits": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"cpu": {"type": "string"}},
        }
    },
    "properties": {
        "replicas": {"type": "integer"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "resources": {"type": "object", "$ref": "#/definitions/io.k8s.Limits"},
        "workers": {"type": "object", "properties": {"kubernetes": {"type": "object", "properties": {"env": {}}}}},
        "ports": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
        "budget": {"type": "object", "additionalProperties": True, "properties": {"enabled": {}}},
        "password": {"type": "integer"},
    },
}
OPEN = ChartContract("sample 1.0.0 (official)", {"replicas": 1, "onlyDefault": {"x": 1}}, SCHEMA, embedded=False)


def problems(tmp_path: Path, text: str, chart: ChartContract = OPEN, *before: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValuesError) as caught:
        check_values([*before, path], chart)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("replcas: 2\n", "replcas"),
        ("workers: {kubernetes: {evn: []}}\n", "workers.kubernetes.evn"),
        ("workers: {kubernets: {}}\n", "workers.kubernets"),
        ("resources: {cpus: '1'}\n", "resources.cpus"),
        ("ports: [{port: 1}, {prot: 2}]\n", "ports[1].prot"),
        ("onlyDefault: {z: 1}\n", "onlyDefault.z"),
    ],
)
def test_an_unknown_key_is_an_error_wherever_it_stands(tmp_path: Path, text: str, key: str) -> None:
    assert f"mine.yaml:1 {key}: unknown key" in problems(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "labels: {any.thing/at-all: x}\n",
        "budget: {enabled: true, whatever: 1}\n",
        "global: {storageClass: x}\n",
        "workers: {kubernetes: {env: [{name: A, value: b}]}}\n",
        "onlyDefault: {x: 2}\n",
    ],
)
def test_maps_that_are_free_by_nature_take_any_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    assert check_values([path], OPEN)["replicas"] == 1


def test_a_misspelt_key_gets_the_nearest_known_one(tmp_path: Path) -> None:
    assert "did you mean replicas?" in problems(tmp_path, "replcas: 2\n")


def test_a_key_whose_parent_was_left_out_gets_the_right_place(tmp_path: Path) -> None:
    assert "did you mean workers.kubernetes?" in problems(tmp_path, "kubernetes: {}\n")


def test_a_key_that_only_shares_its_last_name_with_another_gets_no_guess(tmp_path: Path) -> None:
    assert "did you mean" not in problems(tmp_path, "workers: {onlyDefault: {}}\n")


@pytest.mark.parametrize("key", ["volumes", "extraEnv", "scheduler: {env: []}\n#"])
def test_a_key_of_the_official_chart_is_not_taken_for_another_of_the_embedded_one(tmp_path: Path, key: str) -> None:
    # `createUserJob` has `env` and `extraVolumes`, which nobody means who sets them elsewhere.
    assert "did you mean createUserJob" not in problems(tmp_path, f"{key}: []\n", contract(embedded_chart()))


def test_the_embedded_chart_takes_variables_for_all_containers(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("env: [{name: AIRFLOW_VAR_BIRDS, value: '3'}]\n", encoding="utf-8")
    found = check_values([SHARED, KIND, path], contract(embedded_chart()))
    assert found["env"] == [{"name": "AIRFLOW_VAR_BIRDS", "value": "3"}]


def test_a_wrong_type_is_named_with_the_expected_one(tmp_path: Path) -> None:
    assert "mine.yaml:1 replicas: expected integer, found string" in problems(tmp_path, "replicas: two\n")


def test_a_wrong_value_is_never_shown(tmp_path: Path) -> None:
    assert "hunter2hunter2" not in problems(tmp_path, "password: hunter2hunter2\n")


def test_the_file_and_line_that_count_are_named(tmp_path: Path) -> None:
    first = tmp_path / "first.yaml"
    first.write_text("replicas: 1\n", encoding="utf-8")
    said = problems(tmp_path, "\nlabels: {}\nreplicas: x\n", OPEN, first)
    assert "mine.yaml:3 replicas" in said
    assert "first.yaml" not in said


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    said = problems(tmp_path, "replcas: 1\nreplicas: x\nlabels: {a: 1}\n")
    assert all(key in said for key in ("replcas", "replicas:", "labels.a"))


def test_a_key_that_no_file_sets_is_said_to_be_unset(tmp_path: Path) -> None:
    said = problems(tmp_path, "labels: {}\n", ChartContract("x", {"replicas": None}, SCHEMA, embedded=False))
    assert "replicas (set in no file): expected integer, found null" in said


def test_a_path_reads_as_helm_users_write_it() -> None:
    assert dotted(("a", "b", 0, "c")) == "a.b[0].c"


@pytest.mark.parametrize("target", ["kind", "eks"])
def test_the_shipped_values_fit_the_embedded_chart(target: str) -> None:
    effective = check_values([SHARED, asset("helm") / f"{target}.yaml"], contract(embedded_chart()))
    assert effective["executor"] == "KubernetesExecutor"
    assert effective["dags"]["gitSync"]["repo"] == GIT_URL


def test_the_values_of_the_guide_fit_the_embedded_chart(tmp_path: Path) -> None:
    # The whole custom-values.yaml of the guide's repository, techiescamp/mlops-for-devops.
    guide = tmp_path / "guide.yaml"
    guide.write_text(
        """
executor: KubernetesExecutor
dags:
  gitSync:
    enabled: true
    repo: https://example.invalid/fork.git
    branch: main
    subPath: "phase-2-enterprise-setup/airflow/dags"
    period: 60s
    credentialsSecret: git-credentials
workers:
  serviceAccount:
    create: false
    name: airflow-dvc-sa
postgresql:
  primary:
    persistence:
      storageClass: gp2
triggerer:
  persistence:
    storageClassName: gp2
""",
        encoding="utf-8",
    )
    effective = check_values([SHARED, KIND, guide], contract(embedded_chart()))
    assert effective["dags"]["gitSync"]["subPath"] == "phase-2-enterprise-setup/airflow/dags"


@pytest.mark.parametrize(
    "text", ["scheduler: {podAnnotations: {a: b}}\n", "ingress: {}\n", "flower: {enabled: true}\n"]
)
def test_the_embedded_chart_says_that_a_further_key_needs_the_official_one(tmp_path: Path, text: str) -> None:
    said = problems(tmp_path, text, contract(embedded_chart()), SHARED, KIND)
    assert "needs the official one" in said
    assert "--airflow-chart" in said


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("executor: CeleryExecutor\n", "executor"),
        ("triggerer: {enabled: true}\n", "triggerer.enabled"),
        ("postgresql: {enabled: true}\n", "postgresql.enabled"),
        ("migrateDatabaseJob: {useHelmHooks: true}\n", "migrateDatabaseJob.useHelmHooks"),
        ("dags: {gitSync: {enabled: false}}\n", "dags.gitSync.enabled"),
    ],
)
def test_the_embedded_chart_refuses_what_it_cannot_do(tmp_path: Path, text: str, key: str) -> None:
    said = problems(tmp_path, text, contract(embedded_chart()), SHARED, KIND)
    assert f"mine.yaml:1 {key}: must be" in said


def test_the_embedded_chart_needs_its_secrets_named(tmp_path: Path) -> None:
    said = problems(tmp_path, "{}\n", contract(embedded_chart()))
    assert "fernetKeySecretName (set in no file)" in said


def test_every_default_of_the_embedded_chart_is_in_its_schema() -> None:
    chart = contract(embedded_chart())

    def paths(tree: Any) -> set[str]:
        return {dotted((key, *rest)) for key, rest in walk(tree)}

    def walk(tree: Any) -> list[tuple[str, tuple[str, ...]]]:
        found: list[tuple[str, tuple[str, ...]]] = []
        for key, value in tree.items():
            found.append((key, ()))
            if isinstance(value, dict):
                found += [(key, (below, *rest)) for below, rest in walk(value)]
        return found

    assert "data.metadataSecretName" in paths(chart.defaults)
    assert set(chart.defaults) == set(chart.schema["properties"]) - {"global"}
