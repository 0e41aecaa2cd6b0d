"""Signature Version 4, from the server's side, and to sign what is forwarded.

Source: "Create a signed AWS API request" and "Authenticating requests: using query parameters" in the IAM and S3
documentation. Written from there and not from botocore, so that a test with botocore's clients compares two makings.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote

from harness.lookalike.errors import Problem, Refused
from harness.lookalike.principals import Credentials, CredentialStore

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_AUTHORIZATION: Final = re.compile(
    rf"{_ALGORITHM}\s+Credential=(?P<credential>[^,\s]+),\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{{64}})"
)
_SCOPE_PARTS: Final = 5
_SKEW: Final = timedelta(minutes=15)
_LONGEST_PRESIGNED: Final = 604_800
UNSIGNED: Final = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What came over the wire, undecoded.

    Attributes:
        method: Such as "PUT".
        path: As sent, percent-encoded, without the query.
        query: As sent, without the question mark.
        headers: By lower-case name.
        payload_hash: Hex SHA-256 of the body.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    payload_hash: str = hashlib.sha256(b"").hexdigest()

    def arguments(self) -> dict[str, str]:
        """The query's parameters, decoded."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its own signature; nothing of it is verified yet."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    token: str
    expires: int | None = field(default=None)

    @property
    def scope(self) -> str:
        """What the key is derived for."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def claim_of(request: HttpRequest) -> Claim | None:
    """The signature that a request carries, in its header or its query; None if it carries none.

    Raises:
        Refused: It is there and has another form.
    """
    header = request.headers.get("authorization", "")
    if header.startswith(_ALGORITHM):
        found = _AUTHORIZATION.fullmatch(header.strip())
        if found is None:
            raise Refused(Problem.BAD_SIGNATURE, "the Authorization header has another form than AWS4-HMAC-SHA256's")
        timestamp = request.headers.get("x-amz-date", "")
        token = request.headers.get("x-amz-security-token", "")
        return _claim(found["credential"], found["headers"], found["signature"], timestamp, token, None)
    arguments = request.arguments()
    if arguments.get("X-Amz-Algorithm") != _ALGORITHM:
        return None
    try:
        parts = (arguments["X-Amz-Credential"], arguments["X-Amz-SignedHeaders"], arguments["X-Amz-Signature"])
        expires = int(arguments["X-Amz-Expires"])
        timestamp = arguments["X-Amz-Date"]
    except (KeyError, ValueError) as error:
        raise Refused(Problem.BAD_SIGNATURE, f"the presigned URL lacks or garbles {error}") from None
    return _claim(*parts, timestamp, arguments.get("X-Amz-Security-Token", ""), expires)


def _claim(credential: str, headers: str, signature: str, timestamp: str, token: str, expires: int | None) -> Claim:
    parts = credential.split("/")
    if len(parts) != _SCOPE_PARTS or parts[-1] != "aws4_request":
        raise Refused(Problem.BAD_SIGNATURE, "Credential must be KEY/DATE/REGION/SERVICE/aws4_request")
    key, date, region, service, _ = parts
    return Claim(key, date, region, service, tuple(headers.split(";")), signature, timestamp, token, expires)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Tells whose request it is.

    Attributes:
        store: The keys that are known.
        now: The time.
    """

    store: CredentialStore
    now: Callable[[], datetime]

    def verify(self, request: HttpRequest, claim: Claim, *, region: str | None = None) -> Credentials:
        """The keys that signed a request.

        Args:
            request: The request.
            claim: What it says of its signature.
            region: The only one to be signed for; None for any.

        Raises:
            Refused: The key is unknown, its session over, the signature too old, or not of this request.
        """
        credentials = self.store.find(claim.access_key_id)
        if credentials is None:
            raise Refused(Problem.UNKNOWN_KEY, "The security token included in the request is invalid.")
        if not hmac.compare_digest(credentials.session_token.encode(), claim.token.encode()):
            raise Refused(Problem.BAD_TOKEN, "The security token included in the request is invalid.")
        if credentials.expiration is not None and self.now() >= credentials.expiration:
            raise Refused(Problem.EXPIRED, "The security token included in the request is expired")
        self._check_time(claim)
        self._check_headers(request, claim)
        if region is not None and claim.region != region:
            raise Refused(Problem.BAD_SIGNATURE, f"Credential should be scoped to a valid region, not {claim.region}.")
        expected = signature_of(request, claim, credentials.secret_access_key)
        if not hmac.compare_digest(expected, claim.signature):
            raise Refused(
                Problem.BAD_SIGNATURE,
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
            )
        return credentials

    def _check_time(self, claim: Claim) -> None:
        try:
            signed = datetime.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise Refused(Problem.BAD_SIGNATURE, "X-Amz-Date must have the form YYYYMMDD'T'HHMMSS'Z'") from None
        if not claim.timestamp.startswith(claim.date):
            raise Refused(Problem.BAD_SIGNATURE, "Date in Credential scope does not match YYYYMMDD of X-Amz-Date")
        if claim.expires is not None and not 0 < claim.expires <= _LONGEST_PRESIGNED:
            raise Refused(Problem.BAD_SIGNATURE, f"X-Amz-Expires must be 1 to {_LONGEST_PRESIGNED}")
        # STS passes over X-Amz-Expires: its presigned URLs live 15 minutes (aws-iam-authenticator, pkg/token/token.go).
        bounded = claim.expires is not None and claim.service != "sts"
        lasts = timedelta(seconds=claim.expires or 0) if bounded else _SKEW
        if not signed - _SKEW <= self.now() <= signed + lasts:
            raise Refused(Problem.SKEWED, f"Signature expired: signed at {claim.timestamp}, it is {self.now():%FT%TZ}")

    @staticmethod
    def _check_headers(request: HttpRequest, claim: Claim) -> None:
        if "host" not in claim.signed_headers:
            raise Refused(Problem.BAD_SIGNATURE, "Host must be a signed header")
        if missing := [name for name in claim.signed_headers if name not in request.headers]:
            raise Refused(Problem.BAD_SIGNATURE, f"signed headers are missing: {', '.join(missing)}")
        if claim.expires is not None:
            return
        unsigned = [n for n in request.headers if n.startswith("x-amz-") and n not in claim.signed_headers]
        if unsigned:
            raise Refused(Problem.BAD_SIGNATURE, f"there are headers which were not signed: {', '.join(unsigned)}")


def signature_of(request: HttpRequest, claim: Claim, secret: str) -> str:
    """The hex signature that a request must have for a claim's scope, time and headers."""
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in claim.signed_headers)
    canonical = "\n".join(
        [
            request.method,
            _canonical_path(request.path, claim.service),
            _canonical_query(request.query),
            headers,
            ";".join(claim.signed_headers),
            _payload_hash(request, claim),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (claim.date, claim.region, claim.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"{_ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{digest}"
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def sign(request: HttpRequest, credentials: tuple[str, str], *, region: str, service: str, now: datetime) -> str:
    """The Authorization header for a request; its headers must have `host` and `x-amz-date` of this time already."""
    key, secret = credentials
    timestamp = f"{now:%Y%m%dT%H%M%SZ}"
    names = tuple(sorted(name for name in request.headers if name == "host" or name.startswith("x-amz-")))
    claim = Claim(key, timestamp[:8], region, service, names, "", timestamp, "")
    signature = signature_of(request, claim, secret)
    return f"{_ALGORITHM} Credential={key}/{claim.scope}, SignedHeaders={';'.join(names)}, Signature={signature}"


def _canonical_path(path: str, service: str) -> str:
    """The path as sent for S3; encoded a second time for all others."""
    return (path or "/") if service == "s3" else quote(path or "/", safe="/~-._")


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    encoded = [(quote(k, safe="~-._"), quote(v, safe="~-._")) for k, v in pairs if k != "X-Amz-Signature"]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _payload_hash(request: HttpRequest, claim: Claim) -> str:
    """What stands for the body; S3 lets the caller say it (its truth is checked where the body is read)."""
    if claim.service == "s3":
        default = UNSIGNED if claim.expires is not None else request.payload_hash
        return request.headers.get("x-amz-content-sha256", default)
    return request.payload_hash
