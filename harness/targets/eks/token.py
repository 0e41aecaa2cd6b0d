"""Tokens for an EKS cluster: what `aws eks get-token` makes, without the AWS CLI.

A token is a presigned GetCallerIdentity with the cluster's name in the signed header x-k8s-aws-id; it lives 15 minutes
(aws-iam-authenticator, pkg/token/token.go). Nothing is sent: whoever gets it asks STS. So the host in it is always
STS's own, whatever AWS_ENDPOINT_URL_STS says.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from botocore.signers import RequestSigner

from harness.errors import UsageError
from harness.targets.eks.aws import explained, open_session

PREFIX: Final = "k8s-aws-v1."
CLUSTER_HEADER: Final = "x-k8s-aws-id"
# Old authenticators take no more (kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go).
_PRESIGNED_SECONDS: Final = 60
# One minute less than the presigned URL lives, as aws-iam-authenticator and the AWS CLI say it.
_LIFETIME: Final = timedelta(minutes=14)
_GROUP: Final = "client.authentication.k8s.io"
_VERSIONS: Final = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
# Where Kubernetes clients tell the plug-in which version they take (KEP-541; client-go, plugin/pkg/client/auth/exec).
EXEC_INFO: Final = "KUBERNETES_EXEC_INFO"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token.

    Attributes:
        value: The token.
        expires: When to ask for another, UTC.
    """

    value: str = field(repr=False)
    expires: datetime


def make_token(
    session: boto3.Session, *, cluster: str, now: datetime, core: botocore.session.Session | None = None
) -> Token:
    """A token for a cluster in the session's region.

    Args:
        session: Whose.
        cluster: Name of the cluster.
        now: The time, UTC.
        core: What knows the address of STS; None for one with the session's profile.

    Raises:
        AwsRefused: There are no credentials, or they cannot be renewed.
    """
    region = session.region_name
    options: dict[str, Any] = {"ignore_configured_endpoint_urls": True}  # not in botocore's stubs
    # Regional whatever AWS_STS_REGIONAL_ENDPOINTS says: with "legacy" the host is sts.amazonaws.com, which takes no
    # signature of another region than us-east-1. A session of its own: the setting is one of sessions, not of clients.
    profile = None if session.profile_name == "default" else session.profile_name
    own = core or botocore.session.Session(profile=profile)
    own.set_config_variable("sts_regional_endpoints", "regional")
    options |= {"signature_version": UNSIGNED}  # it sends nothing, and need not find credentials
    sts = own.create_client("sts", region_name=region, config=Config(**options))
    with explained(f"sign a token for {cluster}"):
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        signer = RequestSigner(sts.meta.service_model.service_id, region, "sts", "v4", credentials, session.events)
        request = {
            "method": "GET",
            "url": f"{sts.meta.endpoint_url}/?Action=GetCallerIdentity&Version={sts.meta.service_model.api_version}",
            "body": {},
            "headers": {CLUSTER_HEADER: cluster},
            "context": {},
        }
        url = signer.generate_presigned_url(
            request, region_name=region, expires_in=_PRESIGNED_SECONDS, operation_name="GetCallerIdentity"
        )
    sts.close()
    value = PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return Token(value, now.replace(microsecond=0) + _LIFETIME)


def answer(cluster: str, *, region: str | None, profile: str | None) -> str:
    """What the exec plug-in prints: a token of now, as whoever has started it asks for it by its environment.

    Raises:
        UsageError: No such profile, no region, or the Kubernetes client asks for another form.
        AwsRefused: There are no credentials.
    """
    session = open_session(profile=profile, region=region)
    return exec_credential(make_token(session, cluster=cluster, now=datetime.now(UTC)), os.environ)


def exec_credential(token: Token, environ: Mapping[str, str]) -> str:
    """A token as a Kubernetes client reads it from its plug-in, in the version that it asks for.

    Raises:
        UsageError: It asks for a version that there is not.
    """
    asked = _VERSIONS[0]
    if info := environ.get(EXEC_INFO):
        try:
            asked = str(json.loads(info)["apiVersion"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{EXEC_INFO} is no ExecCredential") from None
    if asked not in _VERSIONS:
        raise UsageError(f"the Kubernetes client asks for {asked}", next_step=f"use one that takes {_VERSIONS[0]}")
    status = {"expirationTimestamp": f"{token.expires:%Y-%m-%dT%H:%M:%SZ}", "token": token.value}
    return json.dumps({"apiVersion": asked, "kind": "ExecCredential", "spec": {}, "status": status})
