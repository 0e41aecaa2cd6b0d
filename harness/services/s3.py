"""The object store's client side: one client for all that speaks S3, a round trip as proof, keys for programs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from localstack_client.config import get_service_endpoints
from pydantic import SecretStr

from harness.awsown import own_core
from harness.awstap import tapped
from harness.errors import EnvironmentFailed, GuardError
from harness.loopback import on_loopback
from harness.model import Bucket, S3Keys, S3Service
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
_LOG_IN = "log in: aws sso login, or set the profile or its keys"
# What S3 says of its own state, not of the request ("Error responses" in the S3 API reference).
_PASSING = frozenset({"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted"})


def connect(service: S3Service) -> S3Client:
    """A client for the store, with short timeouts and few retries: the harness waits by its own rules.

    Of a store in the cluster, endpoint and keys are given, never taken from the environment; where LocalStack has its
    S3, localstack-client says. S3 itself is reached with the reader's own session, as boto3 finds it.

    Raises:
        EnvironmentFailed: There are no keys for S3 itself by now.
        GuardError: It would lead elsewhere.
    """
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": 2, "mode": "standard"},
        s3={"addressing_style": "path"} if service.outside else {},
        # None means those of the environment: the way to AWS may lead through one, that to a port of this machine not.
        proxies={} if on_loopback(service.outside) else None,
    )
    if service.access_key is None or service.outside is None:
        try:
            session = _reader_session(service)
            return cast("S3Client", session.client("s3", endpoint_url=service.outside, config=config))
        except BotoCoreError as error:
            raise EnvironmentFailed(f"no keys for S3 are to be had: {error}", next_step=_LOG_IN) from error
    endpoint = service.outside
    if service.backend.startswith(_LOCALSTACK):
        endpoint = str(get_service_endpoints(urlsplit(service.outside).netloc)["s3"])
    client = cast(
        "S3Client",
        boto3.Session(botocore_session=own_core()).client(
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


def _reader_session(service: S3Service) -> boto3.Session:
    return tapped(boto3.Session(profile_name=service.profile, region_name=service.region))


def outside(bucket: Bucket) -> S3Service:
    """S3 itself, or what the reader's configuration has stand for it, as a service."""
    return S3Service(
        inside=bucket.endpoint,
        outside=bucket.endpoint,
        bucket=bucket.name,
        region=bucket.region,
        access_key=None,
        secret_key=None,
        backend=f"S3 at {bucket.endpoint}" if bucket.endpoint else f"Amazon S3 in {bucket.region}",
        root=bucket.root,
        profile=bucket.profile,
        # What remains of one, such as its versions, so goes with the run.
        probes=bucket.root if bucket.run is None else bucket.run,
    )


def keys(service: S3Service) -> S3Keys:
    """Keys for a program that is to reach the store as the harness does; those of a session are asked for anew.

    Raises:
        EnvironmentFailed: boto3 finds none.
    """
    if service.access_key is not None and service.secret_key is not None:
        return S3Keys(service.access_key, service.secret_key, None)
    try:
        found = _reader_session(service).get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else None
    except BotoCoreError as error:
        raise EnvironmentFailed(f"no keys for S3 are to be had: {error}", next_step=_LOG_IN) from error
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        raise EnvironmentFailed("boto3 finds no keys for S3", next_step=_LOG_IN)
    token = SecretStr(frozen.token) if frozen.token else None
    return S3Keys(frozen.access_key, SecretStr(frozen.secret_key), token)


def title(backend: S3Backend) -> str:
    """What the reader is told answers."""
    return {S3Backend.LOCALSTACK: f"{_LOCALSTACK} 4.14.0", S3Backend.STRICT: "ministack 1.5.33 (enforces IAM)"}[backend]


def prove(service: S3Service, *, waiter: Waiter) -> None:
    """Prove a round trip: what was put is what is got. In a store of the cluster's own the bucket is made first.

    Raises:
        WaitTimeout: The store does not answer.
        EnvironmentFailed: It answers with something else than was put, or what is not the harness's refuses it.
    """
    client = connect(service)
    body = secrets.token_bytes(64)
    key = service.probes + _PROBE_KEY + secrets.token_hex(8)
    ours = service.access_key is not None

    def round_trip() -> bytes:
        if ours:
            existing = {bucket.get("Name") for bucket in client.list_buckets().get("Buckets", [])}
            if service.bucket not in existing:
                client.create_bucket(Bucket=service.bucket)
        try:
            client.put_object(Bucket=service.bucket, Key=key, Body=body)
            found = client.get_object(Bucket=service.bucket, Key=key)["Body"].read()
            client.delete_object(Bucket=service.bucket, Key=key)
        except ClientError as error:
            if ours or error.response.get("Error", {}).get("Code") in _PASSING:
                raise
            raise _refused(service, key, error) from error
        return found

    found = waiter.until(
        f"S3 ({service.backend}) to take and give back an object",
        round_trip,
        ready=lambda _body: True,
        describe=lambda _body: "an object went there and back",
        timeout=_READY_SECONDS,
        transient=(BotoCoreError, ClientError),
        next_step="harness logs s3" if ours else "check the network, the proxy and AWS_ENDPOINT_URL_S3",
    )
    if found != body:
        raise EnvironmentFailed(f"S3 ({service.backend}) gave back other bytes than it was given")


def _refused(service: S3Service, key: str, error: ClientError) -> EnvironmentFailed:
    """For the reader: of a bucket that is theirs, a refusal is not mended by waiting."""
    return EnvironmentFailed(
        f"the bucket {service.bucket} in {service.region} cannot be used from here",
        evidence={"S3 said": str(error), "key": key},
        next_step="check that it is there, in that region, and that the caller may put, get, delete and list in it",
    )
