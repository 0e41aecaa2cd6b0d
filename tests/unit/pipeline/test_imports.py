"""What an import error means, and whose it is."""

from __future__ import annotations

import pytest

from harness.pipeline.imports import lacking_provider, same_file


def trace(statement: str, error: str) -> str:
    return f'Traceback (most recent call last):\n  File "/dags/x.py", line 3, in <module>\n    {statement}\n{error}\n'


@pytest.mark.parametrize(
    ("statement", "missing", "provider"),
    [
        ("from airflow.providers.amazon.aws.hooks.s3 import S3Hook", "airflow.providers.amazon", "amazon"),
        ("import airflow.providers.docker.hooks", "airflow.providers.docker", "docker"),
        ("from airflow.providers.apache.kafka.hooks import x", "airflow.providers.apache", "apache-kafka"),
        ("from airflow.providers.apache.hive.hooks import x", "airflow.providers.apache.hive", "apache-hive"),
        ("from airflow.providers.microsoft.azure.hooks import x", "airflow.providers.microsoft", "microsoft-azure"),
    ],
)
def test_an_absent_provider_is_named_by_its_distribution(statement: str, missing: str, provider: str) -> None:
    text = trace(statement, f"ModuleNotFoundError: No module named '{missing}'")
    assert lacking_provider(text) == f"apache-airflow-providers-{provider}"


@pytest.mark.parametrize(
    "error",
    [
        # The provider is there; the module was removed from it.
        "ModuleNotFoundError: No module named 'airflow.providers.cncf.kubernetes.operators.kubernetes_pod'",
        "ModuleNotFoundError: No module named 'airflow.providers.amazon.aws.operators.nonesuch'",
        "ModuleNotFoundError: No module named 'pandas'",
        "SyntaxError: invalid syntax",
        "",
    ],
)
def test_any_other_import_error_is_the_dags_own(error: str) -> None:
    assert lacking_provider(trace("import x", error)) is None


@pytest.mark.parametrize(
    ("recorded", "same"),
    [("a.py", True), ("/opt/airflow/dags/repo/dags/a.py", True), ("sub/a.py", True), ("ba.py", False), ("b.py", False)],
)
def test_a_recorded_file_is_compared_by_whole_path_parts(recorded: str, same: bool) -> None:  # noqa: FBT001
    assert same_file(recorded, ["a.py"]) is same


def test_no_file_is_one_of_none() -> None:
    assert not same_file("a.py", [])
    assert not same_file("a.py", [""])
