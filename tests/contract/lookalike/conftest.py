"""A look-alike on loopback, boto3's own clients, and a clock that tests move."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from harness.lookalike.cloud import ADMINISTRATOR, Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.eks_auth import Reviewed
from harness.lookalike.principals import Credentials
from harness.lookalike.server import Server

ACCOUNT = "111122223333"
REGION = "eu-central-1"
CLUSTER = "mlops"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Airflow-DVCS3Role"
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    ],
}


@dataclass
class Clock:
    """The time of the look-alike; the clients sign with the machine's."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def token_of(namespace: str, account: str, *, lifetime: int = 86_400, pod: str = "push-data-x7") -> str:
    """A token in the form of a service account's; the reviewer below knows it by its text."""
    claims = {"exp": datetime.now(UTC).timestamp() + lifetime, "of": [namespace, account, pod]}
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{middle}.c2lnbmF0dXJl"


@dataclass
class Tokens:
    """Answers as a cluster's TokenReview: what it has issued and not withdrawn is authentic, for its audience only."""

    issued: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    audience: str = "pods.eks.amazonaws.com"
    asked: list[str] = field(default_factory=list)

    def issue(self, namespace: str, account: str, *, pod: str = "push-data-x7", lifetime: int = 86_400) -> str:
        token = token_of(namespace, account, lifetime=lifetime, pod=pod)
        self.issued[token] = (namespace, account, pod)
        return token

    def review(self, token: str, audience: str) -> Reviewed:
        self.asked.append(token)
        if token not in self.issued or audience != self.audience:
            return Reviewed(authenticated=False, error="[invalid bearer token]")
        namespace, account, pod = self.issued[token]
        extra = {
            "authentication.kubernetes.io/pod-name": [pod],
            "authentication.kubernetes.io/pod-uid": ["0f5b1d5e-0000-4000-8000-000000000001"],
        }
        return Reviewed(authenticated=True, username=f"system:serviceaccount:{namespace}:{account}", extra=extra)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cloud(clock: Clock) -> Cloud:
    cloud = Cloud(number=ACCOUNT, region=REGION, now=clock)
    cloud.eks.add_cluster(Cluster(CLUSTER, "https://127.0.0.1:6443", "PEM", cloud.account.moment()))
    return cloud


@pytest.fixture
def tokens(cloud: Cloud) -> Tokens:
    tokens = Tokens()
    cloud.reviewers[CLUSTER] = tokens
    return tokens


@pytest.fixture
def url(cloud: Cloud) -> Iterator[str]:
    with Server(cloud.gateway, ("127.0.0.1", 0)) as server:
        yield server.url


@pytest.fixture
def admin(cloud: Cloud) -> Credentials:
    return cloud.user("admin", ADMINISTRATOR)


Client = Callable[..., Any]


@pytest.fixture(scope="session")
def boto() -> Any:
    """One session: it reads each model once. No client of it is made without keys of its own."""
    return boto3.Session()


@pytest.fixture
def client(url: str, admin: Credentials, boto: Any) -> Iterator[Client]:
    """boto3's client of a service, by default with the administrator's keys; it tries once."""
    made = []

    def make(service: str, credentials: Credentials | None = None, **config: Any) -> Any:
        keys = credentials or admin
        options: dict[str, Any] = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}, **config}
        one = boto.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            aws_session_token=keys.session_token or None,
            config=Config(**options),
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def limited(cloud: Cloud) -> Callable[..., Credentials]:
    """Keys of a user who may do these actions, on all or some resources, and nothing else."""

    def make(*actions: str, resource: str | list[str] = "*", **statement: Any) -> Credentials:
        one = {"Effect": "Allow", "Action": list(actions), "Resource": resource, **statement}
        return cloud.user("limited", {"Version": "2012-10-17", "Statement": [one]})

    return make


@pytest.fixture
def associated(client: Client) -> str:
    """The guide's role and its association with the guide's service account; the association's id."""
    client("iam").create_role(RoleName="Airflow-DVCS3Role", AssumeRolePolicyDocument=json.dumps(TRUST))
    made = client("eks").create_pod_identity_association(
        clusterName=CLUSTER, namespace="airflow", serviceAccount="airflow-dvc-sa", roleArn=ROLE
    )
    return str(made["association"]["associationId"])
