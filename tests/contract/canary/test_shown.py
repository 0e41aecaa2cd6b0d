"""A test that fails shows none of the secrets that it looked for: pytest prints what it was given."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from harness.services.secrets import ClusterSecrets

pytest_plugins = ["pytester"]

KEYS = {"ONE": ("AKIAQWERTZUIOPASDFGH", "runner/" + "r" * 33), "TWO": ("AKIAYXCVBNMASDFGHJKL", "admin/" + "a" * 34)}


def of_the_sessions(_folder: Path) -> tuple[str, list[str]]:
    """What the tests of identity have, with somebody's keys."""
    return (
        f"""
        import boto3, pytest
        from types import SimpleNamespace
        from tests.identity.test_identity import keys as known

        @pytest.fixture(scope="module")
        def account():
            one, two = (boto3.Session(*pair) for pair in {list(KEYS.values())})
            return SimpleNamespace(runner=one, administrator=two)
        """,
        [value for pair in KEYS.values() for value in pair],
    )


def of_the_cluster(folder: Path) -> tuple[str, list[str]]:
    """What the tests of a cluster's secrets have, with the secrets of one."""
    secrets = asdict(ClusterSecrets.generate())
    cluster = folder / "clusters" / "one"
    cluster.mkdir(parents=True)
    (cluster / "secrets.json").write_text(json.dumps(secrets))
    (cluster / "fingerprint.key").write_bytes(bytes(range(32)))
    users = [{"name": "u", "user": {"token": "a-token-of-the-cluster"}}]
    (folder / "kubeconfig").write_text(yaml.safe_dump({"users": users}))
    return (
        f"""
        import pytest
        from pathlib import Path
        from types import SimpleNamespace
        from tests.e2e.test_secrets import known

        @pytest.fixture(scope="module")
        def environment():
            return SimpleNamespace(settings=SimpleNamespace(state_dir=Path({str(folder)!r})))

        @pytest.fixture(scope="module")
        def ready():
            config = Path({str(folder / "kubeconfig")!r})
            return SimpleNamespace(cluster=SimpleNamespace(name="one", kubeconfig=config, bucket=None))
        """,
        [value for name, value in secrets.items() if name.endswith(("password", "secret_key"))],
    )


@pytest.mark.parametrize("given", [of_the_sessions, of_the_cluster])
def test_what_it_was_given_is_shown_by_name_alone(
    given: Callable[[Path], tuple[str, list[str]]], pytester: pytest.Pytester
) -> None:
    fixtures, secrets = given(pytester.path)
    pytester.makeconftest("")
    pytester.makepyfile(f"{textwrap.dedent(fixtures)}\ndef test_it(known):\n    assert not known\n")
    result = pytester.runpytest_inprocess("-vv", "--junit-xml=junit.xml")
    result.assert_outcomes(failed=1)
    for shown in (result.stdout.str(), (pytester.path / "junit.xml").read_text()):
        assert "known = " in shown, "what this is about"
        assert [secret for secret in secrets if secret in shown] == []
