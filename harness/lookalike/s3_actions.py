"""What S3's operations need in IAM, and on which resources.

Source: "Actions, resources, and condition keys for Amazon S3" in the Service Authorization Reference. An operation
that is not listed here bears its action's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from harness.lookalike.condition_keys import S3_HEADERS, S3_QUERY
from harness.lookalike.errors import AwsError
from harness.lookalike.policies import Context
from harness.lookalike.principals import PARTITION
from harness.lookalike.service import Check

# Operations whose action has another name.
_ACTIONS: Final[Mapping[str, str]] = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
}
_VERSIONED: Final = {"GetObject": "GetObjectVersion", "DeleteObject": "DeleteObjectVersion"}
# Whose body says what they need.
READ: Final = frozenset({"CreateBucket", "DeleteObjects"})
# Whose condition keys count for the parts and the end of the upload.
BEGINS: Final = "CreateMultipartUpload"
# What makes an object or changes it, for the witness.
WRITES: Final = frozenset({"PutObject", "CopyObject", "CompleteMultipartUpload"})
# That an object is missing is told to who may list it; others are refused ("Permissions" of GetObject, HeadObject and
# GetObjectAttributes in the S3 API reference, and in botocore 1.43's model).
_TELL_WHAT_IS_MISSING: Final = frozenset({"GetObject", "HeadObject", "GetObjectAttributes"})
# What more an operation needs for a header that it has: "Permissions" of these operations in the S3 API reference (and
# in botocore 1.43's model). An ACL of a bucket that is private needs nothing.
_ACL: Final = ("x-amz-acl", *(name for name in S3_HEADERS if name.startswith("x-amz-grant-")))
_OF_OBJECTS: Final = {**dict.fromkeys(_ACL, ("PutObjectAcl",)), "x-amz-tagging": ("PutObjectTagging",)}
_BY_HEADER: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "CreateBucket": {
        **dict.fromkeys(_ACL, ("PutBucketAcl",)),
        "x-amz-bucket-object-lock-enabled": ("PutBucketObjectLockConfiguration", "PutBucketVersioning"),
        "x-amz-object-ownership": ("PutBucketOwnershipControls",),
    },
    **dict.fromkeys(("PutObject", "CopyObject", "CreateMultipartUpload"), _OF_OBJECTS),
}
_NEEDS_NOTHING: Final = frozenset({
    ("CreateBucket", "x-amz-acl", "private"), ("CreateBucket", "x-amz-bucket-object-lock-enabled", "false")
})  # fmt: skip
# What an object is asked to have that is not modelled, and would need more than s3:PutObject.
_NOT_SPOKEN: Final = "x-amz-object-lock-"


def arn(bucket: str, key: str = "") -> str:
    """Of a bucket or an object."""
    return f"arn:{PARTITION}:s3:::{bucket}" + (f"/{key}" if key else "")


def checks(
    operation: str,
    labels: Mapping[str, str],
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    begun: Context | None = None,
) -> list[Check]:
    """What a request must be allowed.

    Args:
        operation: As the model names it.
        labels: Bucket and key.
        query: Its query parameters.
        headers: By lower-case name.
        body: Of those in `READ`; not read for others.
        begun: Condition keys of the request that began the upload of which this is a part or the end.

    Raises:
        AwsError: It cannot be read, or asks for what is not modelled.
    """
    bucket, key = labels.get("Bucket", ""), labels.get("Key", "")
    if operation == "DeleteObjects":
        return [Check(f"s3:{action}", arn(bucket, name)) for name, action in _deleted(body)]
    if unspoken := [name for name in headers if name.startswith(_NOT_SPOKEN)]:
        raise AwsError("NotImplemented", f"the look-alike does not do {', '.join(unspoken)}", status=501)
    action = _ACTIONS.get(operation, operation)
    if operation == "ListBuckets":
        return [Check(f"s3:{action}", "*")]
    if "versionId" in query:
        action = _VERSIONED.get(action, action)
    context = {**(begun or {}), **context_of(query, headers)}
    more = [Check(f"s3:{one}", arn(bucket, key), context) for one in _by_headers(operation, headers)]
    if operation == "CreateBucket" and _has_tags(body):
        # CreateBucketConfiguration.Tags in the S3 API reference (botocore 1.43 has it in its model, word for word).
        more.append(Check("s3:TagResource", arn(bucket)))
    if operation in {"CopyObject", "UploadPartCopy"}:
        source, _, version = unquote(headers["x-amz-copy-source"]).lstrip("/").partition("?versionId=")
        reading = "s3:GetObjectVersion" if version else "s3:GetObject"
        return [Check(reading, arn(*source.split("/", 1))), Check("s3:PutObject", arn(bucket, key), context), *more]
    return [Check(f"s3:{action}", arn(bucket, key), context), *more]


def context_of(query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str | Sequence[str]]:
    """The condition keys of a request."""
    given = {name: unquote(headers[header]) for header, name in S3_HEADERS.items() if header in headers}
    if "s3:x-amz-copy-source" in given:
        given["s3:x-amz-copy-source"] = given["s3:x-amz-copy-source"].lstrip("/")
    return {**given, **{name: query[parameter] for parameter, name in S3_QUERY.items() if parameter in query}}


def _by_headers(operation: str, headers: Mapping[str, str]) -> list[str]:
    """Actions, each once."""
    return list(
        dict.fromkeys(
            action
            for header, actions in _BY_HEADER.get(operation, {}).items()
            if header in headers and (operation, header, headers[header].lower()) not in _NEEDS_NOTHING
            for action in actions
        )
    )


def to_be_told(operation: str, labels: Mapping[str, str]) -> list[Check]:
    """What a caller must be allowed to be told that the object it asked for is missing.

    The object's key is the prefix of such a list, which AWS does not document: Ceph does so "to match aws behavior"
    (ceph/ceph#68577), its tests, which AWS passes but for those marked, have `test_head_object_404_with_policy_prefix`,
    and Kopia saw it (kopia/kopia#3072).
    """
    if operation not in _TELL_WHAT_IS_MISSING:
        return []
    return [Check("s3:ListBucket", arn(labels["Bucket"]), {"s3:prefix": labels["Key"]})]


def _has_tags(body: bytes) -> bool:
    return bool(body) and _parsed(body).find("{*}Tags/{*}Tag") is not None


def _deleted(body: bytes) -> list[tuple[str, str]]:
    found = []
    for item in _parsed(body).iterfind("{*}Object"):
        version = item.findtext("{*}VersionId")
        found.append((item.findtext("{*}Key") or "", "DeleteObjectVersion" if version else "DeleteObject"))
    if not found:
        raise AwsError("MalformedXML", "The XML you provided names no object")
    return found


def _parsed(body: bytes) -> Any:
    try:
        return ET.fromstring(body)  # noqa: S314 - a test's own request, read on this machine
    except ET.ParseError as error:
        raise AwsError("MalformedXML", f"The XML you provided was not well-formed: {error}") from None
