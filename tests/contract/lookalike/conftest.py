"""A look-alike on loopback, boto3's own clients, and a clock that tests move."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

import harness
from harness.eks_policies import document
from harness.lookalike.cloud import ADMINISTRATOR, Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.eks_auth import Reviewed
from harness.lookalike.node import pod_identity_agent
from harness.lookalike.principals import Credentials
from harness.lookalike.server import Server
from harness.lookalike.witness import Backend
from harness.wait import Waiter
from tests.servers import s3_server

ACCOUNT = "111122223333"
REGION = "eu-central-1"
CLUSTER = "mlops"
AGENT = Path(pod_identity_agent.__file__)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Airflow-DVCS3Role"
BUCKET = "dvc"
# What a team takes: the guide's trust, and its policy for the objects and the list of the one bucket.
TRUST: dict[str, Any] = document("dvc-trust", {})
GUIDE: dict[str, Any] = document("dvc-s3", {"partition": "aws", "bucket": BUCKET})


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
        if token not in self.issued:
            return Reviewed(authenticated=False, error="[invalid bearer token]")
        namespace, account, pod = self.issued[token]
        extra = {
            "authentication.kubernetes.io/pod-name": [pod],
            "authentication.kubernetes.io/pod-uid": ["0f5b1d5e-0000-4000-8000-000000000001"],
        }
        return Reviewed(
            authenticated=audience == self.audience,
            username=f"system:serviceaccount:{namespace}:{account}",
            extra=extra,
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A store that checks signatures itself."""
    secret = "local-test-key"
    with s3_server(tmp_path_factory.mktemp("store"), secret=secret) as url:
        yield Backend(url, "test", secret)


@pytest.fixture
def backend() -> Backend | None:
    """What holds S3's objects: nothing, where a module does not say otherwise."""
    return None


@pytest.fixture
def cloud(clock: Clock, backend: Backend | None) -> Cloud:
    cloud = Cloud(number=ACCOUNT, region=REGION, backend=backend, now=clock)
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


@pytest.fixture
def bucket(client: Client, clock: Clock) -> Iterator[str]:
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield BUCKET
    clock.ahead = timedelta()
    left = s3.list_object_versions(Bucket=BUCKET)
    for version in [*left.get("Versions", []), *left.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)


@dataclass
class Agent:
    url: str
    token_file: Path

    def environment(self, token: str) -> dict[str, str]:
        """What a pod with this token has of AWS, but for the agent's address."""
        self.token_file.write_text(token)
        return {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.token_file),
        }

    def ask(self, token: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url, headers={"Authorization": token, **headers}, trust_env=False)


@pytest.fixture
def start(url: str, tmp_path: Path, limited: Callable[..., Credentials]) -> Iterator[Callable[..., Agent]]:
    """Start the program as on the node, but on loopback; it has nothing but its environment and its file."""
    keys = limited("eks-auth:AssumeRoleForPodIdentity")
    node = tmp_path / "node.json"
    node.write_text(json.dumps({"AccessKeyId": keys.access_key_id, "SecretAccessKey": keys.secret_access_key}))
    running: list[subprocess.Popen[bytes]] = []

    def begin(**changes: str) -> Agent:
        environment = {
            "PATH": os.environ["PATH"],
            "AGENT_CLUSTER": CLUSTER,
            "AGENT_REGION": REGION,
            "AGENT_ENDPOINT": url,
            "AGENT_CREDENTIALS": str(node),
            "AGENT_LISTEN": "127.0.0.1:0",
            "AGENT_HOSTS": "127.0.0.1",
            **changes,
        }
        log = tmp_path / f"agent{len(running)}.log"
        with log.open("wb") as out:
            program = subprocess.Popen([sys.executable, "-I", str(AGENT)], env=environment, stdout=out, stderr=out)
        running.append(program)
        line = Waiter().until(
            "the agent's first line", lambda: log.read_text().splitlines()[:1], ready=bool, timeout=30, interval=0.05
        )[0]
        return Agent(f"http://{json.loads(line)['listening']}/v1/credentials", tmp_path / "token")

    yield begin
    for program in running:
        program.terminate()
        program.wait(10)


@pytest.fixture
def enter(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Credentials], None]:
    """As a user has it: keys in the environment, and endpoints."""

    def set_up(keys: Credentials) -> None:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        given = {
            **Cloud.endpoints(url),
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            **({"AWS_SESSION_TOKEN": keys.session_token} if keys.session_token else {}),
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            # The exec plug-in; this checkout need not be installed.
            "PYTHONPATH": str(Path(harness.__file__).parent.parent),
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return set_up
