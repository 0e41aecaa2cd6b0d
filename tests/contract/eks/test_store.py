"""S3 outside of the cluster, with the reader's own session: keys that end, a prefix of a bucket that is not ours."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.dvc import BotoStore, Dvc
from harness.errors import EnvironmentFailed
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.witness import writer_of
from harness.model import Bucket, S3Service
from harness.redaction import MASK, Redactor
from harness.services import s3
from harness.wait import Waiter
from tests.contract.lookalike.conftest import BUCKET, REGION, Client

DVC = Path(sysconfig.get_path("scripts")) / "dvc"
ROOT = "team/e2e/"
OBJECTS = f"arn:aws:s3:::{BUCKET}/{ROOT}*"
CONFIG = f"""[core]
    remote = s3
    no_scm = true
['remote "s3"']
    url = s3://{BUCKET}/{ROOT}runs/run-1/abc
"""
KEY = f"{ROOT}runs/run-1/abc/files/md5/82/7ccb0eea8a706c4c34a16891f84e7b"


@pytest.fixture
def session(cloud: Cloud, bucket: str, enter: Callable[[Credentials], None]) -> Credentials:
    """Keys that end, of somebody who may do what is needed below one prefix, and nothing else."""
    below = {"StringLike": {"s3:prefix": [f"{ROOT}*"]}}
    user = cloud.user(
        "nightly",
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "Resource": OBJECTS},
                {
                    "Effect": "Allow",
                    "Action": "s3:ListBucket",
                    "Resource": f"arn:aws:s3:::{BUCKET}",
                    "Condition": below,
                },
            ],
        },
    )
    vended = cloud.store.vend(user.principal, datetime.now(UTC) + timedelta(hours=1))
    enter(vended)
    return vended


@pytest.fixture
def service(url: str, session: Credentials) -> S3Service:
    return s3.outside(Bucket(BUCKET, REGION, url, ROOT, None))


def test_a_round_trip_stays_below_the_prefix(service: S3Service, cloud: Cloud) -> None:
    s3.prove(service, waiter=Waiter())
    calls = cloud.log.calls("s3")
    made = [call for call in calls if call.principal.endswith("user/nightly")]
    assert {call.operation for call in made} == {"PutObject", "GetObject", "DeleteObject"}
    assert all(str(call.parameters["Key"]).startswith(f"{ROOT}harness-probe/") for call in made)


@pytest.mark.parametrize("change", [{"bucket": "not-there"}, {"probes": "elsewhere/"}])
def test_a_bucket_that_refuses_is_an_error_at_once_that_says_what_it_takes(
    service: S3Service, change: dict[str, Any]
) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot be used from here") as caught:
        s3.prove(replace(service, **change), waiter=Waiter())
    assert "put, get, delete and list" in caught.value.next_step


def test_the_inventory_asks_for_the_prefix_alone(service: S3Service, client: Client) -> None:
    for key in (f"{ROOT}runs/a", "theirs.csv"):
        client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")
    store = BotoStore(s3.connect(service))
    assert set(store.inventory(BUCKET, service.root).sizes) == {f"{ROOT}runs/a"}
    with pytest.raises(EnvironmentFailed, match="could not list"):
        store.inventory(BUCKET)


def test_dvc_gets_the_keys_of_the_session_and_nobody_sees_them(
    service: S3Service, session: Credentials, cloud: Cloud, tmp_path: Path
) -> None:
    redactor = Redactor()
    dvc = Dvc(DVC, service, redactor, ask_keys=lambda: s3.keys(service))
    env = {"PATH": os.environ["PATH"], **dvc.env(tmp_path / "home")}
    assert env["AWS_SESSION_TOKEN"] == session.session_token
    assert redactor.text(f"{session.secret_access_key} {session.session_token}") == f"{MASK} {MASK}"
    repository = tmp_path / "repository"
    (repository / ".dvc").mkdir(parents=True)
    (repository / ".dvc" / "config").write_text(CONFIG)
    (repository / "data.csv").write_text("12345")
    for words in (["add", "data.csv"], ["push"]):
        done = subprocess.run(
            [str(DVC), *words], cwd=repository, env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
    written = writer_of(cloud.log, BUCKET, KEY)
    assert written is not None
    assert written.access_key_id == session.access_key_id


def test_a_profile_of_the_reader_serves_as_well(
    service: S3Service, session: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        f"[nightly]\naws_access_key_id = {session.access_key_id}\n"
        f"aws_secret_access_key = {session.secret_access_key}\naws_session_token = {session.session_token}\n"
    )
    named = replace(service, profile="nightly")
    s3.prove(named, waiter=Waiter())
    assert s3.keys(named).access_key == session.access_key_id


def test_no_keys_at_all_is_an_error_that_says_how_to_log_in(
    service: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(EnvironmentFailed, match="boto3 finds no keys") as caught:
        s3.keys(service)
    assert "aws sso login" in caught.value.next_step
