"""Pods are led where the reader's own clients go."""

from __future__ import annotations

import boto3
import pytest

from harness.targets.eks.aws import led_to

ALL, ONE = "http://192.0.2.1:4566", "http://192.0.2.2:4566"
LED = {"AWS_ENDPOINT_URL": ALL, "AWS_ENDPOINT_URL_S3": ONE}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_ENDPOINT_URL": ALL},
        LED,
        {**LED, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"},
        {**LED, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"},
    ],
    ids=["AWS", "all services", "one service", "ignored", "not ignored"],
)
def test_a_service_stands_for_pods_where_it_stands_for_boto3(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name in (*LED, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.Session(region_name="eu-north-1").client("s3", aws_access_key_id="x", aws_secret_access_key="y")
    assert client.meta.endpoint_url == (led_to("S3") or "https://s3.eu-north-1.amazonaws.com")
