"""The verdict on real parts: Git repositories, `dvc`, an S3 server.

What else may be wrong, and what is legal, is the table in tests/mutations; some of its rows are played on local
services in tests/contract/mutations, and all of them on a cluster by `tox -e mutations`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.dvc import Verdict

PREFIX, BUCKET = "runs/r1", "mlops"


def red(verdict: Verdict) -> dict[str, str]:
    return {check.id: check.explanation for check in verdict.failures if check.evaluated}


def new_key(played: Any) -> str:
    store = played.pipeline.gatherer(played.expectation).store
    (key,) = set(store.list_objects(BUCKET, PREFIX)) - set(played.before.listing)
    return str(key)


def test_a_real_run_is_green(played: Any) -> None:
    verdict = played.verdict()
    assert verdict.green, verdict.failures
    assert verdict.commit == played.pipeline.head()


def test_a_run_that_changes_nothing_is_green_when_that_is_expected(seeded: Any) -> None:
    verdict = seeded.verdict()
    assert verdict.green, verdict.failures


def test_a_run_that_changes_nothing_is_red_when_a_change_is_expected(seeded: Any) -> None:
    verdict = seeded.pipeline.verdict(replace(seeded.expectation, changes=True), seeded.before)
    assert list(red(verdict)) == ["commit.on-branch"]


def test_a_missing_object_is_reported_as_unpushed(played: Any) -> None:
    played.pipeline.s3.client.delete_object(Bucket=BUCKET, Key=new_key(played))
    told = red(played.verdict())
    assert "dvc push did not happen" in told["object.present"]
    assert "dvc pull ended with exit code 1" in told["clone.reproduces"]


def test_a_missing_object_is_red_also_where_nobody_may_ask_for_versions(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_asked: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectVersions")

    played.pipeline.s3.client.delete_object(Bucket=BUCKET, Key=new_key(played))
    with monkeypatch.context() as patched:
        patched.setattr(played.pipeline.s3.client, "list_object_versions", denied)
        told = red(played.verdict())
    assert "dvc push did not happen" in told["object.present"]
