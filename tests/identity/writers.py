"""Who wrote an object: by the look-alike's witness, or by a bucket policy that lets no other than the role write.

AWS itself tells only by CloudTrail's data events, minutes later. A policy tells at once: what is there although nobody
else could put it there, the role has put there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

from harness.lookalike.calls import read_calls
from harness.lookalike.hosting import Folder
from harness.lookalike.witness import writer_of
from harness.wait import Waiter

from .account import Account

_SID = "HarnessIdentityTest"
# S3 documents no time within which a policy counts; a role's change takes seconds.
EFFECT_SECONDS = 120.0


class Writers(Protocol):
    """A way to know it."""

    @property
    def name(self) -> str:
        """Which, for the report."""

    def prepare(self) -> None:
        """What must be done before a run takes its first look at the bucket."""

    def watching(self) -> AbstractContextManager[None]:
        """From before the objects are written until they have been."""

    def written_by(self, role: str, keys: Collection[str]) -> Mapping[str, str]:
        """Of objects written meanwhile, why it was this role; fails where it was not."""


@dataclass(frozen=True)
class Witness:
    """The look-alike's: it knows each object's writing session."""

    account: Account
    folder: Folder
    name: str = "the look-alike's witness"

    def prepare(self) -> None:
        """Nothing."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Nothing is to be done: it always does."""
        yield

    def written_by(self, role: str, keys: Collection[str]) -> Mapping[str, str]:
        calls = read_calls(self.folder.calls)
        vended = {
            call.response["assumedRoleUser"]["arn"]
            for call in calls
            if call.operation == "AssumeRoleForPodIdentity" and call.outcome == "allowed"
        }
        found = {}
        for key in keys:
            call = writer_of(calls, self.account.bucket, key)
            assert call is not None, f"nobody wrote {key}"
            assert call.principal in vended, (
                f"{key} was written by {call.principal}, whose keys were not vended to a pod"
            )
            assert call.principal.split(":assumed-role/")[1].split("/")[0] == role.rpartition("/")[2], call.principal
            found[key] = call.principal
        return found


@dataclass(frozen=True)
class BucketPolicy:
    """AWS's own means: while it is watched, nobody but the role may put objects below the run's prefix."""

    account: Account
    name: str = "a bucket policy on aws:PrincipalArn"

    def prepare(self) -> None:
        """The object that the runner will try to write again, which must change nothing then."""
        assert not self._is_denied(), "the runner may not write below the run's prefix: nothing could be shown by that"

    @contextmanager
    def watching(self) -> Iterator[None]:
        bucket, s3 = self.account.bucket, self.account.administrator.client("s3")
        before = _policy(s3, bucket)
        document: dict[str, Any] = json.loads(before) if before else {"Version": "2012-10-17", "Statement": []}
        others = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
        kept = [one for one in others if one.get("Sid") != _SID]
        try:
            s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({**document, "Statement": [*kept, self._statement]}))
            self._wait_until(denied=True)
            yield
        finally:
            if before:
                s3.put_bucket_policy(Bucket=bucket, Policy=before)
            else:
                s3.delete_bucket_policy(Bucket=bucket)
            self._wait_until(denied=False)
            s3.close()

    @property
    def _statement(self) -> dict[str, Any]:
        return {
            "Sid": _SID,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:{self.account.role.split(':')[1]}:s3:::{self.account.bucket}/{self.account.prefix}*",
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": self.account.role}},
        }

    def _wait_until(self, *, denied: bool) -> None:
        """Until the runner, who may write there, may not (or may again): else the policy would prove nothing."""
        Waiter().until(
            "the bucket policy to count" if denied else "the bucket policy to be gone",
            self._is_denied,
            ready=lambda found: found is denied,
            describe=lambda found: "the runner may not write" if found else "the runner may write",
            timeout=EFFECT_SECONDS,
            interval=1.0,
        )

    def _is_denied(self) -> bool:
        s3 = self.account.runner.client("s3")
        try:
            s3.put_object(Bucket=self.account.bucket, Key=f"{self.account.prefix}identity/control", Body=b"")
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return True
        finally:
            s3.close()
        return False

    def written_by(self, role: str, keys: Collection[str]) -> Mapping[str, str]:
        assert role == self.account.role
        return dict.fromkeys(keys, f"nobody but {role} could write it")


def writers_of(account: Account) -> tuple[Writers, ...]:
    """Those that there are: on the look-alike both, so that AWS's own is tried, too."""
    policy = BucketPolicy(account)
    folder = Folder.of_cluster(account.settings.state_dir / "clusters" / account.cluster)
    if not folder.configuration.exists():
        return (policy,)
    serving = folder.serving()
    assert serving is not None
    assert os.environ.get("AWS_ENDPOINT_URL_EKS") == serving.control, "a look-alike of that name, and another account"
    return (Witness(account, folder), policy)


def _policy(s3: Any, bucket: str) -> str:
    try:
        return str(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return ""
