"""A bucket that is not the harness's: whether it can be used, and whose the keys below a prefix in it are.

Beside the runs' keys stands one small object for each run, `<root>claims/<run>.json`: it says which run's keys are
below which prefix, made from which cluster, and from when they count as left behind. It is written before the run's
keys, and goes after them. Without it nobody who finds them could tell what is left behind from what is in use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import boto3

from harness.errors import GuardError
from harness.targets.eks.aws import AwsRefused, client, explained
from harness.targets.eks.prefix import RUNS, empty_below, prefix_of

CLAIMS: Final = "claims/"
_DENIED: Final = "AccessDenied"
# Larger is no claim, whoever wrote it.
_MOST_BYTES: Final = 4096


def check_bucket(session: boto3.Session, bucket: str, root: str, accounts: Iterable[str]) -> None:
    """Hold a bucket to be there, ours, in the session's region and open to the caller; by calls that only read.

    Args:
        session: Whose.
        bucket: Its name.
        root: What all of the harness's keys in it begin with.
        accounts: Those that may be written to.

    Raises:
        GuardError: It is in another region, or of another account.
        AwsRefused: There is none of that name, or it may not be listed.
    """
    s3 = client(session, "s3")
    try:
        with explained(f"list s3://{bucket}/{root}"):
            answer = s3.list_objects_v2(Bucket=bucket, Prefix=root, MaxKeys=1)
    except AwsRefused as refused:
        if refused.code != "NoSuchBucket":
            raise
        raise AwsRefused(
            f"there is no bucket {bucket}",
            code=refused.code,
            next_step=f"check eks.bucket; or make it: aws s3 mb s3://{bucket} --region {session.region_name}",
        ) from None
    finally:
        s3.close()
    region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region") or session.region_name
    if region != session.region_name:
        raise GuardError(
            f"the bucket {bucket} is in {region}, the cluster in {session.region_name}",
            next_step="name one in the cluster's region with --eks-bucket (eks.bucket)",
        )
    check_owner(session, bucket, root, accounts)


def check_owner(session: boto3.Session, bucket: str, root: str, accounts: Iterable[str]) -> None:
    """Hold a bucket to be of an account that may be written to: the name alone may be of anybody's, open to the caller.

    S3 does not say whose a bucket is. It refuses what names another owner ("Verifying bucket ownership with bucket
    owner condition" in the S3 user guide).

    Args:
        session: Whose.
        bucket: Its name.
        root: What all of the harness's keys in it begin with; they may be listed.
        accounts: Those that may be written to.

    Raises:
        GuardError: It is of none of them.
        AwsRefused: There is none of that name.
    """
    allowed = tuple(accounts)
    s3 = client(session, "s3")
    try:
        for account in allowed:
            try:
                with explained(f"ask whether s3://{bucket} is of account {account}"):
                    s3.list_objects_v2(Bucket=bucket, Prefix=root, MaxKeys=1, ExpectedBucketOwner=account)
            except AwsRefused as refused:
                if refused.code != _DENIED:
                    raise
            else:
                return
    finally:
        s3.close()
    raise GuardError(
        f"the bucket {bucket} is of no account on the allow-list eks.accounts",
        next_step="check eks.bucket; name its account there, too, only if it is really meant",
        evidence={"allowed": ", ".join(allowed)},
    )


@dataclass(frozen=True, slots=True)
class BucketClaim:
    """Whose the keys below a prefix are.

    Attributes:
        prefix: Of one run.
        cluster: Name of the cluster that the run is on.
        expires: From when they count as left behind, ISO 8601.
    """

    prefix: str
    cluster: str
    expires: str

    @property
    def run(self) -> str:
        """Id of the run."""
        return _parts(self.prefix)[1]

    @property
    def key(self) -> str:
        """Of the object that says so."""
        return key_of(self.prefix)

    def write(self, session: boto3.Session, bucket: str) -> None:
        """Put it there.

        Raises:
            AwsRefused: S3 does not take it.
        """
        body = {"run": self.run, "prefix": self.prefix, "cluster": self.cluster, "expires": self.expires}
        s3 = client(session, "s3")
        try:
            with explained(f"write s3://{bucket}/{self.key}"):
                s3.put_object(Bucket=bucket, Key=self.key, Body=json.dumps(body).encode())
        finally:
            s3.close()


def claimed(session: boto3.Session, bucket: str, root: str) -> dict[str, BucketClaim | AwsRefused | None]:
    """What there is below the harness's root: keys, versions, delete markers, uploads that were not completed, by run.

    Returns:
        The claim by prefix; None where there is none, or one that says nothing; the refusal where the caller may not
        read it.

    Raises:
        AwsRefused: S3 does not say.
    """
    s3 = client(session, "s3")
    try:
        with explained(f"look at s3://{bucket}/{root}"):
            found: dict[str, BucketClaim | AwsRefused | None] = dict.fromkeys(
                sorted(_prefixes(s3, bucket, f"{root}{RUNS}"))
            )
            for key in _keys(s3, bucket, f"{root}{CLAIMS}"):
                prefix = prefix_of(root, key.removeprefix(f"{root}{CLAIMS}").removesuffix(".json"))
                try:
                    with explained(f"read s3://{bucket}/{key}"):
                        found[prefix] = _read(s3, bucket, key, prefix)
                except AwsRefused as refused:
                    if refused.code != _DENIED:
                        raise
                    found[prefix] = refused
    finally:
        s3.close()
    return found


def remove_claim(session: boto3.Session, bucket: str, prefix: str) -> None:
    """Remove what says whose the keys below a prefix are, with its versions; no error if nothing does.

    Raises:
        GuardError: The prefix is not that of a run.
        AwsRefused: S3 refused it.
        CleanupFailed: It is still there.
    """
    empty_below(session, bucket, key_of(prefix))


def key_of(prefix: str) -> str:
    """Of the object that says whose the keys below a prefix are.

    Raises:
        GuardError: The prefix is not that of a run.
    """
    root, run = _parts(prefix)
    return f"{root}{CLAIMS}{run}.json"


def _parts(prefix: str) -> tuple[str, str]:
    root, separator, run = prefix.rpartition(RUNS)
    run = run.removesuffix("/")
    if not separator or not run or "/" in run or prefix != prefix_of(root, run):
        raise GuardError(f"{prefix!r} is not the prefix of a run")
    return root, run


def _prefixes(s3: Any, bucket: str, runs: str) -> Iterator[str]:
    for operation in ("list_object_versions", "list_multipart_uploads"):
        for page in s3.get_paginator(operation).paginate(Bucket=bucket, Prefix=runs, Delimiter="/"):
            yield from (one["Prefix"] for one in page.get("CommonPrefixes", ()))


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (one["Key"] for one in page.get("Contents", ()) if one["Key"].endswith(".json"))


def _read(s3: Any, bucket: str, key: str, prefix: str) -> BucketClaim | None:
    """A claim, if it is one: what it says is of another's hand, and goes for its own prefix only."""
    answer = s3.get_object(Bucket=bucket, Key=key)
    with answer["Body"] as body:
        raw = body.read(_MOST_BYTES + 1)
    try:
        said = json.loads(raw) if len(raw) <= _MOST_BYTES else {}
        claim = BucketClaim(str(said["prefix"]), str(said["cluster"]), str(said["expires"]))
    except (ValueError, TypeError, KeyError):
        return None
    return claim if claim.prefix == prefix else None
