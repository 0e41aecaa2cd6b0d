"""Values with a mistake, given to the `harness` command on a kept cluster: its exit code and its own first line."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.assets import asset
from harness.environment import KEPT_CLUSTER
from harness.errors import ExitCode
from harness.kubeapi import KubeApi
from harness.names import AIRFLOW_NAMESPACE
from harness.settings import Settings

from .book import Book
from .cli import flags, harness
from .table import RELEASES, RUNS, Case
from .variant import write_variant

pytestmark = pytest.mark.e2e

VALUES = Path(__file__).parent / "values"
_KEYS = ("GIT_SYNC_USERNAME", "GIT_SYNC_PASSWORD", "GITSYNC_USERNAME", "GITSYNC_PASSWORD")
_OF_THE_COMMAND = "no-such-key"


@pytest.fixture(scope="session")
def cluster(
    pytestconfig: pytest.Config, harness_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeApi]:
    """The kept cluster, up, with the Secrets that the values name. Nobody holds it: the command is to use it."""
    up = harness("up", *flags(pytestconfig, "keep"), cwd=tmp_path_factory.mktemp("up"))
    assert up.code == ExitCode.GREEN, up.said
    name = harness_settings.cluster_name or KEPT_CLUSTER
    with KubeApi(harness_settings.state_dir / "clusters" / name / "kubeconfig", f"kind-{name}") as kube:
        connection = _secret(kube, "airflow-metadata")["connection"]
        database = connection.rpartition("/")[2].partition("?")[0]
        users = {key: "airflow" if key.endswith("USERNAME") else "not-the-password" for key in _KEYS}
        wrong = connection[: connection.rindex(database)] + "nobody_made_it"
        kube.apply([_manifest("diagnosis-credentials", users), _manifest("diagnosis-metadata", {"connection": wrong})])
        yield kube
        for made in ("diagnosis-credentials", "diagnosis-metadata"):
            kube.delete("Secret", made, AIRFLOW_NAMESPACE)


# Before the values are wrong: the release is as it was brought up.
def test_a_mistake_in_the_dag_is_named_by_the_command_and_its_code_stands_in_every_file(
    cluster: KubeApi, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    (case,) = (case for case in RUNS if case.name == _OF_THE_COMMAND)
    dags = write_variant(asset("dags"), case, tmp_path / "dags", given={})
    given = flags(pytestconfig, "keep", "dags")
    done = harness("run", *given, "--keep", "always", "--dags", dags, cwd=tmp_path)
    assert done.code == ExitCode.VERDICT_RED, done.said
    first = done.diagnoses[0]
    assert first.code == case.code
    assert all(words in first.what for words in case.says)
    (evidence,) = (path for path in (tmp_path / "evidence").iterdir() if path.is_dir())
    for file in ("verdict.json", "timeline.json"):
        codes = [found["code"] for found in json.loads((evidence / file).read_text())["diagnoses"]]
        assert codes[0] == case.code, file


@pytest.mark.parametrize("case", RELEASES, ids=lambda case: case.name)
def test_a_mistake_in_the_values_is_named_by_the_command(
    cluster: KubeApi, pytestconfig: pytest.Config, book: Book, tmp_path: Path, case: Case
) -> None:
    # A small node has no room for what the case before has left beside what this one brings.
    for part in ("api-server", "scheduler", "dag-processor"):
        cluster.delete("Deployment", f"airflow-{part}", AIRFLOW_NAMESPACE)
    began = time.monotonic()
    given = flags(pytestconfig, "keep")
    done = harness("run", *given, "--keep", "always", "--values", VALUES / f"{case.name}.yaml", cwd=tmp_path)
    assert done.code == ExitCode.ENVIRONMENT_FAILED, done.said
    book.check(case, done.diagnoses, since=began)


def _secret(kube: KubeApi, name: str) -> dict[str, str]:
    found = kube.get("Secret", name, AIRFLOW_NAMESPACE)
    assert found is not None
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def _manifest(name: str, data: dict[str, str]) -> dict[str, object]:
    metadata = {"name": name, "namespace": AIRFLOW_NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
