"""A kubeconfig with an exec plug-in: the harness's own is asked for a token, and asked again when that is over."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import EnvironmentFailed, ExitCode
from harness.kubeapi import KubeApi
from harness.targets.eks.attach import EksCluster, write_kubeconfig

ARN = "arn:aws:eks:eu-central-1:111122223333:cluster/mlops"


@pytest.fixture
def kubeconfig(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ours, for the cluster of the server; boto3 finds nothing of this machine."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # The plug-in runs in the kubeconfig's folder, where this leads nowhere; and this checkout need not be installed.
    monkeypatch.setenv("PYTHONPATH", ".")
    theirs = yaml.safe_load(server.kubeconfig.read_text())["clusters"][0]["cluster"]
    cluster = EksCluster("mlops", ARN, theirs["server"], theirs["certificate-authority-data"], "1.34", {})
    path = tmp_path / "ours"
    assert write_kubeconfig(cluster, path, profile=None) == ARN
    return path


def test_each_request_carries_a_token_of_the_harness(
    server: Any, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    with KubeApi(kubeconfig, ARN, timeout=5.0) as api:
        api.version()
    sent = server.asked("GET", "/version")[0].handler.headers["Authorization"]
    raw = sent.removeprefix("Bearer k8s-aws-v1.")
    url = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode()
    assert url.startswith("https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&")
    assert "X-Amz-SignedHeaders=host%3Bx-k8s-aws-id" in url
    assert "AKIAIOSFODNN7EXAMPLE" in url


def test_a_profile_signs_where_one_is_named(server: Any, kubeconfig: Path, tmp_path: Path) -> None:
    (tmp_path / "AWS_SHARED_CREDENTIALS_FILE").write_text(
        "[nightly]\naws_access_key_id = AKIANIGHTLYEXAMPLE00\naws_secret_access_key = s\n"
    )
    theirs = yaml.safe_load(server.kubeconfig.read_text())["clusters"][0]["cluster"]
    cluster = EksCluster("mlops", ARN, theirs["server"], theirs["certificate-authority-data"], "1.34", {})
    write_kubeconfig(cluster, kubeconfig, profile="nightly")
    with KubeApi(kubeconfig, ARN, timeout=5.0) as api:
        api.version()
    raw = server.asked("GET", "/version")[0].handler.headers["Authorization"].removeprefix("Bearer k8s-aws-v1.")
    assert b"AKIANIGHTLYEXAMPLE00" in base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))


def test_the_file_is_for_its_owner_alone(kubeconfig: Path) -> None:
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    user = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["exec"]
    assert user["interactiveMode"] == "Never"
    assert user["args"] == [
        "-m", "harness.eks_token", "--cluster-name", "mlops", "--region", "eu-central-1"
    ]  # fmt: skip


def test_a_token_that_is_over_is_renewed_while_the_client_lives(server: Any, kubeconfig: Path, tmp_path: Path) -> None:
    # A suite that is longer than a token; the plug-in here gives tokens that are over at once, then one that is not.
    over, good = (f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (-1, 1))
    plugin, count = tmp_path / "plugin.py", tmp_path / "count"
    plugin.write_text(
        "import json, pathlib\n"
        f"count = pathlib.Path({str(count)!r})\n"
        "number = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(number))\n"
        f"status = {{'token': f'token-{{number}}', 'expirationTimestamp': {over!r} if number < 3 else {good!r}}}\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': status}))\n"
    )
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"]["exec"] |= {"command": sys.executable, "args": [str(plugin)]}
    kubeconfig.write_text(json.dumps(config))
    with KubeApi(kubeconfig, ARN, timeout=5.0) as api:
        for _ in range(4):
            api.version()
    sent = [asked.handler.headers["Authorization"] for asked in server.asked("GET", "/version")]
    assert sent[-1] == sent[-2] == "Bearer token-3"
    assert int(count.read_text()) == 3, "asked again only while the token was over"


def test_who_has_no_credentials_is_told_by_the_plugin(kubeconfig: Path) -> None:
    user = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["exec"]
    done = subprocess.run([user["command"], *user["args"]], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == ExitCode.ENVIRONMENT_FAILED
    assert done.stdout == ""
    assert "log in: aws sso login" in done.stderr


def test_the_plugin_is_this_harness_in_a_folder_with_a_package_of_that_name_too(
    kubeconfig: Path, tmp_path: Path
) -> None:
    # kubectl and Helm run it where they are run: in the reader's repository, which may have a folder harness.
    there = tmp_path / "repository"
    (there / "harness").mkdir(parents=True)
    (there / "harness" / "__init__.py").touch()
    plugin = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["exec"]
    done = subprocess.run(
        [plugin["command"], *plugin["args"]], capture_output=True, text=True, check=False, timeout=60, cwd=there,
        env={**os.environ, **{one["name"]: one["value"] for one in plugin["env"]}},
    )  # fmt: skip
    assert "log in: aws sso login" in done.stderr


def test_a_plugin_that_gives_no_token_is_an_error_and_not_somebody_anonymous(server: Any, kubeconfig: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="there is no token for the cluster") as caught:
        KubeApi(kubeconfig, ARN)
    assert "-m harness.eks_token --cluster-name mlops" in caught.value.next_step
    assert server.requests == []


def test_of_a_plugin_of_somebody_elses_that_gives_no_token_no_argument_is_told(server: Any, kubeconfig: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"]["exec"] |= {"command": "false", "args": ["get-token", "--oidc-client-secret=hunter2-77"]}
    kubeconfig.write_text(json.dumps(config))
    with pytest.raises(EnvironmentFailed, match="there is no token for the cluster") as caught:
        KubeApi(kubeconfig, ARN)
    assert caught.value.next_step.startswith("see what it says: false with the arguments that the kubeconfig has")
    assert "hunter2-77" not in str(caught.value)
    assert server.requests == []


def test_who_has_no_access_entry_is_told_of_it_and_of_the_login(
    server: Any, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    server.on("GET", "/version", lambda asked: asked.refuse(401, "Unauthorized"))
    with KubeApi(kubeconfig, ARN, timeout=5.0) as api, pytest.raises(EnvironmentFailed, match="Unauthorized") as caught:
        api.version()
    assert "aws eks list-access-entries --cluster-name mlops" in caught.value.next_step
    assert "docs/how-to/eks.md" in caught.value.next_step
    assert "aws sso login" in caught.value.next_step
