"""Failures that are asked for: by whoever serves, or by a file, by which a look-alike in another process is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from harness.lookalike.cloud import ADMINISTRATOR, Cloud
from harness.lookalike.errors import LookAlikeBroken, Problem, Refused
from harness.lookalike.faults import Faults
from tests.contract.lookalike.conftest import CLUSTER, Client


def write(file: Path, *faults: dict[str, object]) -> None:
    """Anew, and so that it is seen to be, however fast two writes follow each other."""
    stamp = file.stat().st_mtime_ns + 1_000_000 if file.exists() else None
    file.write_text(json.dumps(faults))
    if stamp is not None:
        os.utime(file, ns=(stamp, stamp))


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Problem.THROTTLED, "ThrottlingException"),
        (Problem.EXPIRED, "ExpiredTokenException"),
        (Problem.DENIED, "AccessDeniedException"),
        (Problem.UNKNOWN_KEY, "UnrecognizedClientException"),
    ],
)
def test_a_call_fails_as_aws_fails_and_is_on_the_record(
    cloud: Cloud, client: Client, problem: Problem, code: str
) -> None:
    cloud.gateway.faults.fail("eks", "DescribeCluster", problem, 1)
    with pytest.raises(ClientError) as caught:
        client("eks").describe_cluster(name=CLUSTER)
    assert caught.value.response["Error"]["Code"] == code
    assert client("eks").describe_cluster(name=CLUSTER)["cluster"]["name"] == CLUSTER
    assert [call.code for call in cloud.log.calls("eks", "DescribeCluster")] == [code, ""]


def test_a_file_says_what_is_to_fail_and_counts_anew_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    faults = Faults(file)
    faults.check("eks", "DescribeCluster")
    write(file, {"service": "eks", "operation": "*", "problem": "throttled", "times": 1})
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            faults.check("eks", "DescribeCluster")
        assert caught.value.problem is Problem.THROTTLED
        faults.check("eks", "DescribeCluster")
        faults.check("s3", "GetObject")
        write(file, {"service": "eks", "operation": "DescribeCluster", "problem": "throttled", "times": 1})
    file.unlink()
    faults.check("eks", "DescribeCluster")


def test_without_a_number_it_fails_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    write(file, {"service": "s3", "operation": "PutObject", "problem": "expired"})
    faults = Faults(file)
    for _ in range(3):
        with pytest.raises(Refused):
            faults.check("s3", "PutObject")
    faults.check("s3", "GetObject")


@pytest.mark.parametrize("text", ["", "{}", '[{"service": "s3"}]', '["s3"]',
                                  '[{"service": "s3", "operation": "*", "problem": "rain"}]'])  # fmt: skip
def test_a_file_that_is_no_list_of_failures_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "faults.json"
    file.write_text(text)
    with pytest.raises(LookAlikeBroken, match=r"faults\.json is no list of failures"):
        Faults(file).check("s3", "GetObject")


def test_an_account_is_given_its_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    cloud = Cloud(number="111122223333", region="eu-central-1", faults=file)
    cloud.user("admin", ADMINISTRATOR)
    write(file, {"service": "eks", "operation": "*", "problem": "denied"})
    with pytest.raises(Refused):
        cloud.gateway.faults.check("eks", "ListClusters")
