"""Which Git remote is taken, and where its token may stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from harness.errors import UsageError
from harness.git_settings import GitSettings, is_throw_away, throw_away_branch
from harness.options import settings_from
from harness.settings import resolve

URL = "https://git.example.com/team/pipeline.git"


@pytest.mark.parametrize("url", [URL, "https://git.example.com:8443/p", "https://192.0.2.7/team/p.git"])
def test_a_repository_over_https_is_taken(url: str) -> None:
    assert settings_from({"git_remote": url}).git.remote == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://git.example.com/p.git", "plain http"),
        ("https://user:hidden-token@git.example.com/p.git", "must not stand in the address"),
        ("https://hidden-token@git.example.com/p.git", "must not stand in the address"),
        ("http://u:hidden-token@git.example.com/p.git", "must not stand in the address"),
        ("git@git.example.com:team/p.git", "address of a repository"),
        ("ssh://git.example.com/p.git", "address of a repository"),
        ("file:///srv/git/p.git", "address of a repository"),
        ("https://git.example.com", "address of a repository"),
        ("https://git.example.com/", "address of a repository"),
        ("https://git.example.com/p.git?private_token=hidden-token", "address of a repository"),
        ("https://git.example.com/p.git#main", "address of a repository"),
        ("https://git.example.com:port/p.git", "address of a repository"),
        ("--upload-pack=touch", "address of a repository"),
        ("", "address of a repository"),
    ],
)
def test_anything_else_is_refused_and_no_token_is_repeated(url: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        settings_from({"git_remote": url})
    assert why in str(refused.value)
    assert "hidden-token" not in str(refused.value)


def test_a_branch_of_ones_own_does_not_go_with_a_remote() -> None:
    with pytest.raises(UsageError, match=r"makes a branch of its own there, harness/<run id>"):
        settings_from({"git_remote": URL, "branch": "main"})


def test_the_token_comes_from_the_environment_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_GIT__TOKEN", "tok-123\n")
    settings = settings_from({"git_remote": URL})
    assert settings.git.secret().get_secret_value() == "tok-123"
    assert "tok-123" not in f"{settings!r}{settings.model_dump(mode='json')}"


def test_the_token_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tok-456\n")
    assert GitSettings(token_file=tmp_path / "token").secret().get_secret_value() == "tok-456"


def test_a_token_in_pyproject_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.harness.git]\ntoken = "tok-789"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"must not stand in pyproject\.toml") as refused:
        resolve()
    assert "tok-789" not in str(refused.value)


def test_no_token_two_tokens_and_one_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "two lines").write_text("a\nb\n")
    for settings, why in (
        (GitSettings(), "there is no token"),
        (GitSettings(token=SecretStr(" ")), "there is no token"),
        (GitSettings(token=SecretStr("t"), token_file=tmp_path / "t"), "given twice"),
        (GitSettings(token_file=tmp_path / "none"), "cannot be read"),
        (GitSettings(token_file=tmp_path / "two lines"), "in its one line"),
    ):
        with pytest.raises(UsageError, match=why):
            settings.secret()


def test_authorities_must_be_certificates(tmp_path: Path) -> None:
    assert GitSettings().authorities() is None
    (tmp_path / "ca.crt").write_text("no certificate")
    for name, why in (("ca.crt", "holds no certificate"), ("none", "cannot be read")):
        with pytest.raises(UsageError, match=why):
            GitSettings(ca_file=tmp_path / name).authorities()
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    assert GitSettings(ca_file=tmp_path / "ca.crt").authorities() == tmp_path / "ca.crt"


@pytest.mark.parametrize(
    "name", ["main", "harness/main", "harness/20261121-101112-ab12/x", "x/harness/20261121-101112-ab12"]
)
def test_only_the_branch_of_a_run_is_a_throw_away_one(name: str) -> None:
    assert is_throw_away(throw_away_branch("20261121-101112-ab12"))
    assert not is_throw_away(name)
