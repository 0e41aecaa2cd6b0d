"""The object store's client side: one client for both backends, a bucket per cluster, a round trip as proof."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from localstack_client.session import Session as LocalStackSession

from harness.errors import EnvironmentFailed, GuardError
from harness.model import S3Service
from harness.settings import S3Backend
from harness.wait import Waiter

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REGION = "us-east-1"
# LocalStack takes any key; the strict backend knows this one as its root user (ministack 1.5: key id "test").
ACCESS_KEY = "test"
_READY_SECONDS = 120.0
_PROBE_KEY = "harness-probe/"
_LOCALSTACK = "LocalStack"


def connect(service: S3Service) -> S3Client:
    """A client for the store, with short timeouts and few retries: the harness waits by its own rules.

    The endpoint is given, never taken from the environment; localstack-client supplies what LocalStack needs.
    """
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": 2, "mode": "standard"},
        s3={"addressing_style": "path"} if service.outside else {},
    )
    if service.outside is None:
        return cast("S3Client", boto3.client("s3", region_name=service.region, config=config))
    secret = service.secret_key.get_secret_value() if service.secret_key else ""
    keys: dict[str, Any] = {
        "aws_access_key_id": service.access_key,
        "aws_secret_access_key": secret,
        "region_name": service.region,
    }
    if not service.backend.startswith(_LOCALSTACK):
        return cast("S3Client", boto3.client("s3", endpoint_url=service.outside, config=config, **keys))
    host = urlsplit(service.outside).netloc
    client = cast(
        "S3Client",
        LocalStackSession(localstack_host=host, aws_session_token=None, **keys).client("s3", config=config),
    )
    if urlsplit(client.meta.endpoint_url).netloc != host:
        # localstack-client 2.12 lets AWS_ENDPOINT_URL of the environment win over what it is given.
        raise GuardError(
            f"localstack-client would talk to {client.meta.endpoint_url} instead of {service.outside}",
            next_step="unset AWS_ENDPOINT_URL",
        )
    return client


def title(backend: S3Backend) -> str:
    """What the reader is told answers."""
    return {S3Backend.LOCALSTACK: f"{_LOCALSTACK} 4.14.0", S3Backend.STRICT: "ministack 1.5.33 (enforces IAM)"}[backend]


def prove(service: S3Service, *, waiter: Waiter) -> None:
    """Make the bucket if there is none and prove a round trip: what was put is what is got.

    Raises:
        WaitTimeout: The store does not answer.
        EnvironmentFailed: It answers with something else than was put.
    """
    client = connect(service)
    body = secrets.token_bytes(64)
    key = _PROBE_KEY + secrets.token_hex(8)

    def round_trip() -> bytes:
        existing = {bucket.get("Name") for bucket in client.list_buckets().get("Buckets", [])}
        if service.bucket not in existing:
            client.create_bucket(Bucket=service.bucket)
        client.put_object(Bucket=service.bucket, Key=key, Body=body)
        found = client.get_object(Bucket=service.bucket, Key=key)["Body"].read()
        client.delete_object(Bucket=service.bucket, Key=key)
        return found

    found = waiter.until(
        f"S3 ({service.backend}) to take and give back an object",
        round_trip,
        ready=lambda _body: True,
        describe=lambda _body: "an object went there and back",
        timeout=_READY_SECONDS,
        transient=(BotoCoreError, ClientError),
        next_step="harness logs s3",
    )
    if found != body:
        raise EnvironmentFailed(f"S3 ({service.backend}) gave back other bytes than it was given")
