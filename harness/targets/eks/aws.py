"""The AWS side's seam: one session, clients with bounded waits, and AWS's refusals in words for the reader.

Credentials are those that boto3 finds: profiles, SSO, assumed roles, the environment. Endpoints too: AWS_ENDPOINT_URL_*
leads the same calls to the look-alike (docs/eks-lookalike.md).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from harness.awstap import tapped
from harness.errors import EnvironmentFailed, UsageError
from harness.names import AWS_REGION

_ATTEMPTS: Final = 5
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 30
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN: Final = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"})
_SIGNATURE: Final = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException"})
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"})
_CHECK: Final = (
    "log in again (aws sso login, or what the profile's credential_process asks for), or check the profile, the files "
    "of the AWS configuration and the AWS_* variables"
)
# AWS's own two, which the environment of a look-alike leads into its folder (`harness.lookalike.surroundings`).
_FILES: Final = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")


class AwsRefused(EnvironmentFailed):
    """AWS refused a call.

    Attributes:
        code: Its error code; empty where there was no answer.
    """

    def __init__(self, message: str, *, code: str, next_step: str, evidence: dict[str, str] | None = None) -> None:
        super().__init__(message, next_step=next_step, evidence=evidence)
        self.code = code


def open_session(*, profile: str | None, region: str | None) -> boto3.Session:
    """What boto3 finds of a profile, or without one.

    Raises:
        UsageError: There is no such profile, no region is named anywhere, what is named cannot be one, or the AWS
            configuration is damaged.
    """
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        if not session.region_name and (named := os.environ.get("AWS_REGION")):
            # The variable of all other SDKs; botocore 1.43 reads AWS_DEFAULT_REGION alone.
            session = boto3.Session(profile_name=profile, region_name=named)
    except ProfileNotFound as error:
        steps = ["see `aws configure list-profiles`, or leave the profile out", _of_lookalike()]
        raise UsageError(str(error), next_step="; ".join(step for step in steps if step)) from None
    except BotoCoreError as error:
        raise UsageError(f"the AWS configuration cannot be used: {error}", next_step="mend the file") from None
    if not session.region_name:
        raise UsageError(
            "no AWS region is named",
            next_step="set eks.region (HARNESS_EKS__REGION), AWS_REGION or the profile's region",
        )
    if not AWS_REGION.fullmatch(session.region_name):
        raise UsageError(
            f"{session.region_name!r} is no AWS region",
            next_step="name one such as eu-central-1, where this one stands: a flag, eks.region, AWS_REGION, "
            "AWS_DEFAULT_REGION or the profile",
        )
    return tapped(session)


def led_to(service: str) -> str | None:
    """Where the environment has the calls to a service go, such as "S3"; None for AWS itself.

    As botocore 1.43 reads it (args.py, utils.py: `ensure_boolean`), for those whom boto3 does not tell: pods.
    """
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL") or None


def client(session: boto3.Session, service: str) -> Any:
    """A client that tries a few times and does not wait for ever.

    Raises:
        UsageError: There is no region.
        AwsRefused: There are no keys to be had where the AWS configuration says, or it is wrong otherwise.
    """
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        user_agent_extra="airflow-dvc-harness",
    )
    try:
        return session.client(service, config=config)
    except NoRegionError as error:
        raise UsageError(str(error), next_step="set eks.region (HARNESS_EKS__REGION)") from None
    except (BotoCoreError, OSError, ValueError) as error:
        # A client looks for its keys while it is made, and runs the profile's credential_process: a program that is
        # not there is an OSError, an answer that is no JSON a ValueError (botocore 1.43, credentials.py).
        raise AwsRefused(f"AWS cannot be asked with this configuration: {error}", code="", next_step=_CHECK) from None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn AWS's refusals of what is done inside into errors for the reader.

    Args:
        what: What is being done, such as "describe cluster mlops".

    Raises:
        AwsRefused: AWS refused, or did not answer.
    """
    try:
        yield
    except ClientError as error:
        raise _refused(what, error) from None
    except (NoCredentialsError, SSOError, UnauthorizedSSOTokenError, TokenRetrievalError) as error:
        raise AwsRefused(
            f"could not {what}: {error}",
            code="",
            next_step=_of_lookalike() or "log in: aws sso login, or set the profile or its keys",
        ) from None
    except (BotoConnectionError, HTTPClientError) as error:
        raise AwsRefused(
            f"could not {what}: {error}",
            code="",
            next_step=_of_lookalike() or "check the network, the proxy and AWS_ENDPOINT_URL_*",
        ) from None
    except BotoCoreError as error:
        raise AwsRefused(f"could not {what}: {error}", code="", next_step=_CHECK) from None


def _of_lookalike() -> str:
    """What to do in an environment of a look-alike, which outlives it; empty in any other.

    `down` takes its files away, and each `up` has other ports and other keys.
    """
    for name in _FILES:
        path = Path(os.environ.get(name, ""))
        match path.parts[-5:]:
            case ("clusters", cluster, "lookalike", "aws", _):
                sourced = shlex.quote(str(path.parents[1] / "env"))
                return (
                    f"this shell has the environment of the look-alike {cluster}: where that is down, or came up anew "
                    f"since, harness eks-lookalike up --cluster {cluster}, then . {sourced}; to leave it, a new shell"
                )
    return ""


def _refused(what: str, error: ClientError) -> AwsRefused:
    code = error.response.get("Error", {}).get("Code", "")
    said = error.response.get("Error", {}).get("Message", "")
    retries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    message, step = f"could not {what}: {code}", ""
    if code in _EXPIRED:
        message, step = f"could not {what}: the AWS session is over", "log in again: aws sso login, or renew the keys"
    elif code in _UNKNOWN:
        message, step = f"could not {what}: AWS does not know these keys", "check the profile, and which keys it has"
    elif code in _SIGNATURE:
        message = f"could not {what}: the signature is not good"
        step = "check the secret key, the region, and this machine's clock"
    elif code in _DENIED:
        message, step = f"not allowed to {what}", "give the caller the permission that AWS names above"
    elif code in _THROTTLED:
        message = f"could not {what}: AWS throttles, {retries + 1} tries"
        step = "try again later, or ask for a higher quota"
    return AwsRefused(message, code=code, next_step=step, evidence={"AWS says": said or code})
