"""The bucket of the DVC remote: nothing of it public, and removed only when it is empty or may be emptied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.eks_admin.things import ADOPTED_BY, Found, Marks, State, Taken, listed
from harness.errors import CleanupFailed
from harness.targets.eks.aws import AwsRefused, explained

# "Blocking public access to your Amazon S3 storage" in the S3 user guide; what new buckets have since April 2023.
_BLOCKED: Final = {
    "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True,
}  # fmt: skip
# The one region that is not named when a bucket is made ("CreateBucket" in the S3 API reference).
_UNNAMED: Final = "us-east-1"
_TAKEN: Final = frozenset({"BucketAlreadyExists", "BucketAlreadyOwnedByYou"})


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket.

    Attributes:
        s3: A client of S3.
        name: Of the bucket.
        account: Whose it must be.
        region: Where it must be.
        marks: Its tags.
        may_empty: Whether it may be removed with what is in it.
    """

    s3: Any
    name: str
    account: str
    region: str
    marks: Marks
    may_empty: bool = False
    kind: str = "aws-bucket"

    @property
    def what(self) -> str:
        """For the reader."""
        return f"bucket {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        try:
            with explained(f"look for the bucket {self.name}"):
                where = self.s3.head_bucket(**self._mine()).get("BucketRegion", "")
        except AwsRefused as refused:
            # HeadBucket has no body to say more in: codes are the status.
            if refused.code == "404":
                return Found(State.ABSENT)
            if refused.code == "403":
                note = "another account's, or the caller may not list it"
                return Found(State.FOREIGN, note=note, adoptable=False)
            if refused.code == "301":
                return Found(State.FOREIGN, note=f"not in {self.region}", adoptable=False)
            raise
        if where and where != self.region:
            return Found(State.FOREIGN, note=f"in {where}, not in {self.region}", adoptable=False)
        return self.marks.read(self._tags(), tuple(self._differences()))

    def make(self) -> None:
        """See `Thing`."""
        where = {} if self.region == _UNNAMED else {"LocationConstraint": self.region}
        # Tagged by the same call, so that there is no moment at which nobody can tell whose it is.
        configuration = {**where, "Tags": listed(self.marks.tags)}
        try:
            with explained(f"create the bucket {self.name}"):
                self.s3.create_bucket(Bucket=self.name, CreateBucketConfiguration=configuration)
        except AwsRefused as refused:
            if refused.code in _TAKEN:
                raise Taken from refused
            raise
        self.mend()

    def mend(self) -> None:
        """See `Thing`."""
        with explained(f"close the bucket {self.name} to the public"):
            self.s3.put_public_access_block(PublicAccessBlockConfiguration=_BLOCKED, **self._mine())
        self._put_tags({**self._tags(), **self.marks.tags})

    def adopt(self) -> None:
        """See `Thing`."""
        self._put_tags({**self._tags(), **self.marks.adopting})

    def release(self) -> None:
        """See `Thing`."""
        self._put_tags({name: value for name, value in self._tags().items() if name != ADOPTED_BY})

    def remove(self) -> None:
        """See `Thing`.

        Raises:
            CleanupFailed: Something is in it, and it may not be emptied; or something could not be removed.
        """
        with explained(f"empty the bucket {self.name}"):
            for found in self._contents():
                if found and not self.may_empty:
                    raise CleanupFailed(
                        f"the bucket {self.name} is not empty",
                        next_step="give --empty-bucket, if all that is in it may go",
                    )
                self._delete(found)
            for page in self.s3.get_paginator("list_multipart_uploads").paginate(**self._mine()):
                for upload in page.get("Uploads", ()):
                    self.s3.abort_multipart_upload(Key=upload["Key"], UploadId=upload["UploadId"], **self._mine())
        with explained(f"delete the bucket {self.name}"):
            self.s3.delete_bucket(**self._mine())

    def _mine(self) -> dict[str, str]:
        return {"Bucket": self.name, "ExpectedBucketOwner": self.account}

    def _tags(self) -> dict[str, str]:
        try:
            with explained(f"read the tags of the bucket {self.name}"):
                found = self.s3.get_bucket_tagging(**self._mine())["TagSet"]
        except AwsRefused as refused:
            if refused.code == "NoSuchTagSet":
                return {}
            raise
        return {tag["Key"]: tag["Value"] for tag in found}

    def _put_tags(self, tags: Mapping[str, str]) -> None:
        """S3 knows only all of a bucket's tags at once."""
        with explained(f"tag the bucket {self.name}"):
            if tags:
                self.s3.put_bucket_tagging(Tagging={"TagSet": listed(tags)}, **self._mine())
            else:
                self.s3.delete_bucket_tagging(**self._mine())

    def _differences(self) -> list[str]:
        try:
            with explained(f"read how public the bucket {self.name} is"):
                found = self.s3.get_public_access_block(**self._mine())["PublicAccessBlockConfiguration"]
        except AwsRefused as refused:
            if refused.code != "NoSuchPublicAccessBlockConfiguration":
                raise
            found = {}
        return [f"public access: {name} is off" for name in _BLOCKED if not found.get(name)]

    def _contents(self) -> Iterator[list[dict[str, str]]]:
        """Objects, versions and delete markers, as many as are removed at once.

        Without versioning an object's one version is called "null". It is named, too: where versioning was switched on
        later, what is removed without it stays behind its delete marker.
        """
        for page in self.s3.get_paginator("list_object_versions").paginate(**self._mine()):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if found:
                yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]

    def _delete(self, found: list[dict[str, str]]) -> None:
        answer = self.s3.delete_objects(Delete={"Objects": found, "Quiet": True}, **self._mine())
        if errors := answer.get("Errors"):
            raise CleanupFailed(
                f"{len(errors)} objects in the bucket {self.name} could not be removed",
                evidence={"S3 said": f"{errors[0].get('Key')}: {errors[0].get('Code')}"},
            )
