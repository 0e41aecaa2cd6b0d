"""Refusals as AWS words them, by protocol.

The same failure has another code and status on each protocol; botocore's retries and its `ClientError` codes depend on
them. Sources: the "Common Errors" pages of the EKS and IAM API references, the S3 API reference's "Error responses",
and the error shapes of botocore's models, whose status wins where an operation has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final


class AwsError(Exception):
    """A refusal that goes to the caller.

    Attributes:
        code: AWS's error code, such as "ResourceNotFoundException".
        message: For the reader.
        status: HTTP status.
        members: Further members of the error's shape.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})


class Problem(Enum):
    """A failure that every service has."""

    NOT_SIGNED = "not signed"
    UNKNOWN_KEY = "unknown key"
    BAD_TOKEN = "bad session token"  # noqa: S105 - the name of a failure
    EXPIRED = "expired session"
    BAD_SIGNATURE = "bad signature"
    SKEWED = "signature too old or too new"
    DENIED = "denied"
    INVALID = "invalid parameters"
    THROTTLED = "throttled"
    UNKNOWN_OPERATION = "unknown operation"


_JSON: Final = {
    Problem.NOT_SIGNED: ("MissingAuthenticationTokenException", 403),
    Problem.UNKNOWN_KEY: ("UnrecognizedClientException", 403),
    Problem.BAD_TOKEN: ("UnrecognizedClientException", 403),
    Problem.EXPIRED: ("ExpiredTokenException", 403),
    Problem.BAD_SIGNATURE: ("InvalidSignatureException", 403),
    Problem.SKEWED: ("InvalidSignatureException", 403),
    Problem.DENIED: ("AccessDeniedException", 403),
    Problem.INVALID: ("ValidationException", 400),
    Problem.THROTTLED: ("ThrottlingException", 429),
    Problem.UNKNOWN_OPERATION: ("UnknownOperationException", 404),
}
# "Common error types" of the ECR API reference: as in REST-JSON, all of them with status 400.
_TARGETED: Final = {problem: (code, 400) for problem, (code, _) in _JSON.items()} | {
    Problem.INVALID: ("InvalidParameterException", 400)
}
_QUERY: Final = {
    Problem.NOT_SIGNED: ("MissingAuthenticationToken", 403),
    Problem.UNKNOWN_KEY: ("InvalidClientTokenId", 403),
    Problem.BAD_TOKEN: ("InvalidClientTokenId", 403),
    Problem.EXPIRED: ("ExpiredToken", 403),
    Problem.BAD_SIGNATURE: ("SignatureDoesNotMatch", 403),
    Problem.SKEWED: ("SignatureDoesNotMatch", 403),
    Problem.DENIED: ("AccessDenied", 403),
    Problem.INVALID: ("ValidationError", 400),
    Problem.THROTTLED: ("Throttling", 400),
    Problem.UNKNOWN_OPERATION: ("InvalidAction", 400),
}
_S3: Final = {
    Problem.NOT_SIGNED: ("AccessDenied", 403),
    Problem.UNKNOWN_KEY: ("InvalidAccessKeyId", 403),
    Problem.BAD_TOKEN: ("InvalidToken", 400),
    Problem.EXPIRED: ("ExpiredToken", 400),
    Problem.BAD_SIGNATURE: ("SignatureDoesNotMatch", 403),
    Problem.SKEWED: ("RequestTimeTooSkewed", 403),
    Problem.DENIED: ("AccessDenied", 403),
    Problem.INVALID: ("InvalidArgument", 400),
    Problem.THROTTLED: ("SlowDown", 503),
    Problem.UNKNOWN_OPERATION: ("MethodNotAllowed", 405),
}
_BY_PROTOCOL: Final = {"rest-json": _JSON, "json": _TARGETED, "query": _QUERY, "rest-xml": _S3}


def refusal(protocol: str, problem: Problem, message: str) -> AwsError:
    """A failure that every service has, in a protocol's words."""
    code, status = _BY_PROTOCOL[protocol][problem]
    return AwsError(code, message, status=status)


class Refused(Exception):
    """A failure that every service has, before it has a protocol's words: those make it an AwsError."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
        self.message = message


class LookAlikeBroken(RuntimeError):
    """The look-alike itself is wrong: it would have answered with what AWS's model does not allow."""
