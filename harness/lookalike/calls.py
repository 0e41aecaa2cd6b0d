"""The recorded calls: who called what, with which parameters, and whether it was allowed.

One JSON object a line, so that another process can read them while the look-alike runs. Values that botocore's models
mark as sensitive, and tokens, are never written.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from botocore.model import ListShape, MapShape, Shape, StructureShape

Outcome = Literal["allowed", "denied", "refused", "throttled"]
HIDDEN: Final = "(hidden)"
# Not marked in every model (botocore 1.43): what lets its bearer act as somebody.
SECRETS: Final = frozenset(
    {"token", "sessionToken", "secretAccessKey", "SecretAccessKey", "SessionToken", "WebIdentityToken"}
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        time: ISO 8601.
        service: As boto3 names it, such as "eks-auth".
        operation: Such as "AssumeRoleForPodIdentity".
        principal: ARN of the caller; empty where the signature was not verified.
        access_key_id: The key that signed, or claimed to.
        parameters: What was asked, without secrets.
        checked: Each (IAM action, resource) that the caller's policies were asked for.
        outcome: "allowed"; "denied" by a policy; "refused" for any other reason; "throttled".
        code: AWS's error code; empty if it was done.
        status: HTTP status.
        response: What the answer says of its subject, for calls that vend; without secrets.
    """

    time: str
    service: str
    operation: str
    principal: str
    access_key_id: str
    parameters: Mapping[str, Any]
    checked: tuple[tuple[str, str], ...]
    outcome: Outcome
    code: str
    status: int
    response: Mapping[str, Any] = field(default_factory=dict)


class CallLog:
    """The calls so far, in order; safe between threads."""

    def __init__(self, path: Path | None = None) -> None:
        """Begin.

        Args:
            path: File to append to; None keeps them in memory only.
        """
        self._calls: list[Call] = []
        self._lock = threading.Lock()
        self._path = path

    def add(self, call: Call) -> None:
        """Write one down."""
        with self._lock:
            self._calls.append(call)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(call), default=str, separators=(",", ":")) + "\n")

    def calls(self, service: str | None = None, operation: str | None = None) -> list[Call]:
        """Those of a service and operation, or all."""
        with self._lock:
            return [c for c in self._calls if service in {None, c.service} and operation in {None, c.operation}]


def read_calls(path: Path) -> list[Call]:
    """The calls that a look-alike has written to a file; a last line that is not finished yet is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    calls = []
    for line in lines:
        if line.endswith("\n"):
            fields = json.loads(line)
            fields["checked"] = tuple((action, resource) for action, resource in fields["checked"])
            calls.append(Call(**fields))
    return calls


def without_secrets(value: Any, shape: Shape | None, name: str = "") -> Any:
    """A parameter or answer as it may be written down."""
    if name in SECRETS or (shape is not None and shape.metadata.get("sensitive") and not isinstance(value, dict)):
        return HIDDEN
    if isinstance(value, Mapping):
        members = shape.members if isinstance(shape, StructureShape) else {}
        item = shape.value if isinstance(shape, MapShape) else None
        return {key: without_secrets(one, members.get(key, item), key) for key, one in value.items()}
    if isinstance(value, list):
        return [without_secrets(one, shape.member if isinstance(shape, ListShape) else None) for one in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
