"""The object store as the verdict sees it: what is there, and what its bytes hash to.

Bytes are always read and hashed here. An ETag proves nothing: it is no md5 for objects uploaded in parts, and an
emulator may make it up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from harness.dvc.remote import Address
from harness.errors import EnvironmentFailed

CHUNK_BYTES = 1 << 20
# dvc_data 3.18.3, hashfile/istextfile.py: a block with at most 30 % other bytes, and no NUL, is text.
_TEXT_BYTES = bytes(range(32, 127)) + b"\n\r\t\f\b"
_TEXT_SAMPLE_BYTES = 512
_MOSTLY = 0.30
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound", "404", "MethodNotAllowed", "405"})


class ObjectMissing(LookupError):
    """There is no object at this address."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a stream of bytes was.

    Attributes:
        size: Bytes.
        md5: Of the bytes.
        md5_legacy: As DVC 2 hashed: of the bytes after line ends in text were made Unix ones.
    """

    size: int
    md5: str
    md5_legacy: str

    def named(self, *, legacy: bool) -> str:
        """The md5 that a pointer must give for these bytes."""
        return self.md5_legacy if legacy else self.md5


@dataclass(frozen=True, slots=True)
class Inventory:
    """All current objects of a bucket.

    Attributes:
        sizes: Bytes, by key.
        etags: What the store calls each version of an object, by key; says that bytes changed, never what they are.
    """

    sizes: Mapping[str, int]
    etags: Mapping[str, str]


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

    def is_deleted(self, address: Address) -> bool:
        """Whether a delete marker hides earlier versions at this key.

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
        sizes, etags = {}, {}
        for entry in self._entries(bucket, prefix):
            sizes[entry["Key"]] = entry["Size"]
            etags[entry["Key"]] = str(entry.get("ETag", ""))
        return Inventory(sizes, etags)

    def list_objects(self, bucket: str, prefix: str, *, limit: int | None = None) -> Mapping[str, int]:
        """See `ObjectStore.list_objects`."""
        return {entry["Key"]: entry["Size"] for entry in islice(self._entries(bucket, prefix), limit)}

    def read(self, address: Address) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        version = {"VersionId": address.version_id} if address.version_id else {}
        try:
            body = self.client.get_object(Bucket=address.bucket, Key=address.key, **version)["Body"]
        except ClientError as error:
            if _code(error) in _GONE or (address.version_id and _code(error) == "InvalidArgument"):
                raise ObjectMissing(str(address)) from None
            raise _unanswered(f"read {address}", error) from error
        except BotoCoreError as error:
            raise _unanswered(f"read {address}", error) from error
        return self._chunks(body, address)

    def is_deleted(self, address: Address) -> bool:
        """See `ObjectStore.is_deleted`."""
        try:
            answer = self.client.list_object_versions(Bucket=address.bucket, Prefix=address.key)
        except ClientError as error:
            if _code(error) in _GONE:
                return False
            raise _unanswered(f"list the versions of {address}", error) from error
        except BotoCoreError as error:
            raise _unanswered(f"list the versions of {address}", error) from error
        return any(marker["Key"] == address.key and marker["IsLatest"] for marker in answer.get("DeleteMarkers", ()))

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


def digest(chunks: Iterable[bytes]) -> Digest:
    """Hash a stream of bytes, however it is cut."""
    plain = hashlib.md5(usedforsecurity=False)
    unix = hashlib.md5(usedforsecurity=False)
    size = 0
    # DVC 2 decided text or not, and replaced line ends, block by block of 1 MiB (dvc_data 3.18.3, hashfile/hash.py).
    for block in _blocks(chunks):
        size += len(block)
        plain.update(block)
        unix.update(block.replace(b"\r\n", b"\n") if _is_text(block[:_TEXT_SAMPLE_BYTES]) else block)
    return Digest(size, plain.hexdigest(), unix.hexdigest())


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= CHUNK_BYTES:
            yield bytes(held[:CHUNK_BYTES])
            del held[:CHUNK_BYTES]
    if held:
        yield bytes(held)


def _is_text(sample: bytes) -> bool:
    return b"\x00" not in sample and len(sample.translate(None, _TEXT_BYTES)) <= _MOSTLY * len(sample)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _unanswered(what: str, error: Exception) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"could not {what}",
        evidence={"the store said": str(error)},
        next_step="check that the S3 service answers and that the harness's key may read this bucket",
    )
