"""The embedded chart renders what the official one does, but for a list of differences, each with its reason."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.airflow.chart import Chart, Manifest
from harness.assets import asset

SHARED, KIND = asset("helm") / "values.yaml", asset("helm") / "kind.yaml"
Render = Callable[[Chart, Sequence[Path]], tuple[Manifest, ...]]

# Path in the renderings -> why they may differ there. A reason that no difference needs any more fails the test.
DIFFERENCES = {
    r".*/metadata/labels/chart": "name and version of the chart itself",
    r"Deployment .*/annotations/checksum/airflow-config": "digest over the ConfigMap, whose layout differs",
    r"Deployment .*/annotations/checksum/(metadata-secret|pgbouncer-config-secret|result-backend-secret|extra-.*)": (
        "digests over what neither chart renders with these values: constants"
    ),
    r"Deployment .*/affinity/.*": "spreads replicas over nodes; every component has one replica",
    r"ServiceAccount airflow-scheduler/automountServiceAccountToken": "said here, true by default there",
    r"Job airflow-run-airflow-migrations/.*/args/2": "the same command on one line",
    r"ConfigMap .*/cfg/(celery|celery_kubernetes_executor|elasticsearch|elasticsearch_configs|kerberos)/.*": (
        "executors, log stores and logins that are not in use"
    ),
    r"ConfigMap .*/cfg/webserver/.*": "of Airflow 2; Airflow 3 does not read it",
    r"ConfigMap .*/cfg/(metrics/(otel_.*|statsd_(host|port|prefix))|traces/otel_on)": (
        "where measurements would go, were they on; Airflow's own default is off"
    ),
    r"ConfigMap .*/cfg/dag_processor/dag_bundle_config_list": "the same JSON with its keys in another order",
}

VARIANTS = {
    "as-shipped": "{}",
    "values-of-the-guide": """
        dags: {gitSync: {repo: https://example.invalid/fork.git, subPath: phase-2/airflow/dags, period: 60s}}
        workers: {serviceAccount: {create: false, name: airflow-dvc-sa}}
        postgresql: {primary: {persistence: {storageClass: gp2}}}
        triggerer: {persistence: {storageClassName: gp2}}
    """,
    "account-of-the-guide-alone": """
        workers:
          serviceAccount: {create: false, name: airflow-dvc-sa}
          kubernetes: {serviceAccount: {create: null, name: null}}
    """,
    "accounts-by-default": "workers: {kubernetes: {serviceAccount: {create: null, name: null}}}",
    "account-of-its-own-by-default-name": "workers: {kubernetes: {serviceAccount: {create: true, name: null}}}",
    "account-made-by-others": "workers: {kubernetes: {serviceAccount: {create: false, name: made-elsewhere}}}",
    "cluster-ip": "apiServer: {service: {type: ClusterIP, ports: [{name: api-server, port: 8080}]}}",
    "other-images": """
        defaultAirflowRepository: registry.invalid/airflow
        images:
          airflow: {repository: registry.invalid/airflow, pullPolicy: Never}
          pod_template: {pullPolicy: Never}
          gitSync: {repository: registry.invalid/git-sync, tag: v9}
    """,
    "below-a-path": "config: {api: {base_url: 'https://example.invalid/airflow/'}}",
    # One of them the chart sets too: whose value counts is not the same everywhere.
    "variables": """
        env:
          - {name: AIRFLOW_VAR_BIRDS, value: '3: "{{ no template }}"'}
          - {name: AIRFLOW_HOME, value: /elsewhere}
    """,
    "public-repository": "dags: {gitSync: {credentialsSecret: null}}",
    "service-links-by-default": "enableServiceLinks: null",
    "chart's-own-security": """
        securityContexts: {pod: null, containers: null}
        dags: {gitSync: {securityContexts: {container: null}}}
    """,
}


def comparable(manifest: Manifest) -> dict[str, Any]:
    """The manifest with the files in its ConfigMap read."""
    if manifest["kind"] != "ConfigMap":
        return manifest
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(manifest["data"]["airflow.cfg"])
    files = set(manifest["data"]) - {"airflow.cfg", "pod_template_file.yaml"}
    return {
        "metadata": manifest["metadata"],
        "files": sorted(files),
        "cfg": {section: dict(parser[section]) for section in parser.sections()},
        "pod": yaml.safe_load(manifest["data"]["pod_template_file.yaml"]),
    }


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each value by its path; members of lists by what names them, so that their order does not matter."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, f"{path}/{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            name: Any = index
            if path.endswith(("/verbs", "/resources", "/drop")):
                name = below
            elif isinstance(below, dict):
                name = below.get("mountPath") or below.get("name") or " ".join(below.get("resources", [])) or index
            yield from leaves(below, f"{path}/{name}")
    elif value is not None:
        yield path, value


def flat(manifests: Sequence[Manifest]) -> dict[str, Any]:
    return {
        path: value
        for manifest in manifests
        for path, value in leaves(comparable(manifest), f"{manifest['kind']} {manifest['metadata']['name']}")
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        path: (one.get(path), other.get(path))
        for path in sorted(one.keys() | other.keys())
        if one.get(path) != other.get(path)
    }


def argued(path: str) -> bool:
    return any(re.fullmatch(rule, path) for rule in DIFFERENCES)


@pytest.fixture(params=VARIANTS)
def values(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ...]:
    path = tmp_path / "variant.yaml"
    path.write_text(VARIANTS[request.param], encoding="utf-8")
    return SHARED, KIND, path


def test_both_charts_make_the_same_objects(
    values: tuple[Path, ...], embedded: Chart, official: Chart, rendered: Render
) -> None:
    ours, theirs = (
        {(each["kind"], each["metadata"]["name"]) for each in rendered(chart, values)} for chart in (embedded, official)
    )
    assert ours == theirs


def test_both_charts_render_the_same_but_for_what_is_argued(
    values: tuple[Path, ...], embedded: Chart, official: Chart, rendered: Render
) -> None:
    found = differences(flat(rendered(embedded, values)), flat(rendered(official, values)))
    unexplained = {
        path: pair for path, pair in found.items() if not any(re.fullmatch(rule, path) for rule in DIFFERENCES)
    }
    assert unexplained == {}


@pytest.mark.parametrize("rule", DIFFERENCES)
def test_every_argued_difference_is_still_there(rule: str, embedded: Chart, official: Chart, rendered: Render) -> None:
    found = differences(*(flat(rendered(chart, (SHARED, KIND))) for chart in (embedded, official)))
    assert any(re.fullmatch(rule, path) for path in found)


def test_a_difference_nobody_argued_for_is_noticed(embedded: Chart, rendered: Render) -> None:
    manifests = rendered(embedded, (SHARED, KIND))
    ours = flat(manifests)
    theirs = {**ours, "Deployment airflow-scheduler/spec/replicas": 2}
    found = differences(ours, theirs)
    assert found == {"Deployment airflow-scheduler/spec/replicas": (1, 2)}
    assert not any(argued(path) for path in found)
