"""The object store's client side: one client for both backends, a bucket per cluster, a round trip as proof."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from localstack_client.config import get_service_endpoints

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


def _own_session() -> boto3.Session:
    """A session that reads none of this machine's AWS settings: they are of an account that is not ours.

    Neither boto3's default session nor localstack-client's will do: both fail on an AWS_PROFILE that is not there.
    """
    core = botocore.session.Session()
    # Set below the session's own variables, of which one that is None gives way to the environment (botocore 1.43).
    settings = core.get_component("config_store")
    for name, value in (("profile", None), ("config_file", os.devnull), ("credentials_file", os.devnull)):
        settings.set_config_variable(name, value)
    return boto3.Session(botocore_session=core)


def connect(service: S3Service) -> S3Client:
    """A client for the store, with short timeouts and few retries: the harness waits by its own rules.

    Endpoint and keys are given, never taken from the environment; where LocalStack has its S3, localstack-client says.
    """
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": 2, "mode": "standard"},
        s3={"addressing_style": "path"} if service.outside else {},
    )
    if service.outside is None:
        return cast("S3Client", boto3.Session().client("s3", region_name=service.region, config=config))
    endpoint = service.outside
    if service.backend.startswith(_LOCALSTACK):
        endpoint = str(get_service_endpoints(urlsplit(service.outside).netloc)["s3"])
    client = cast(
        "S3Client",
        _own_session().client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=service.access_key,
            aws_secret_access_key=service.secret_key.get_secret_value() if service.secret_key else "",
            region_name=service.region,
            config=config,
        ),
    )
    if urlsplit(client.meta.endpoint_url).netloc != urlsplit(service.outside).netloc:
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
