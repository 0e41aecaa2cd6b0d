"""Settings of the EKS target: which cluster, and what must hold before the harness writes anything to an account.

Nothing is allowed by default: an account, a cluster and the consent are named by whoever pays for them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.imagenames import REGISTRY
from harness.names import AWS_REGION, OWNER

_ACCOUNT: Final = re.compile(r"\d{12}")
_CLUSTER_ARN: Final = re.compile(r"arn:aws[a-z-]*:eks:[a-z0-9-]+:\d{12}:cluster/[0-9A-Za-z][A-Za-z0-9_-]{0,99}")
_CLUSTER: Final = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")
# "Bucket naming rules" and "Naming Amazon S3 objects" in the S3 user guide: the characters that need no escaping.
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()-]+(?:/[A-Za-z0-9!_.*'()-]+)*")
# botocore's model of ECR: RepositoryName. What is below the prefix has to have room, too.
_REPOSITORY: Final = re.compile(r"(?=.{1,128}$)[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*")
# botocore's model of EFS: FileSystemId, without the ARN that it also takes.
_FILE_SYSTEM: Final = re.compile(r"fs-[0-9a-f]{8,40}")


class SharedStorage(StrEnum):
    """What holds the claim that the tasks share."""

    RWO = "rwo"
    EFS = "efs"


class Identity(StrEnum):
    """How pods get the role."""

    POD_IDENTITY = "pod-identity"
    IRSA = "irsa"


# The class where none is named, by what holds the claim: fixtures/eks/storage-class.yaml, storage-class-efs.yaml.
_CLASSES: Final = {SharedStorage.RWO: "gp3", SharedStorage.EFS: "efs"}


class EksSettings(BaseModel):
    """The EKS target.

    Attributes:
        cluster: Name of the cluster to attach to.
        region: Its region; None takes the profile's.
        profile: Profile of the AWS configuration; None takes what boto3 finds.
        accounts: Accounts that may be written to, twelve digits each.
        clusters: ARNs of the clusters that may be written to.
        tag: Tag, NAME=VALUE, that the cluster must have.
        bucket: Bucket in the cluster's region that runs write to; it must be there, and of one of the accounts.
        prefix: Key prefix in it below which all of the harness's keys are, without a slash at its end; empty for a
            bucket of the harness's own.
        registry: "ecr" has the images pushed to ECR of the cluster's account and region, as far as they are not there.
            Else what stands before an image's path and tag in the registry that nodes pull from; None where the nodes
            hold the images under their own names.
        ecr_prefix: What the names of ECR's repositories begin with; empty for nothing.
        ecr_create: Whether repositories that are missing in ECR are created.
        identity: How the DAG's pods get their role: by an association of Pod Identity, or by the annotation of their
            service account (IRSA).
        shared_storage: "rwo" has the claim that the tasks share on a volume of one node (EBS), "efs" on a file system
            that all nodes reach.
        storage_class: Of that claim; None takes gp3, with "efs" the class efs. With "rwo" empty takes the cluster's
            default, of which EKS has none.
        efs_file_system: Which file system a class of EFS must be on; None for whichever the class names.
        consent: Whether this run may write to the account, and cost.
        max_cost: Most that a run may cost by the estimate, in USD.
        max_lifetime: Hours that a run may last. It ends then; what it has made all the same counts as left behind a
            while later (`harness.targets.attached.expiry.GRACE`), and so does an environment that is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str | None = None
    region: str | None = None
    profile: str | None = None
    accounts: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    tag: str = "harness.allowed=true"
    bucket: str | None = None
    prefix: str = ""
    registry: str | None = None
    ecr_prefix: str = OWNER
    ecr_create: bool = False
    identity: Identity = Identity.POD_IDENTITY
    shared_storage: SharedStorage = SharedStorage.RWO
    storage_class: str | None = None
    efs_file_system: str | None = None
    consent: bool = False
    max_cost: float = Field(default=2.0, gt=0)
    max_lifetime: float = Field(default=4.0, gt=0, le=24)

    @property
    def claim_class(self) -> str:
        """Class of the claim that the tasks share; empty for the cluster's default."""
        return _CLASSES[self.shared_storage] if self.storage_class is None else self.storage_class

    @property
    def claim_access(self) -> str:
        """Its access mode, as Kubernetes calls it."""
        return "ReadWriteMany" if self.shared_storage is SharedStorage.EFS else "ReadWriteOnce"

    @model_validator(mode="after")
    def _check_shared_storage(self) -> Self:
        if self.shared_storage is SharedStorage.EFS and not self.claim_class:
            raise ValueError("shared_storage = efs needs the name of a storage class: storage_class is empty")
        if self.shared_storage is not SharedStorage.EFS and self.efs_file_system is not None:
            raise ValueError("efs_file_system is of no use without shared_storage = efs")
        return self

    @field_validator("efs_file_system")
    @classmethod
    def _check_file_system(cls, name: str | None) -> str | None:
        if name is not None and not _FILE_SYSTEM.fullmatch(name):
            raise ValueError("use the id of an EFS file system, such as fs-0123456789abcdef0")
        return name

    @field_validator("cluster")
    @classmethod
    def _check_cluster(cls, name: str | None) -> str | None:
        if name is not None and not _CLUSTER.fullmatch(name):
            raise ValueError("use the name of an EKS cluster: letters, digits, - and _, at most 100")
        return name

    @field_validator("region")
    @classmethod
    def _check_region(cls, name: str | None) -> str | None:
        # An empty one is none, as AWS's SDKs read it.
        if name and not AWS_REGION.fullmatch(name):
            raise ValueError("use the name of an AWS region, such as eu-central-1")
        return name

    @field_validator("bucket")
    @classmethod
    def _check_bucket(cls, name: str | None) -> str | None:
        if name is not None and not _BUCKET.fullmatch(name):
            raise ValueError("use the name of a bucket, not its ARN or URL: lower-case letters, digits, - and .")
        return name

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if prefix and not _PREFIX.fullmatch(prefix):
            raise ValueError("use a key prefix such as team/e2e, without a slash at its ends")
        return prefix

    @field_validator("registry")
    @classmethod
    def _check_registry(cls, prefix: str | None) -> str | None:
        if prefix is not None and not REGISTRY.fullmatch(prefix):
            raise ValueError("use a registry's host with a path, such as registry.example/team, without a tag")
        return prefix

    @field_validator("ecr_prefix")
    @classmethod
    def _check_ecr_prefix(cls, prefix: str) -> str:
        if prefix and not _REPOSITORY.fullmatch(prefix):
            raise ValueError(
                "use the beginning of a repository's name, such as team/e2e: lower case, no slash at its ends"
            )
        return prefix

    @field_validator("accounts")
    @classmethod
    def _check_accounts(cls, accounts: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [one for one in accounts if not _ACCOUNT.fullmatch(one)]:
            raise ValueError(f"{', '.join(wrong)}: an account has twelve digits")
        return accounts

    @field_validator("clusters")
    @classmethod
    def _check_clusters(cls, arns: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [one for one in arns if not _CLUSTER_ARN.fullmatch(one)]:
            raise ValueError(f"{', '.join(wrong)}: use an ARN such as arn:aws:eks:REGION:ACCOUNT:cluster/NAME")
        return arns

    @field_validator("tag")
    @classmethod
    def _check_tag(cls, tag: str) -> str:
        name, separator, value = tag.partition("=")
        if not (name and separator and value):
            raise ValueError("use NAME=VALUE")
        return tag
