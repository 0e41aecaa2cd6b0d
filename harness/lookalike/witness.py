"""S3 with a witness: who wrote which object is known, and only vended or known keys get through.

A request is verified and authorised here, then signed anew with the backend's keys and forwarded: object bytes are the
backend's, identity is the look-alike's. Bodies go through a file, so that an object may be larger than memory and
nothing is forwarded before its hash is known to be the signed one.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from botocore.model import OperationModel
from botocore.parsers import create_parser

from harness.lookalike import policies, s3_actions, shapes
from harness.lookalike.calls import Call, CallLog
from harness.lookalike.errors import AwsError, LookAlikeBroken
from harness.lookalike.incoming import Incoming
from harness.lookalike.policies import Context, MalformedPolicy, Policy
from harness.lookalike.routing import rest_operation
from harness.lookalike.service import Account, Check
from harness.lookalike.sigv4 import UNSIGNED, HttpRequest, sign

PROTOCOL: Final = "rest-xml"
_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization", "expect"}
)
_EXPECTED_OWNER: Final = "x-amz-expected-bucket-owner"
_OURS: Final = frozenset(
    {"authorization", "host", "x-amz-date", "x-amz-security-token", "content-length", _EXPECTED_OWNER}
)
_PIECE: Final = 1 << 18
_TIMEOUT: Final = 60.0
_SHAPE_CHECKED: Final = 4 << 20
_CODE: Final = re.compile(rb"<Code>(\w+)</Code>")
_UPLOAD: Final = re.compile(rb"<UploadId>([^<]+)</UploadId>")


@dataclass(frozen=True, slots=True)
class Backend:
    """What holds the objects.

    Attributes:
        url: Such as "http://127.0.0.1:4566".
        access_key: Its key; pods never see it.
        secret_key: Its secret.
    """

    url: str
    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An answer of the backend; its body is read as it is passed on.

    Attributes:
        status: HTTP status.
        headers: Those of the end, not of the hop.
        body: Pieces; exhausting it closes the connection.
        code: Of an error, where the body tells it: that of HEAD has none.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: Iterator[bytes]
    code: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to S3, understood.

    Attributes:
        operation: Of the model.
        labels: Bucket and key.
        checks: What must be allowed.
    """

    operation: OperationModel
    labels: Mapping[str, str]
    checks: tuple[Check, ...]

    def parameters(self, query: Mapping[str, str]) -> dict[str, str]:
        """What the record says of it."""
        return {**self.labels, **{name: query[name] for name in ("prefix", "partNumber", "versionId") if name in query}}


class Witness:
    """The data plane.

    Attributes:
        owners: Accounts of buckets that are not of the look-alike's own, by name.
    """

    def __init__(self, account: Account, backend: Backend) -> None:
        self._account = account
        self._backend = backend
        self._policies: dict[str, Policy] = {}
        self._begun: dict[str, Context] = {}
        self.owners: dict[str, str] = {}

    def understand(self, incoming: Incoming) -> Asked:
        """What a request wants.

        Raises:
            Refused: S3 has no such operation.
            AwsError: Its body does not fit its operation, or its hash.
        """
        request = incoming.request
        query = _arguments(request)
        operation, labels = rest_operation("s3", request.method, request.path, query, request.headers)
        body = incoming.whole() if operation.name in {*s3_actions.READ, "PutBucketPolicy"} else b""
        if operation.name == "PutBucketPolicy":
            _bucket_policy(body)
        begun = self._begun.get(query.get("uploadId", ""))
        checks = s3_actions.checks(operation.name, labels, query, request.headers, body, begun)
        return Asked(operation, labels, tuple(checks))

    @staticmethod
    def checks_of_answer(asked: Asked, forwarded: Forwarded) -> tuple[Check, ...]:
        """What a caller must be allowed to be given this answer; else it is refused (`s3_actions.to_be_told`)."""
        if forwarded.status != http.HTTPStatus.NOT_FOUND or forwarded.code == "NoSuchBucket":
            return ()
        return tuple(s3_actions.to_be_told(asked.operation.name, asked.labels))

    def resource_policy(self, asked: Asked) -> Policy | None:
        """The policy of the bucket that a request is about."""
        return self._policies.get(asked.labels.get("Bucket", ""))

    def forward(self, incoming: Incoming, asked: Asked) -> Forwarded:
        """Pass a request on that is allowed.

        Raises:
            AwsError: The body is not the signed one, another owner of the bucket is expected, or the backend does not
                answer.
        """
        self._hold_owner(incoming, asked)
        headers, target = self._forwarded_head(incoming)
        where = urlsplit(self._backend.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT)
        try:
            connection.putrequest(incoming.request.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            _copy(incoming.body, connection)
            response = connection.getresponse()
        except OSError as error:
            connection.close()
            raise AwsError("ServiceUnavailable", f"the object store does not answer: {error}", status=503) from None
        kept = tuple((n, v) for n, v in response.getheaders() if n.lower() not in _HOP_BY_HOP)
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            body = b"".join(_body(response, connection))
            return Forwarded(response.status, kept, iter([body]), _code(body))
        if response.status < http.HTTPStatus.MULTIPLE_CHOICES:
            self._remember(asked, incoming)
        forwarded = self._checked(asked, Forwarded(response.status, kept, _body(response, connection)))
        return self._begins(incoming, forwarded) if asked.operation.name == s3_actions.BEGINS else forwarded

    def _hold_owner(self, incoming: Incoming, asked: Asked) -> None:
        """Of "Verifying bucket ownership with bucket owner condition" in the S3 user guide: 403, and no more said."""
        expected = incoming.request.headers.get(_EXPECTED_OWNER)
        if expected not in {None, self.owners.get(asked.labels.get("Bucket", ""), self._account.number)}:
            raise AwsError("AccessDenied", "Access Denied", status=403)

    def _forwarded_head(self, incoming: Incoming) -> tuple[dict[str, str], str]:
        request = incoming.request
        payload = _payload(incoming)
        query = urlencode([(n, v) for n, v in parse_qsl(request.query, keep_blank_values=True) if n not in _AUTH])
        headers = {n: v for n, v in request.headers.items() if n not in _HOP_BY_HOP | _OURS}
        now = self._account.now()
        headers |= {
            "host": urlsplit(self._backend.url).netloc,
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
            "x-amz-content-sha256": payload,
        }
        headers["authorization"] = sign(
            HttpRequest(request.method, request.path, query, headers, payload),
            (self._backend.access_key, self._backend.secret_key),
            region=self._account.region,
            service="s3",
            now=now,
        )
        if incoming.length or request.method in {"PUT", "POST"}:
            headers["content-length"] = str(incoming.length)
        return headers, request.path + (f"?{query}" if query else "")

    def _remember(self, asked: Asked, incoming: Incoming) -> None:
        bucket = asked.labels.get("Bucket", "")
        match asked.operation.name:
            case "PutBucketPolicy":
                self._policies[bucket] = _bucket_policy(incoming.whole())
            case "DeleteBucketPolicy" | "DeleteBucket":
                self._policies.pop(bucket, None)
            case "CompleteMultipartUpload" | "AbortMultipartUpload":
                self._begun.pop(_arguments(incoming.request).get("uploadId", ""), None)

    def _begins(self, incoming: Incoming, forwarded: Forwarded) -> Forwarded:
        body = b"".join(forwarded.body)
        if found := _UPLOAD.search(body):
            given = s3_actions.context_of(_arguments(incoming.request), incoming.request.headers)
            self._begun[found[1].decode()] = given
        return replace(forwarded, body=iter([body]))

    @staticmethod
    def _checked(asked: Asked, forwarded: Forwarded) -> Forwarded:
        """Hold the backend's answer to the model, where it is no object's bytes.

        Raises:
            LookAlikeBroken: botocore's model knows no such answer.
        """
        shape = asked.operation.output_shape
        if (
            shape is None
            or forwarded.status >= http.HTTPStatus.MULTIPLE_CHOICES
            or asked.operation.has_streaming_output
        ):
            return forwarded
        body = b"".join(forwarded.body)
        answer: Any = {"status_code": forwarded.status, "headers": dict(forwarded.headers), "body": body}
        read = create_parser(PROTOCOL).parse(answer, shape)
        read.pop("ResponseMetadata", None)
        if len(body) < _SHAPE_CHECKED and (found := shapes.problems_of(read, shape)):
            raise LookAlikeBroken(f"the object store's answer to {asked.operation.name}: {'; '.join(found)}")
        return Forwarded(forwarded.status, forwarded.headers, iter([body]))


_AUTH: Final = frozenset(
    {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
     "X-Amz-Security-Token"}
)  # fmt: skip


def writer_of(calls: CallLog | Iterable[Call], bucket: str, key: str) -> Call | None:
    """The call that last wrote an object; its principal is who did. None if nobody has.

    Args:
        calls: Where it may be recorded: a log, or what `read_calls` has read of another process's.
        bucket: The bucket.
        key: The object.
    """
    writes = [
        call
        for call in (calls.calls("s3") if isinstance(calls, CallLog) else calls)
        if call.service == "s3"
        and call.operation in s3_actions.WRITES
        and call.outcome == "allowed"
        and call.status < http.HTTPStatus.MULTIPLE_CHOICES
        and (call.parameters.get("Bucket"), call.parameters.get("Key")) == (bucket, key)
    ]
    return writes[-1] if writes else None


def _arguments(request: HttpRequest) -> dict[str, str]:
    return {name: value for name, value in request.arguments().items() if name not in _AUTH}


def _payload(incoming: Incoming) -> str:
    """What stands for the body in the forwarded signature; the body's own hash must be what the caller signed."""
    said = incoming.request.headers.get("x-amz-content-sha256", UNSIGNED)
    if said in {UNSIGNED, _UNSIGNED_TRAILER}:
        return said
    if said.startswith("STREAMING-"):
        raise AwsError("NotImplemented", f"the look-alike does not read {said}", status=501)
    if said != incoming.request.payload_hash:
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise AwsError("XAmzContentSHA256Mismatch", message)
    return said


def _bucket_policy(body: bytes) -> Policy:
    try:
        return policies.parse(body.decode(), "bucket")
    except (MalformedPolicy, UnicodeDecodeError) as error:
        raise AwsError("MalformedPolicy", str(error)) from None


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    return found[1].decode() if found else ""


def _copy(source: IO[bytes], connection: http.client.HTTPConnection) -> None:
    source.seek(0)
    while piece := source.read(_PIECE):
        connection.send(piece)


def _body(response: http.client.HTTPResponse, connection: http.client.HTTPConnection) -> Iterator[bytes]:
    try:
        while piece := response.read(_PIECE):
            yield piece
    finally:
        connection.close()
