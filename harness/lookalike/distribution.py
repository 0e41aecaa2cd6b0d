"""Words of the distribution API: a request, an answer, a refusal.

Specification: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from harness.lookalike.gateway import Reply

JSON: Final = ("Content-Type", "application/json")


class RegistryError(Exception):
    """A refusal.

    Attributes:
        code: Such as "NAME_UNKNOWN".
        message: For the reader.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    def reply(self, realm: str) -> Reply:
        """As it goes out; with what a client is asked for where it is not logged in."""
        if self.status == HTTPStatus.UNAUTHORIZED:
            challenge = ("WWW-Authenticate", f'Basic realm="{realm}",service="ecr.amazonaws.com"')
            return reply(self.status, challenge, ("Content-Type", "text/plain"), body=f"{self.message}\n".encode())
        body = json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()
        return reply(self.status, JSON, body=body)


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: HTTP method.
        path: Decoded, without the query.
        query: By name.
        headers: By lower-case name.
        body: As it comes; to be read at most once.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Iterable[bytes]


def reply(status: int, *headers: tuple[str, str], body: bytes = b"") -> Reply:
    """An answer whose body is small."""
    version = ("Docker-Distribution-Api-Version", "registry/2.0")
    return Reply(int(status), (*headers, version), iter([body]), len(body))


def progress(status: int, repository: str, upload: str, size: int) -> Reply:
    """How far an upload is; the last byte of the range counts, so that nothing and one byte read alike."""
    return reply(
        status,
        ("Location", f"/v2/{repository}/blobs/uploads/{upload}"),
        ("Range", f"0-{max(size - 1, 0)}"),
        ("Docker-Upload-UUID", upload),
    )
