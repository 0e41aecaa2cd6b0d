"""The Pod Identity association: which role the pods of the DVC tasks' service account get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.eks_admin.things import ADOPTED_BY, Found, Marks, State, Taken
from harness.errors import EnvironmentFailed, WaitTimeout
from harness.targets.eks.aws import AwsRefused, explained
from harness.wait import Waiter

# A new role takes a while until EKS knows it: "typically 5-15 s", and it says that the role does not exist.
_UNKNOWN: Final = "InvalidParameterException"
_TAKEN: Final = "ResourceInUseException"
_SECONDS: Final = 60.0


class _NotYet(Exception):
    """EKS does not know the role yet."""


@dataclass(frozen=True, slots=True)
class Association:
    """An association.

    Attributes:
        eks: A client of EKS.
        cluster: Name of the cluster.
        namespace: Of the service account.
        service_account: Whose pods get the role.
        role_arn: The role.
        marks: Its tags.
        waiter: How patient to be with a new role.
    """

    eks: Any
    cluster: str
    namespace: str
    service_account: str
    role_arn: str
    marks: Marks
    waiter: Waiter
    kind: str = "aws-association"

    @property
    def name(self) -> str:
        """Of the service account: that can have one association."""
        return f"{self.namespace}/{self.service_account}"

    @property
    def what(self) -> str:
        """For the reader."""
        return f"Pod Identity association of {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        found = self._get()
        if found is None:
            return Found(State.ABSENT)
        role = found["roleArn"]
        told = () if role == self.role_arn else (f"role: {role}, expected {self.role_arn}",)
        return self.marks.read(found.get("tags") or {}, told)

    def make(self) -> None:
        """See `Thing`."""
        said: list[AwsRefused] = []

        def create() -> bool:
            try:
                with explained(f"create the {self.what}"):
                    self.eks.create_pod_identity_association(
                        clusterName=self.cluster,
                        namespace=self.namespace,
                        serviceAccount=self.service_account,
                        roleArn=self.role_arn,
                        tags=self.marks.tags,
                    )
            except AwsRefused as refused:
                if refused.code == _TAKEN:
                    raise Taken from refused
                if refused.code != _UNKNOWN:
                    raise
                said.append(refused)
                raise _NotYet(refused.evidence.get("AWS says", refused.message)) from refused
            return True

        try:
            self.waiter.until(
                f"EKS to know the role {self.role_arn}",
                create,
                ready=bool,
                timeout=_SECONDS,
                interval=2.0,
                transient=(_NotYet,),
            )
        except WaitTimeout as error:
            raise (said[-1] if said else error) from error

    def mend(self) -> None:
        """See `Thing`."""
        there = self._there()
        with explained(f"give the {self.what} its role"):
            if there["roleArn"] != self.role_arn:
                self.eks.update_pod_identity_association(roleArn=self.role_arn, **self._named())
            self.eks.tag_resource(resourceArn=there["associationArn"], tags=self.marks.tags)

    def adopt(self) -> None:
        """See `Thing`."""
        with explained(f"tag the {self.what}"):
            self.eks.tag_resource(resourceArn=self._there()["associationArn"], tags=self.marks.adopting)

    def release(self) -> None:
        """See `Thing`."""
        with explained(f"take our tag off the {self.what}"):
            self.eks.untag_resource(resourceArn=self._there()["associationArn"], tagKeys=[ADOPTED_BY])

    def remove(self) -> None:
        """See `Thing`."""
        with explained(f"delete the {self.what}"):
            self.eks.delete_pod_identity_association(**self._named())

    def _named(self) -> dict[str, str]:
        return {"clusterName": self.cluster, "associationId": self._there()["associationId"]}

    def _there(self) -> Mapping[str, Any]:
        found = self._get()
        if found is None:
            raise EnvironmentFailed(f"the {self.what} has just gone", next_step="try again")
        return found

    def _get(self) -> Mapping[str, Any] | None:
        of = {"clusterName": self.cluster, "namespace": self.namespace, "serviceAccount": self.service_account}
        with explained(f"look for the {self.what}"):
            listed = self.eks.list_pod_identity_associations(**of)["associations"]
            if not listed:
                return None
            found: Mapping[str, Any] = self.eks.describe_pod_identity_association(
                clusterName=self.cluster, associationId=listed[0]["associationId"]
            )["association"]
        return found
