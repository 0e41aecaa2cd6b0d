"""The OIDC provider of a cluster in IAM: what a role of IRSA trusts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.eks_admin.things import ADOPTED_BY, Found, Marks, State, Taken, listed
from harness.targets.eks.aws import AwsRefused, explained

# The audience of the tokens that EKS's webhook hands to pods ("IAM roles for service accounts" in the EKS user guide).
AUDIENCE: Final = "sts.amazonaws.com"
KIND: Final = "aws-oidc-provider"
_GONE: Final = "NoSuchEntity"
_TAKEN: Final = "EntityAlreadyExists"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """A provider.

    Attributes:
        iam: A client of IAM.
        arn: Of the provider.
        name: The issuer, without its scheme.
        marks: Its tags.
    """

    iam: Any
    arn: str
    name: str
    marks: Marks
    kind: str = KIND

    @property
    def what(self) -> str:
        """For the reader."""
        return f"OIDC provider {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        try:
            with explained(f"look for the {self.what}"):
                found: Mapping[str, Any] = self.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=self.arn)
        except AwsRefused as refused:
            if refused.code == _GONE:
                return Found(State.ABSENT)
            raise
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
        told = () if AUDIENCE in found.get("ClientIDList", []) else (f"no audience {AUDIENCE}",)
        return self.marks.read(tags, told)

    def make(self) -> None:
        """See `Thing`."""
        try:
            with explained(f"create the {self.what}"):
                self.iam.create_open_id_connect_provider(
                    Url=f"https://{self.name}",
                    ClientIDList=[AUDIENCE],
                    Tags=listed(self.marks.tags),
                )
        except AwsRefused as refused:
            if refused.code == _TAKEN:
                raise Taken from refused
            raise

    def mend(self) -> None:
        """See `Thing`."""
        with explained(f"give the {self.what} its audience"):
            self.iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=self.arn, ClientID=AUDIENCE)
            self.iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=self.arn, Tags=listed(self.marks.tags))

    def adopt(self) -> None:
        """See `Thing`."""
        with explained(f"tag the {self.what}"):
            self.iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=self.arn, Tags=listed(self.marks.adopting))

    def release(self) -> None:
        """See `Thing`."""
        with explained(f"take our tag off the {self.what}"):
            self.iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=self.arn, TagKeys=[ADOPTED_BY])

    def remove(self) -> None:
        """See `Thing`."""
        with explained(f"delete the {self.what}"):
            self.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=self.arn)
