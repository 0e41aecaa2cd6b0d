"""The keys of a run in a bucket that is not the harness's: removed with all their versions, and nothing else."""

from __future__ import annotations

from typing import Any, Final

import boto3

from harness.errors import CleanupFailed, GuardError
from harness.targets.eks.aws import client, explained

# What each run's keys are below (harness/seeding.py).
RUNS: Final = "runs/"
_SHOWN: Final = 3


def prefix_of(root: str, run: str) -> str:
    """What all keys of a run begin with.

    Args:
        root: Of the harness's keys, with a slash at its end or empty.
        run: Id of the run.
    """
    return f"{root}{RUNS}{run}/"


def empty(session: boto3.Session, bucket: str, prefix: str) -> int:
    """Remove what begins with a prefix: objects, versions, delete markers, uploads that were not completed.

    Args:
        session: Whose.
        bucket: The bucket.
        prefix: Of one run.

    Returns:
        How many things were removed.

    Raises:
        GuardError: The prefix is not that of a run.
        AwsRefused: S3 refused it.
        CleanupFailed: Something is still there.
    """
    if RUNS not in prefix or not prefix.endswith("/"):
        raise GuardError(f"{prefix!r} is not the prefix of a run, so nothing below it is removed")
    return empty_below(session, bucket, prefix)


def empty_below(session: boto3.Session, bucket: str, prefix: str) -> int:
    """The same of any prefix, or of one key; whoever calls this has seen to it that it is the harness's.

    Raises:
        AwsRefused: S3 refused it.
        CleanupFailed: Something is still there.
    """
    s3 = client(session, "s3")
    removed = 0
    try:
        with explained(f"remove s3://{bucket}/{prefix}"):
            removed = _versions(s3, bucket, prefix, name_null=False)
            # A bucket with versions keeps those of the name "null", from before it had any, unless they are named.
            if removed:
                removed += _versions(s3, bucket, prefix, name_null=True)
            for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
                for upload in page.get("Uploads", ()):
                    s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                    removed += 1
    finally:
        s3.close()
    return removed


def _versions(s3: Any, bucket: str, prefix: str, *, name_null: bool) -> int:
    """Remove all versions and delete markers that there are; how many there were."""
    removed = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if not found:
            continue
        named = [_named(one, name_null=name_null) for one in found]
        _hold(bucket, s3.delete_objects(Bucket=bucket, Delete={"Objects": named}))
        removed += len(found)
    return removed


def _named(entry: dict[str, Any], *, name_null: bool) -> dict[str, str]:
    """Without versioning an object's one version is called "null", and need not be named."""
    version = {} if entry["VersionId"] == "null" and not name_null else {"VersionId": entry["VersionId"]}
    return {"Key": entry["Key"], **version}


def _hold(bucket: str, answer: dict[str, Any]) -> None:
    errors = answer.get("Errors") or []
    if errors:
        told = "; ".join(f"{one.get('Key')}: {one.get('Code')}" for one in errors[:_SHOWN])
        raise CleanupFailed(
            f"{len(errors)} objects in the bucket {bucket} could not be removed",
            evidence={"S3 said": told},
            next_step="give the caller s3:DeleteObject and s3:DeleteObjectVersion below the prefix, then harness sweep",
        )
