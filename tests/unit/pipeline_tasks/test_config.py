from __future__ import annotations

import pytest
from dvc_pipeline.config import Config
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.push import MD5_TRAILER, RUN_TRAILER, commit_message

LEAST = {"GIT_REPO": "https://git.example/mlops.git", "PIPELINE_RUN_ID": "manual__2026-01-01T00:00:00+00:00"}


def test_defaults_are_those_of_the_guide() -> None:
    config = Config.from_env(LEAST)
    assert (config.branch, str(config.pointer), config.rows) == ("main", "datasets/penguins.csv.dvc", 1)
    assert (config.author_name, config.author_email) == ("Airflow", "airflow@example.invalid")
    assert str(config.shared) == "/shared"


@pytest.mark.parametrize("name", LEAST)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(PipelineError, match=name):
        Config.from_env({**LEAST, name: ""})


@pytest.mark.parametrize(
    "url", ["https://bot:hunter2secret@git.example/x.git", "https://hunter2secret@git.example/x.git"]
)
def test_credentials_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(PipelineError) as caught:
        Config.from_env({**LEAST, "GIT_REPO": url})
    assert "GIT_REPO carries credentials" in str(caught.value)
    assert "hunter2secret" not in str(caught.value)


def test_a_user_is_part_of_an_ssh_address() -> None:
    assert Config.from_env({**LEAST, "GIT_REPO": "ssh://git@git.example/x.git"}).repository.startswith("ssh://git@")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DVC_DATA_FILE", "/etc/passwd"),
        ("DVC_DATA_FILE", "../penguins.csv"),
        ("DVC_DATA_FILE", "datasets/../../x.csv"),
        ("DVC_DATA_FILE", "--help"),
        ("DVC_DATA_FILE", "datasets/penguins.csv.dvc"),
        ("GIT_BRANCH", "--upload-pack=x"),
        ("GIT_BRANCH", "a..b"),
        ("GIT_REPO", "--upload-pack=x"),
        ("PIPELINE_ROWS", "-1"),
        ("PIPELINE_ROWS", "1.5"),
        ("PIPELINE_ROWS", "10001"),
        ("PIPELINE_ROWS", "None"),
        ("PIPELINE_RUN_ID", "two\nlines"),
        ("GIT_AUTHOR_NAME", "two\nlines"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(PipelineError, match=name):
        Config.from_env({**LEAST, name: value})


def test_the_message_names_file_run_and_md5() -> None:
    subject, blank, *trailers = commit_message(Config.from_env(LEAST), "0" * 32).splitlines()
    assert (subject, blank) == ("Data version: datasets/penguins.csv", "")
    assert trailers == [f"{RUN_TRAILER}: {LEAST['PIPELINE_RUN_ID']}", f"{MD5_TRAILER}: {'0' * 32}"]
