"""Where AWS's keys come from may be broken, or its login over: told with what to do, and no fault of the harness."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from harness.errors import EnvironmentFailed, UsageError
from harness.model import Bucket
from harness.services import s3
from harness.targets.eks.aws import client, explained, open_session

OVER = f"credential_process = {shlex.quote(sys.executable)} -c 'raise SystemExit(\"the login is over\")'"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS's configuration file; boto3 finds nothing else of this machine."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path / "config"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (OVER, "the login is over"),
        ("credential_process = /not/there", "/not/there"),
        (f"credential_process = {shlex.quote(sys.executable)} -c 'print(1, 2)'", "Extra data"),
        ("aws_access_key_id = AKIAIOSFODNN7EXAMPLE", "missing: aws_secret_access_key"),
        ("role_arn = arn:aws:iam::111122223333:role/x\nsource_profile = gone", 'source_profile "gone"'),
        ("sso_session = gone\nsso_account_id = 111122223333\nsso_role_name = x", 'sso-session does not exist: "gone"'),
    ],
    ids=["login over", "no such program", "no JSON", "half a key", "no source profile", "no SSO session"],
)
def test_keys_that_cannot_be_had_are_told_with_what_to_check(said: str, told: str, config: Path) -> None:
    config.write_text(f"[default]\n{said}\n", encoding="utf-8")
    with pytest.raises(EnvironmentFailed) as caught:
        client(open_session(profile=None, region="eu-north-1"), "sts")
    assert told in caught.value.message
    assert "aws sso login" in caught.value.next_step
    assert "credential_process" in caught.value.next_step


@pytest.mark.parametrize("variable", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
@pytest.mark.parametrize("error", [NoCredentialsError(), EndpointConnectionError(endpoint_url="http://172.17.0.1:9/")])
@pytest.mark.usefixtures("config")
def test_a_shell_that_a_look_alike_was_sourced_in_is_told_of_it_and_not_of_aws(
    variable: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "/state of mine/clusters/birds/lookalike/aws/file")
    with pytest.raises(EnvironmentFailed) as caught, explained("ask AWS who is calling"):
        raise error
    assert "harness eks-lookalike up --cluster birds, then . '/state of mine/clusters/birds/lookalike/env'" in (
        caught.value.next_step
    )
    assert "a new shell" in caught.value.next_step
    assert "sso" not in caught.value.next_step


def test_a_profile_of_a_look_alike_that_is_down_is_told_with_how_to_bring_it_up(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = config.parent / "clusters" / "birds" / "lookalike"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "aws" / "config"))
    with pytest.raises(UsageError, match="administrator") as caught:
        open_session(profile="administrator", region="eu-north-1")
    assert "harness eks-lookalike up --cluster birds" in caught.value.next_step


@pytest.mark.usefixtures("config")
def test_a_folder_that_is_called_lookalike_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/home/me/lookalike/aws/config")
    with pytest.raises(EnvironmentFailed) as caught, explained("ask AWS who is calling"):
        raise NoCredentialsError
    assert "aws sso login" in caught.value.next_step


def test_a_damaged_configuration_is_told_by_its_file_and_not_by_its_words(config: Path) -> None:
    config.write_text("[default]\naws_secret_access_key hunter2-in-plain\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        open_session(profile=None, region="eu-north-1")
    assert str(config) in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert caught.value.next_step


def test_a_login_that_ends_while_the_run_goes_on_is_told_where_s3_is_asked(config: Path) -> None:
    config.write_text(f"[default]\n{OVER}\n", encoding="utf-8")
    with pytest.raises(EnvironmentFailed, match="the login is over") as caught:
        s3.connect(s3.outside(Bucket(name="dvc", region="eu-north-1", endpoint=None, root="", profile=None)))
    assert "log in" in caught.value.next_step


@pytest.mark.parametrize("where", ["flag", "profile", "AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_region_that_cannot_be_one_is_told_wherever_it_stands(
    where: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "profile":
        config.write_text("[default]\nregion = mars 1\n", encoding="utf-8")
    elif where != "flag":
        monkeypatch.setenv(where, "mars 1")
    with pytest.raises(UsageError, match="'mars 1' is no AWS region") as caught:
        open_session(profile=None, region="mars 1" if where == "flag" else None)
    assert "such as eu-central-1" in caught.value.next_step
