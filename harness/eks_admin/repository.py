"""A repository of ECR that the images of runs are pushed to: one per image, tags immutable, the last images kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.eks_admin.things import ADOPTED_BY, Found, Marks, State, Taken, listed
from harness.targets.eks.aws import AwsRefused, explained
from harness.targets.eks.ecr import lifecycle

_GONE: Final = "RepositoryNotFoundException"
_TAKEN: Final = "RepositoryAlreadyExistsException"
_ENDLESS: Final = "LifecyclePolicyNotFoundException"
_IMMUTABLE: Final = "IMMUTABLE"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository.

    Attributes:
        ecr: A client of ECR.
        name: With its prefix.
        marks: Its tags.
    """

    ecr: Any
    name: str
    marks: Marks
    kind: str = "aws-repository"

    @property
    def what(self) -> str:
        """For the reader."""
        return f"repository {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        found = self._get()
        if not found:
            return Found(State.ABSENT)
        with explained(f"read the tags of the {self.what}"):
            tags = self.ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
        mutability = found["imageTagMutability"]
        told = () if mutability == _IMMUTABLE else (f"tags: {mutability}, expected {_IMMUTABLE}",)
        if not self._expires_images():
            told = (*told, "no lifecycle policy: its images never go")
        return self.marks.read({tag["Key"]: tag["Value"] for tag in tags}, told)

    def make(self) -> None:
        """See `Thing`."""
        try:
            with explained(f"create the {self.what}"):
                self.ecr.create_repository(
                    repositoryName=self.name, imageTagMutability=_IMMUTABLE, tags=listed(self.marks.tags)
                )
        except AwsRefused as refused:
            if refused.code == _TAKEN:
                raise Taken from refused
            raise
        self._expire_images()

    def mend(self) -> None:
        """See `Thing`; a lifecycle policy that it has is left."""
        with explained(f"make the tags of the {self.what} immutable"):
            self.ecr.put_image_tag_mutability(repositoryName=self.name, imageTagMutability=_IMMUTABLE)
            self.ecr.tag_resource(resourceArn=self._get()["repositoryArn"], tags=listed(self.marks.tags))
        if not self._expires_images():
            self._expire_images()

    def adopt(self) -> None:
        """See `Thing`."""
        with explained(f"tag the {self.what}"):
            self.ecr.tag_resource(resourceArn=self._get()["repositoryArn"], tags=listed(self.marks.adopting))

    def release(self) -> None:
        """See `Thing`."""
        with explained(f"take our tag off the {self.what}"):
            self.ecr.untag_resource(resourceArn=self._get()["repositoryArn"], tagKeys=[ADOPTED_BY])

    def remove(self) -> None:
        """See `Thing`; with its images, which a run pushes again."""
        with explained(f"delete the {self.what}"):
            self.ecr.delete_repository(repositoryName=self.name, force=True)

    def _expires_images(self) -> bool:
        try:
            with explained(f"read the lifecycle policy of the {self.what}"):
                self.ecr.get_lifecycle_policy(repositoryName=self.name)
        except AwsRefused as refused:
            if refused.code == _ENDLESS:
                return False
            raise
        return True

    def _expire_images(self) -> None:
        with explained(f"put a lifecycle policy on the {self.what}"):
            self.ecr.put_lifecycle_policy(repositoryName=self.name, lifecyclePolicyText=lifecycle())

    def _get(self) -> Mapping[str, str]:
        """What ECR says of it; nothing if there is none."""
        try:
            with explained(f"look for the {self.what}"):
                found: Mapping[str, str] = self.ecr.describe_repositories(repositoryNames=[self.name])["repositories"][
                    0
                ]
        except AwsRefused as refused:
            if refused.code == _GONE:
                return {}
            raise
        return found
