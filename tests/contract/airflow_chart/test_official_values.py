"""Values are held to the official chart's real defaults and schema, where Helm itself would let them pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.airflow.chart import Chart, contract
from harness.airflow.chart_values import check_values
from harness.assets import asset
from harness.errors import ValuesError

SHIPPED = (asset("helm") / "values.yaml", asset("helm") / "kind.yaml")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("executr: KubernetesExecutor", "executr", "executor"),
        ("gitSync: {repo: x}", "gitSync", "dags.gitSync"),
        ("workers: {kubernetes: {resorces: {}}}", "workers.kubernetes.resorces", "workers.kubernetes.resources"),
        ("workers: {serviceAccount: {nme: x}}", "workers.serviceAccount.nme", "workers.serviceAccount.name"),
        ("scheduler: {resources: {limts: {}}}", "scheduler.resources.limts", "scheduler.resources.limits"),
        ("env: [{nme: A, value: b}]", "env[0].nme", "env[0].name"),
        ("postgresql: {primry: {}}", "postgresql.primry", "postgresql.primary"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_right_one(
    official: Chart, tmp_path: Path, text: str, key: str, near: str
) -> None:
    with pytest.raises(ValuesError) as caught:
        check_values([*SHIPPED, write(tmp_path, text)], contract(official))
    assert f"mine.yaml:1 {key}: unknown key; did you mean {near}?" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "config: {any_section: {any_option: 1}}",
        "extraEnv: |\n  - name: A\n    value: b",
        "extraSecrets: {mine: {stringData: 'a: b'}}",
        "nodeSelector: {any/label: x}",
        "scheduler: {podAnnotations: {any/annotation: x}, resources: {limits: {cpu: 1, any.vendor/gpu: 1}}}",
        "apiServer: {extraVolumes: [{name: v, emptyDir: {}}], env: [{name: A, value: b}]}",
        "podTemplate: 'kind: Pod'",
        "postgresql: {primary: {persistence: {storageClass: gp2}}}",
        "scheduler: {podDisruptionBudget: {config: {minAvailable: 1}}}",
        "ingress: {apiServer: {enabled: true, hosts: [{name: a.invalid, tls: {enabled: true}}]}}",
        "logs: {emptyDirConfig: {sizeLimit: 1Gi}}",
        "securityContexts: {pod: {seccompProfile: {type: RuntimeDefault}}}",
    ],
)
def test_what_the_official_chart_takes_is_taken(official: Chart, tmp_path: Path, text: str) -> None:
    assert check_values([*SHIPPED, write(tmp_path, text)], contract(official))


def test_a_wrong_type_is_refused(official: Chart, tmp_path: Path) -> None:
    with pytest.raises(ValuesError, match=r"scheduler\.replicas: expected integer, found string"):
        check_values([*SHIPPED, write(tmp_path, "scheduler: {replicas: two}")], contract(official))
