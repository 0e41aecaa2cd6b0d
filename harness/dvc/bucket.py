"""The object store as the verdict sees it: what is there, and its bytes.

Bytes are always read and hashed (`hashing`). An ETag proves nothing: it is no md5 for objects uploaded in parts, and an
emulator may make it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from harness.dvc.hashing import CHUNK_BYTES
from harness.dvc.remote import Address
from harness.errors import EnvironmentFailed

_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound", "404", "MethodNotAllowed", "405"})
# A store that does not tell versions, or not to this key: then nobody knows of one, and a clue is all that is missed.
_NOT_TOLD = frozenset({"AccessDenied", "403", "NotImplemented", "501"})
# Of an id that is none of this bucket's; an answer to HEAD has a status and no code.
_NO_VERSION = frozenset({"InvalidArgument", "400"})


class ObjectMissing(LookupError):
    """There is no object at this address."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All current objects of a bucket.

    Attributes:
        sizes: Bytes, by key.
        etags: What the store calls each version of an object, by key; says that bytes changed, never what they are.
        stored: When each was stored, by key; S3 cuts it down to whole seconds.
    """

    sizes: Mapping[str, int]
    etags: Mapping[str, str]
    stored: Mapping[str, datetime] = field(default_factory=dict)


class ObjectStore(Protocol):
    """What the verdict needs of an object store."""

    def inventory(self, bucket: str, prefix: str = "") -> Inventory:
        """Every current object of a bucket, or of those whose key begins with `prefix`, from one listing.

        Costs one request per 1000 objects, and about 300 bytes of memory per object.

        Raises:
            EnvironmentFailed: The store does not answer, or there is no such bucket.
        """

    def list_objects(self, bucket: str, prefix: str, *, limit: int | None = None) -> Mapping[str, int]:
        """Sizes in bytes of the current objects whose key begins with `prefix`, by key; at most `limit` of them.

        Raises:
            EnvironmentFailed: The store does not answer, or there is no such bucket.
        """

    def read(self, address: Address) -> Iterator[bytes]:
        """The object's bytes in chunks.

        Raises:
            ObjectMissing: There is none at this address; raised before the first chunk.
            EnvironmentFailed: The store does not answer, or the transfer broke off.
        """

    def stored(self, address: Address) -> datetime:
        """When an object was stored, by the store's clock, cut down to whole seconds.

        Raises:
            ObjectMissing: There is none at this address.
            EnvironmentFailed: The store does not answer.
        """

    def is_deleted(self, address: Address) -> bool:
        """Whether a delete marker is known to hide earlier versions at this key.

        Raises:
            EnvironmentFailed: The store does not answer.
        """


@dataclass(frozen=True, slots=True)
class BotoStore:
    """`ObjectStore` over a boto3 S3 client.

    Attributes:
        client: Made by the caller, with its endpoint and credentials.
    """

    client: Any

    def inventory(self, bucket: str, prefix: str = "") -> Inventory:
        """See `ObjectStore.inventory`."""
        sizes, etags, stored = {}, {}, {}
        for entry in self._entries(bucket, prefix):
            sizes[entry["Key"]] = entry["Size"]
            etags[entry["Key"]] = str(entry.get("ETag", ""))
            stored[entry["Key"]] = entry["LastModified"]
        return Inventory(sizes, etags, stored)

    def list_objects(self, bucket: str, prefix: str, *, limit: int | None = None) -> Mapping[str, int]:
        """See `ObjectStore.list_objects`."""
        return {entry["Key"]: entry["Size"] for entry in islice(self._entries(bucket, prefix), limit)}

    def read(self, address: Address) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        return self._chunks(self._asked(self.client.get_object, address)["Body"], address)

    def stored(self, address: Address) -> datetime:
        """See `ObjectStore.stored`."""
        found: datetime = self._asked(self.client.head_object, address)["LastModified"]
        return found

    def is_deleted(self, address: Address) -> bool:
        """See `ObjectStore.is_deleted`."""
        try:
            answer = self.client.list_object_versions(Bucket=address.bucket, Prefix=address.key)
        except ClientError as error:
            if _code(error) in _GONE | _NOT_TOLD:
                return False
            raise _unanswered(f"list the versions of {address}", error) from error
        except BotoCoreError as error:
            raise _unanswered(f"list the versions of {address}", error) from error
        return any(marker["Key"] == address.key and marker["IsLatest"] for marker in answer.get("DeleteMarkers", ()))

    @staticmethod
    def _asked(ask: Callable[..., Any], address: Address) -> Any:
        version = {"VersionId": address.version_id} if address.version_id else {}
        try:
            return ask(Bucket=address.bucket, Key=address.key, **version)
        except ClientError as error:
            if _code(error) in _GONE or (address.version_id and _code(error) in _NO_VERSION):
                raise ObjectMissing(str(address)) from None
            raise _unanswered(f"read {address}", error) from error
        except BotoCoreError as error:
            raise _unanswered(f"read {address}", error) from error

    def _entries(self, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        try:
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from page.get("Contents", ())
        except (ClientError, BotoCoreError) as error:
            raise _unanswered(f"list s3://{bucket}/{prefix}", error) from error

    @staticmethod
    def _chunks(body: Any, address: Address) -> Iterator[bytes]:
        try:
            yield from body.iter_chunks(CHUNK_BYTES)
        except BotoCoreError as error:
            raise _unanswered(f"read {address} to its end", error) from error
        finally:
            body.close()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _unanswered(what: str, error: Exception) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"could not {what}",
        evidence={"the store said": str(error)},
        next_step="check that the S3 service answers and that the harness's key may read this bucket",
    )
