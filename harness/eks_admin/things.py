"""What is prepared: a thing in an account or a cluster, whose it is, and whether it is as it should be.

A thing of ours has the tag `harness.owner` and that of the environment that it was made for; in an account also that of
the cluster, by its ARN, for IAM is one for all regions. What has its name and not
the tags is somebody else's: refused, unless it is adopted by name. What is adopted gets one tag, is never changed
otherwise, and is never removed. What has `harness.owner` alone was meant for the harness by whoever made it (by hand,
from `fixtures/eks`): used as if it were adopted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from harness.names import LABEL_ENVIRONMENT, LABEL_EXPIRES, LABEL_OWNER, OWNER
from harness.targets.attached.expiry import as_label

ENVIRONMENT: Final = LABEL_ENVIRONMENT
CLUSTER: Final = "harness.cluster"
ADOPTED_BY: Final = "harness.adopted-by"
NEVER: Final = "never"


class State(StrEnum):
    """Whose a thing is."""

    ABSENT = "absent"
    OURS = "ours"
    ADOPTED = "adopted"
    FOREIGN = "somebody else's"


@dataclass(frozen=True, slots=True)
class Found:
    """How a thing stands.

    Attributes:
        state: Whose it is.
        differences: How it differs from what it should be, as lines; whoever made it.
        note: What else is to be said of it, such as why it is somebody else's.
        adoptable: Whether naming it with `--adopt` would help.
        expires: Of one of ours, when it counts as left behind, as its tag or label says it.
        environment: Of what the harness made, which environment it was made for; empty for all else.
    """

    state: State
    differences: tuple[str, ...] = ()
    note: str = ""
    adoptable: bool = True
    expires: str = NEVER
    environment: str = ""

    def __str__(self) -> str:
        told = "drifted" if self.differences and self.state is State.OURS else str(self.state)
        return f"{told} ({self.note})" if self.note else told


@dataclass(frozen=True, slots=True)
class Marks:
    """The tags of what is made for one environment.

    Attributes:
        environment: Name of the cluster, and the suffix of a run's own names after a dot.
        expires: When it counts as left behind, ISO 8601; "never" for what is prepared once.
        cluster: ARN of the cluster; empty for what is in the cluster itself, or is it.
    """

    environment: str
    expires: str = NEVER
    cluster: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Of a thing that is made."""
        of = {CLUSTER: self.cluster} if self.cluster else {}
        return {LABEL_OWNER: OWNER, ENVIRONMENT: self.environment, LABEL_EXPIRES: self.expires, **of}

    @property
    def labels(self) -> dict[str, str]:
        """The same on an object of Kubernetes, whose labels take neither colon nor plus sign."""
        return {**self.tags, LABEL_EXPIRES: as_label(self.expires)}

    @property
    def adopting(self) -> dict[str, str]:
        """Of a thing that is adopted."""
        return {ADOPTED_BY: self.environment}

    def expire_as(self, found: Found) -> bool:
        """Whether one of ours counts as left behind when it should; a label has less of that time than a tag."""
        return as_label(found.expires) == as_label(self.expires)

    def read(self, tags: Mapping[str, str], differences: tuple[str, ...] = ()) -> Found:
        """Whose a thing with these tags is."""
        if tags.get(LABEL_OWNER) == OWNER and ENVIRONMENT in tags:
            return self._made(tags, differences)
        if tags.get(LABEL_OWNER) == OWNER and ADOPTED_BY not in tags:
            return Found(State.ADOPTED, differences, "meant for the harness by whoever made it")
        if adopted := tags.get(ADOPTED_BY):
            if adopted == self.environment:
                return Found(State.ADOPTED, differences)
            return Found(State.FOREIGN, differences, f"adopted for {adopted}", adoptable=False)
        return Found(State.FOREIGN, differences, "not tagged as the harness's")

    def _made(self, tags: Mapping[str, str], differences: tuple[str, ...]) -> Found:
        of = tags.get(CLUSTER, "")
        if tags[ENVIRONMENT] != self.environment or (self.cluster and of and of != self.cluster):
            made_for = ", ".join(one for one in (tags[ENVIRONMENT], of) if one)
            note = f"made for {made_for}"
            return Found(State.FOREIGN, differences, note, adoptable=False, environment=tags[ENVIRONMENT])
        # So it was made before there was that tag.
        untold = (f"no tag {CLUSTER}={self.cluster}",) if self.cluster and not of else ()
        expires = tags.get(LABEL_EXPIRES, NEVER)
        return Found(State.OURS, (*differences, *untold), expires=expires, environment=self.environment)


class Thing(Protocol):
    """One thing.

    Attributes:
        kind: In the journal, such as "aws-role".
        name: Its exact name, by which it is adopted.
        what: What it is, for the reader.
        marks: What it is tagged with.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102 - as the class says

    @property
    def name(self) -> str: ...  # noqa: D102 - likewise

    @property
    def what(self) -> str: ...  # noqa: D102 - likewise

    @property
    def marks(self) -> Marks: ...  # noqa: D102 - likewise

    def look(self) -> Found:
        """How it stands, by calls that only read.

        Raises:
            EnvironmentFailed: It may not be asked.
        """

    def make(self) -> None:
        """Make it, with its marks.

        Raises:
            EnvironmentFailed: It could not be made; it may be there in part.
        """

    def mend(self) -> None:
        """Make one of ours what it should be, with its marks; the same errors."""

    def adopt(self) -> None:
        """Mark somebody else's as in use; the same errors."""

    def release(self) -> None:
        """Take that mark off again; the same errors."""

    def remove(self) -> None:
        """Remove one of ours, and return when it is gone; the same errors."""


class Taken(Exception):
    """While a thing was being made, there was one of that name already: nothing was made."""


def listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the form that IAM, S3 and ECR take; EKS takes them as they are."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
