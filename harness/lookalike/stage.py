"""A look-alike in the state that a transcript's answers presuppose, asked by AWS's own SDK.

What the transcript's calls made, they make again. What was there before, or was made by others meanwhile (a cluster, an
add-on, an association, what pods put into the bucket, images that an engine pushed), is put there from the answers that
told of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.lookalike.account import NUMBER, Plan
from harness.lookalike.agent_stage import StagedAgent, agent_of
from harness.lookalike.cloud import ADMINISTRATOR, Cloud
from harness.lookalike.ecr import Image
from harness.lookalike.eks import Cluster
from harness.lookalike.errors import AwsError
from harness.lookalike.recorder import Ear
from harness.lookalike.server import Server
from harness.lookalike.transcript import BYTES, Exchange, Transcript
from harness.lookalike.witness import Backend

_ACCOUNT: Final = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):")
# How a caller must be for a refusal that is about the caller, by its code.
_NOBODY, _UNKNOWN, _EXPIRED, _FORGED, _CALLER = "nobody", "unknown", "expired", "forged", "caller"
_CALLERS: Final = {
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "403"), _NOBODY),
    **dict.fromkeys(("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"), _UNKNOWN),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException"), _EXPIRED),
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidSignatureException"), _FORGED),
}
_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"})
_UNNAMED: Final = "us-east-1"
_READS_ONE: Final = frozenset({"GetObject", "HeadObject"})
_LISTED: Final = {"ListObjectsV2": "Contents", "ListObjects": "Contents", "ListObjectVersions": "Versions"}


class Stage:
    """A look-alike, and callers of it.

    Attributes:
        cloud: The look-alike's account.
    """

    def __init__(self, cloud: Cloud, url: str, open_until: ExitStack) -> None:
        self.cloud = cloud
        self._url = url
        self._open = open_until
        self._heard: list[Exchange] = []
        self._session = boto3.Session()
        Ear(self._heard.append).listen(self._session.events)
        self._clients: dict[tuple[str, str], Any] = {}
        caller = cloud.user("caller", ADMINISTRATOR)
        ended = cloud.store.vend(caller.principal, cloud.account.moment() - timedelta(hours=1))
        self._keys = {
            _CALLER: caller,
            _NOBODY: cloud.user("nobody"),
            _UNKNOWN: replace(caller, access_key_id="AKIAIOSFODNN7EXAMPLE"),
            _FORGED: replace(caller, secret_access_key="x" * 40),
            _EXPIRED: ended,
        }
        self._clusters: dict[str, Cluster] = {}
        self._furnished: set[_Subject] = set()
        self._agent: StagedAgent | None = None
        # By what the transcript calls a thing: what this look-alike calls the same one.
        self.names: dict[str, str] = {}

    def ask(self, exchange: Exchange) -> list[Exchange]:
        """Ask what an exchange asked; what was answered, each attempt."""
        who = _CALLERS.get(exchange.code, _CALLER)
        if exchange.code in _THROTTLED:
            self.cloud.gateway.faults.throttle(exchange.service, exchange.operation, 1)
        client = self._client(exchange.service, who)
        self._heard.clear()  # of what was furnished
        try:
            output = getattr(client, xform_name(exchange.operation))(**self._restored(exchange.parameters))
        except ClientError:
            return list(self._heard)  # heard, like every answer
        for value in output.values():
            if hasattr(value, "close"):
                value.close()
        return list(self._heard)

    def ask_agent(self, exchange: Exchange) -> Exchange:
        """Ask the Pod Identity agent in the same way, as a pod of an associated service account."""
        if self._agent is None:
            iam, eks = (self._client(service, _CALLER) for service in ("iam", "eks"))
            self._agent = self._open.enter_context(agent_of(self.cloud, self._url, iam, eks))
        status, content_type, members = self._agent.asked(exchange.parameters["as"])
        return replace(exchange, status=status, answer={"content_type": content_type, "members": members})

    def prepare(self, exchange: Exchange) -> None:
        """Have what others had made by then, as far as an answer that was no refusal told of it."""
        if exchange.code:
            return
        if exchange.service == "s3":
            self._objects(exchange)
        elif exchange.service == "ecr" and exchange.operation != "CreateRepository":
            self._images(exchange)

    def _objects(self, exchange: Exchange) -> None:
        """The objects that an answer told of, and none that it did not."""
        bucket, s3 = exchange.parameters.get("Bucket", ""), self._client("s3", _CALLER)
        if exchange.operation in _READS_ONE:
            self._put(bucket, exchange.parameters["Key"], int(exchange.answer.get("ContentLength") or 0))
        elif exchange.operation in _LISTED:
            told = {one["Key"]: one.get("Size") or 0 for one in exchange.answer.get(_LISTED[exchange.operation], [])}
            there = s3.list_objects_v2(Bucket=bucket, Prefix=exchange.parameters.get("Prefix", ""))
            # What a page leaves out may stand on another.
            whole = not exchange.answer.get("IsTruncated") and "ContinuationToken" not in exchange.parameters
            for one in there.get("Contents", []):
                if whole and one["Key"] not in told:
                    s3.delete_object(Bucket=bucket, Key=one["Key"])
            for key, size in told.items():
                self._put(bucket, key, size)

    def _put(self, bucket: str, key: str, size: int) -> None:
        s3 = self._client("s3", _CALLER)
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            s3.put_object(Bucket=bucket, Key=key, Body=bytes(size))

    def _images(self, exchange: Exchange) -> None:
        """The repository that was asked about, and the images that an answer told of: no session hears a push."""
        name, ecr = exchange.parameters.get("repositoryName"), self.cloud.ecr
        if name is None:
            return
        try:
            ecr.repository(name)
        except AwsError:
            self._client("ecr", _CALLER).create_repository(repositoryName=name)
        for one in exchange.answer.get("images", []):
            # By the digest that was told: with a stand-in in it, the manifest has another.
            image = Image(
                one["imageId"]["imageDigest"], one.get("imageManifestMediaType", ""),
                one.get("imageManifest", "").encode(), self.cloud.account.moment(),
            )  # fmt: skip
            ecr.repository(name).put(image, one["imageId"].get("imageTag"))

    def furnish(self, transcript: Transcript) -> None:
        """Have what was there before the first call."""
        ours: set[_Subject] = set()  # what the transcript itself has made by then
        for one in transcript.exchanges:
            if one.code:
                continue
            match one.service, one.operation:
                case _, "CreatePodIdentityAssociation" | "CreateBucket":
                    ours.add(_made(one.parameters))
                case "eks", "DescribeCluster":
                    self._cluster(one.answer["cluster"])
                case "eks", "DescribeAddon":
                    addon = one.answer["addon"]
                    self._cluster({"name": addon["clusterName"]})
                    self._clusters[addon["clusterName"]].addons[addon["addonName"]] = addon["addonVersion"]
                case "eks", "ListPodIdentityAssociations":
                    for each in one.answer["associations"]:
                        self._association(each, ours)
                case "eks", "DescribePodIdentityAssociation":
                    self._association(one.answer["association"], ours)
                case "s3", _ if "Bucket" in one.parameters:
                    self._bucket(one, ours)

    def _cluster(self, told: Mapping[str, Any]) -> None:
        name = told["name"]
        if name not in self._clusters:
            moment = self.cloud.account.moment()
            self._clusters[name] = Cluster(name, "https://127.0.0.1:6443", "PEM", moment, addons={})
            self.cloud.eks.add_cluster(self._clusters[name])
        if "version" in told:
            self._clusters[name].version = told["version"]
            self._clusters[name].retag(told.get("tags", {}))

    def _association(self, told: Mapping[str, Any], ours: set[_Subject]) -> None:
        subject = _made(told)
        if subject in ours:
            return  # the transcript makes it
        if subject not in self._furnished:
            self._furnished.add(subject)
            self._cluster({"name": told["clusterName"]})
            role = str(told.get("roleArn", "role/Airflow-DVCS3Role")).rpartition("/")[2]
            trust = json.dumps(Plan(told["clusterName"]).document("dvc-trust"))
            if self.cloud.iam.role(role) is None:
                self._client("iam", _CALLER).create_role(RoleName=role, AssumeRolePolicyDocument=trust)
            self._client("eks", _CALLER).create_pod_identity_association(
                clusterName=told["clusterName"], namespace=told["namespace"], serviceAccount=told["serviceAccount"],
                roleArn=self.cloud.account.arn("iam", f"role/{role}"),
            )  # fmt: skip

    def _bucket(self, told: Exchange, ours: set[_Subject]) -> None:
        subject, name, s3 = _made(told.parameters), told.parameters["Bucket"], self._client("s3", _CALLER)
        if subject not in ours | self._furnished:
            self._furnished.add(subject)
            region = self.cloud.account.region
            # The one region that may not be named ("CreateBucket" in the S3 API reference).
            where = {} if region == _UNNAMED else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            s3.create_bucket(Bucket=name, **where)
        if "VersionId" in told.answer and subject in self._furnished:
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def _client(self, service: str, who: str) -> Any:
        key = (service, who)
        if key not in self._clients:
            keys = self._keys[who]
            config = Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
            self._clients[key] = self._session.client(
                service, endpoint_url=self._url, region_name=self.cloud.account.region, config=config,
                aws_access_key_id=keys.access_key_id, aws_secret_access_key=keys.secret_access_key,
                aws_session_token=keys.session_token or None,
            )  # fmt: skip
            self._open.callback(self._clients[key].close)
        return self._clients[key]

    def _restored(self, value: Any) -> Any:
        """Parameters as they were given: bytes for their number, and this look-alike's names for its own things."""
        if isinstance(value, Mapping):
            if value.keys() == {BYTES}:
                return bytes(value[BYTES] or 0)
            return {name: self._restored(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._restored(one) for one in value]
        return self.names.get(value, value) if isinstance(value, str) else value


_Subject = tuple[str, ...]


def _made(told: Mapping[str, Any]) -> _Subject:
    """What is told of, by what does not change when it is made again."""
    if "Bucket" in told:
        return (told["Bucket"],)
    return (told["clusterName"], told["namespace"], told["serviceAccount"])


@contextmanager
def staged(transcript: Transcript, backend: Backend) -> Iterator[Stage]:
    """A look-alike furnished for a transcript, on loopback, while the block runs.

    Args:
        transcript: What it is to be asked.
        backend: What holds the objects; the transcript's buckets must not be in it.
    """
    told = json.dumps([(one.parameters, one.answer) for one in transcript.exchanges])
    found = _ACCOUNT.search(told)
    cloud = Cloud(number=found[1] if found else NUMBER, region=transcript.region, backend=backend)
    with ExitStack() as until_end, Server(cloud.gateway, ("127.0.0.1", 0)) as server:
        stage = Stage(cloud, server.url, until_end)
        stage.furnish(transcript)
        yield stage
