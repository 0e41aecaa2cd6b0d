"""Transcripts: what AWS was asked, and what it answered, one JSON object a line. The format is docs/eks-lookalike.md's.

The first line says which version of the format this is; every other line is one exchange. Nothing in it is a secret,
and account ids and the like are stand-ins (`anonymous.py`), the same one for the same thing throughout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from botocore.model import ListShape, MapShape, Shape, StructureShape

from harness.errors import UsageError
from harness.lookalike.calls import HIDDEN, SECRETS

VERSION: Final = 1
# What stands as the service of what pods ask the Pod Identity agent: no AWS API, and in none of botocore's models.
AGENT: Final = "pod-identity-agent"
# In place of what is bytes: only how many there were.
BYTES: Final = "$bytes"
# Besides what the record of calls hides: key ids, what else lets its bearer act as somebody, what is only long, and the
# name of an account or user in S3's lists ("Owner" in the S3 API reference: some regions, until the end of 2025).
_HIDDEN_MEMBERS: Final = SECRETS | {
    "SAMLAssertion", "authorizationToken", "AccessKeyId", "accessKeyId", "certificateAuthority.data",
    "DisplayName"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; a call that was tried again is several.

    Attributes:
        service: As boto3 names it, or `AGENT`.
        operation: Such as "DescribeCluster".
        parameters: As boto3 was given them.
        status: HTTP status.
        code: AWS's error code; empty if it was done.
        answer: The output as boto3 gives it; of a refusal the members of its error besides code and message.
        of_aws: Whether the address was one of AWS's own.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    status: int
    code: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    of_aws: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recorded.

    Attributes:
        recorded: When it was begun, ISO 8601.
        region: Where.
        exchanges: In order.
    """

    recorded: str
    region: str
    exchanges: tuple[Exchange, ...]

    @property
    def of_aws(self) -> bool:
        """Whether it says anything about AWS itself: every exchange was with one of its own addresses."""
        return bool(self.exchanges) and all(exchange.of_aws for exchange in self.exchanges)


def first_line(recorded: str, region: str) -> str:
    """The line that a transcript begins with."""
    return json.dumps({"transcript": VERSION, "recorded": recorded, "region": region}) + "\n"


def line(exchange: Exchange) -> str:
    """The line of an exchange."""
    return json.dumps(asdict(exchange), sort_keys=True, separators=(",", ":")) + "\n"


def read(path: Path) -> Transcript:
    """A transcript from its file.

    Raises:
        UsageError: It is none, or of another version.
    """
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        said = json.loads(head)
        if said.get("transcript") != VERSION:
            raise UsageError(f"{path} is no transcript of version {VERSION}")
        exchanges = tuple(Exchange(**json.loads(text)) for text in lines)
        return Transcript(said["recorded"], said["region"], exchanges)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} is no transcript: {type(error).__name__}: {error}") from None


def plain(value: Any, shape: Shape | None, path: str = "") -> Any:
    """A parameter or an output as JSON has it: secrets hidden by name and by the model, bytes by their number."""
    name = path.rpartition(".")[2]
    of_parent = ".".join(path.split(".")[-2:])
    sensitive = shape is not None and shape.metadata.get("sensitive") and not isinstance(value, (Mapping, list))
    if sensitive or name in _HIDDEN_MEMBERS or of_parent in _HIDDEN_MEMBERS:
        return HIDDEN
    if isinstance(value, Mapping):
        members = shape.members if isinstance(shape, StructureShape) else {}
        item = shape.value if isinstance(shape, MapShape) else None
        return {str(key): plain(one, members.get(key, item), f"{path}.{key}") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one, shape.member if isinstance(shape, ListShape) else None, path) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, (str, int, float)):
        return value
    return {BYTES: len(value) if hasattr(value, "__len__") else None}


def hides(value: Any) -> bool:
    """Whether something in a value of `plain` is hidden."""
    if isinstance(value, Mapping):
        return any(hides(one) for one in value.values())
    if isinstance(value, list):
        return any(hides(one) for one in value)
    return bool(value == HIDDEN)


def members(value: Any, shape: Shape | None, path: str = "") -> Iterator[str]:
    """The members that an output has, as paths such as "cluster.logging.clusterLogging[].enabled".

    What types they are is the model's to say; the keys of maps are their owner's.
    """
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, one in value.items():
            inner = f"{path}.{name}".lstrip(".")
            yield inner
            yield from members(one, shape.members.get(name), inner)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for one in value:
            yield from members(one, shape.member, f"{path}[]")
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        for one in value.values():
            yield from members(one, shape.value, f"{path}{{}}")
