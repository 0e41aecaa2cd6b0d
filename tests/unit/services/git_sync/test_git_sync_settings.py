"""The stand-in reads its environment as git-sync v4.4.2 does (main.go, env.go)."""

from __future__ import annotations

import pytest

from harness.services.apps.git_sync.environment import SettingsError, parse_duration, parse_git_config
from harness.services.apps.git_sync.settings import Settings, read_settings

BASE = {"GITSYNC_REPO": "https://git.test/mlops.git", "GITSYNC_ROOT": "/git"}


def settings(**variables: str) -> Settings:
    return read_settings({**BASE, **variables})


def test_without_settings_git_syncs_defaults_hold() -> None:
    found = settings()
    assert (found.ref, found.depth, found.period, found.sync_timeout) == ("HEAD", 1, 10.0, 120.0)
    assert (found.link, found.max_failures, found.one_time) == ("/git/mlops.git", 0, False)


@pytest.mark.parametrize(
    ("variables", "ref"),
    [
        ({"GIT_SYNC_BRANCH": "main", "GIT_SYNC_REV": "HEAD", "GITSYNC_REF": "v2-2-stable"}, "main"),
        ({"GIT_SYNC_BRANCH": "main", "GIT_SYNC_REV": "", "GITSYNC_REF": "v2-2-stable"}, "main"),
        ({"GIT_SYNC_BRANCH": "", "GIT_SYNC_REV": "v1", "GITSYNC_REF": "main"}, "v1"),
        ({"GITSYNC_REF": "main"}, "main"),
    ],
)
def test_a_legacy_branch_or_revision_comes_before_the_ref(variables: dict[str, str], ref: str) -> None:
    assert settings(**variables).ref == ref


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"GIT_SYNC_BRANCH": "main", "GIT_SYNC_REV": "v1"}, "deprecated flag combo"),
        ({"GITSYNC_REF": ""}, "--ref must be specified"),
        ({"GITSYNC_REPO": ""}, "--repo must be specified"),
        ({"GITSYNC_ROOT": ""}, "--root must be specified"),
        ({"GITSYNC_USERNAME": "airflow"}, "must be specified when --username"),
        ({"GITSYNC_PASSWORD": "hush"}, "may only be specified when --username"),
        ({"GITSYNC_USERNAME": "a", "GITSYNC_PASSWORD": "hush", "GITSYNC_PASSWORD_FILE": "/x"}, "only one of"),
        ({"GITSYNC_DEPTH": "-1"}, "--depth"),
        ({"GITSYNC_PERIOD": "5"}, "invalid duration env GITSYNC_PERIOD"),
        ({"GITSYNC_PERIOD": "1ms"}, "at least 10ms"),
        ({"GITSYNC_ONE_TIME": "yes"}, "invalid bool env"),
        ({"GITSYNC_MAX_FAILURES": ""}, "invalid int env"),
    ],
)
def test_what_git_sync_refuses_is_refused_without_telling_the_password(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(**variables)
    assert words in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_a_legacy_name_overrides_the_new_one_and_is_told() -> None:
    found = settings(GITSYNC_DEPTH="1", GIT_SYNC_DEPTH="3", GITSYNC_LINK="a", GIT_SYNC_DEST="b", GIT_SYNC_WAIT="2.5")
    assert (found.depth, found.link, found.period) == (3, "/git/b", 2.5)
    assert found.overridden == (("GITSYNC_DEPTH", "GIT_SYNC_DEPTH"),)


def test_credentials_in_the_url_are_taken_out_of_it() -> None:
    found = settings(GITSYNC_REPO="https://me:p%40ss@git.test:8443/mlops.git")
    assert (found.repo, found.username, found.password) == ("https://git.test:8443/mlops.git", "me", "p@ss")
    assert "p@ss" not in repr(found)


def test_settings_that_are_not_honoured_are_named() -> None:
    found = settings(GITSYNC_EXECHOOK_COMMAND="/x", GIT_SSH_KEY_FILE="/k", GITSYNC_WEBHOOK_URL="")
    assert found.ignored == ("GITSYNC_EXECHOOK_COMMAND", "GIT_SSH_KEY_FILE")


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2.0), ("1m30s", 90.0), ("1.5h", 5400.0), ("300ms", 0.3), ("0", 0.0), ("-1s", -1.0)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1s ", "1d", "1m30"])
def test_what_go_takes_for_no_duration_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_git_options_may_be_quoted_and_escaped() -> None:
    found = parse_git_config(r'a.b:c\,d,"http.https://x:1/.proxy":"p,\"q\""')
    assert found == [("a.b", "c,d"), ("http.https://x:1/.proxy", 'p,"q"')]


@pytest.mark.parametrize("text", ["a.b", "a.b:", '"a.b', '"a.b"c:d', r"a:\x", 'a:"b"c'])
def test_malformed_git_options_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="git-config"):
        parse_git_config(text)
