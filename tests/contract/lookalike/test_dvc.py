"""DVC itself as in a pod: keys from the agent, objects through the witness, refusals that the reader understands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.lookalike.cloud import Cloud
from harness.lookalike.witness import Backend, writer_of
from tests.contract.lookalike.conftest import ACCOUNT, BUCKET, GUIDE, Agent, Client, Tokens
from tests.policies import needless, refused

DVC = Path(sysconfig.get_path("scripts")) / "dvc"
CONFIG = f"""[core]
    remote = s3
    analytics = false
    no_scm = true
['remote "s3"']
    url = s3://{BUCKET}/store
"""
# MD5 of the file below, in DVC 3's layout.
KEY = "store/files/md5/82/7ccb0eea8a706c4c34a16891f84e7b"


@pytest.fixture
def backend(store: Backend) -> Backend:
    return store


@pytest.fixture
def push(
    start: Callable[..., Agent], tmp_path: Path, url: str, client: Client, associated: str, bucket: str
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`dvc push`, or what else is said, in a pod with this token; its remote is the guide's and names no endpoint."""
    client("iam").put_role_policy(RoleName="Airflow-DVCS3Role", PolicyName="s3", PolicyDocument=json.dumps(GUIDE))
    agent = start()
    repository = tmp_path / "repository"
    (repository / ".dvc").mkdir(parents=True)
    (repository / ".dvc" / "config").write_text(CONFIG)
    (repository / "data.csv").write_text("12345")

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(DVC), *arguments],
            cwd=repository,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    added = run("add", "data.csv")
    assert added.returncode == 0, added.stderr
    return lambda token, *verb: run(*(verb or ("push",)), **agent.environment(token), AWS_ENDPOINT_URL_S3=url)


def test_what_dvc_pushes_was_written_by_the_role_of_its_pod(
    push: Callable[..., subprocess.CompletedProcess[str]], tokens: Tokens, cloud: Cloud
) -> None:
    pushed = push(tokens.issue("airflow", "airflow-dvc-sa"))
    assert pushed.returncode == 0, pushed.stderr
    written = writer_of(cloud.log, BUCKET, KEY)
    assert written is not None
    assert written.principal.startswith(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Airflow-DVCS3Role/eks-mlops-push-data-x7-"
    )
    assert {call.outcome for call in cloud.log.calls("s3") if call.principal == written.principal} == {"allowed"}


def test_dvc_in_a_pod_of_another_account_fails_and_writes_nothing(
    push: Callable[..., subprocess.CompletedProcess[str]], tokens: Tokens, cloud: Cloud
) -> None:
    pushed = push(tokens.issue("airflow", "default"))
    assert pushed.returncode != 0
    assert "No association found for service account airflow/default" in pushed.stderr
    assert writer_of(cloud.log, BUCKET, KEY) is None


def test_dvc_under_a_role_without_put_object_fails_with_that_reason(
    push: Callable[..., subprocess.CompletedProcess[str]], tokens: Tokens, cloud: Cloud, client: Client
) -> None:
    reading = {"Statement": {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}}
    client("iam").put_role_policy(RoleName="Airflow-DVCS3Role", PolicyName="s3", PolicyDocument=json.dumps(reading))
    pushed = push(tokens.issue("airflow", "airflow-dvc-sa"))
    assert pushed.returncode != 0
    assert "s3:PutObject" in pushed.stderr
    denied = [call for call in cloud.log.calls("s3") if call.outcome == "denied"]
    assert {action for call in denied for action, _ in call.checked} == {"s3:PutObject"}


def test_the_guides_policy_is_enough_for_dvc_and_nothing_of_it_can_be_left_out(
    push: Callable[..., subprocess.CompletedProcess[str]], tokens: Tokens, cloud: Cloud, tmp_path: Path
) -> None:
    repository, token = tmp_path / "repository", tokens.issue("airflow", "airflow-dvc-sa")
    assert push(token).returncode == 0
    shutil.rmtree(repository / ".dvc" / "cache")
    (repository / "data.csv").unlink()
    assert push(token, "pull").returncode == 0
    (repository / "data.csv.dvc").unlink()
    collected = push(token, "gc", "--workspace", "--cloud", "--force")
    assert collected.returncode == 0, collected.stderr
    calls = [call for call in cloud.log.calls("s3") if ":assumed-role/" in call.principal]
    assert refused(GUIDE, calls) == []
    assert needless(GUIDE, calls) == []
