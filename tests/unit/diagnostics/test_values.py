"""Secrets in the user's values: found by their keys, and not taken where they are only words."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from harness.assets import asset
from harness.diagnostics.values import learn_secrets, masked, secrets_in
from harness.redaction import MASK, Redactor

TOKEN = "glsa-77-hunter2hunter2"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5v\n-----END OPENSSH PRIVATE KEY-----"
ENCODED = base64.b64encode(TOKEN.encode()).decode()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"env": [{"name": "TEAM_TOKEN", "value": TOKEN}]}, [TOKEN]),
        ({"data": {"metadataConnection": {"user": "me-77-too-long", "pass": TOKEN}}}, [TOKEN]),
        ({"config": {"core": {"fernet_key": TOKEN}}}, [TOKEN]),
        ({"dags": {"gitSync": {"sshKey": KEY}}}, [KEY]),
        ({"data": {"brokerUrl": f"redis://:{TOKEN}@redis:6379/0"}}, [TOKEN]),
        ({"data": {"brokerUrl": "redis://:p%40ss-77-word@redis"}}, ["p%40ss-77-word", "p@ss-77-word"]),
        ({"config": {"database": {"sql_alchemy_conn": "postgresql://db-77:5432/airflow"}}}, []),
        ({"extraSecrets": {"mine": {"stringData": f"token: {TOKEN}\nhost: db"}}}, [TOKEN]),
        ({"extraSecrets": {"mine": {"data": f"token: {ENCODED}"}}}, [ENCODED, TOKEN]),
        ({"extraSecrets": {"mine": {"data": "token: '{{ .Values.mine | b64enc }}'"}}}, []),
        ({"config": {"secrets": {"backend": "airflow.providers.x.VaultBackend",
                                 "backend_kwargs": f'{{"url": "http://v-77:8200", "token": "{TOKEN}"}}'}}}, [TOKEN]),
        ({"secret": [{"envName": "A_CONN_77", "secretName": "my-77-secret", "secretKey": "key-77-key"}]}, []),
        ({"webserver": {"secretKey": TOKEN}}, [TOKEN]),
        ({"env": [{"name": "T_TOKEN", "valueFrom": {"secretKeyRef": {"name": "my-77-secret", "key": "key-7"}}}]}, []),
        ({"passwords": ["hunter2", "postgres", "correct horse", "my-secret_name", "disabled"]}, []),
        ({"image": {"tag": TOKEN}}, []),
        ({}, []),
    ],
)  # fmt: skip
def test_a_secret_is_found_by_its_key_and_words_and_names_are_none(values: dict[str, object], found: list[str]) -> None:
    assert list(secrets_in(yaml.safe_dump(values))) == found


@pytest.mark.parametrize("text", ["fernetKey: hunter2-77-hunter2", f"data: {{brokerUrl: 'redis://:{TOKEN}@redis'}}"])
def test_what_is_found_is_masked_in_the_bundle_too(text: str) -> None:
    assert not [secret for secret in secrets_in(text) if secret in masked(text)]


@pytest.mark.parametrize("name", ["values.yaml", "kind.yaml"])
def test_nothing_of_our_own_values_sounds_like_a_secret(name: str) -> None:
    assert secrets_in((asset("helm") / name).read_text()) == ()


def test_a_pod_that_logs_a_secret_of_the_users_values_is_counted_and_the_text_masked(tmp_path: Path) -> None:
    mine, broken = tmp_path / "mine.yaml", tmp_path / "broken.yaml"
    mine.write_text(f"env: [{{name: TEAM_TOKEN, value: {TOKEN}}}]\n")
    broken.write_text("a: [")
    redactor = Redactor()
    learn_secrets([broken, tmp_path / "none.yaml", mine], redactor)
    shown, found = redactor.examined(f"token {TOKEN} and Basic {ENCODED}")
    assert (shown.startswith(f"token {MASK} and Basic {MASK}"), found) == (True, 2)
