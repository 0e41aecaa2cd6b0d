"""What is prepared in the cluster itself: the two namespaces, the service account of the DVC tasks' pods, its role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.eks_admin.things import Found, Marks, State, Taken
from harness.errors import CleanupFailed
from harness.kubeapi import KubeApi, KubeApiError, KubeUnavailable
from harness.names import LABEL_OWNER, OWNER, SERVICES_NAMESPACE
from harness.targets.attached.claim import NAME as CLAIM
from harness.targets.eks.identity import ROLE_ANNOTATION
from harness.wait import Waiter

# Not that of runs: what they apply to the same objects takes nothing of this away.
_MANAGER: Final = "harness-eks"
_ANNOTATOR: Final = "harness-eks-role"
_CONFLICT: Final = 409
_GONE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace that runs may fill and empty.

    Attributes:
        kube: The cluster.
        name: Of the namespace.
        more: Labels that it has besides the marks.
        marks: Its labels.
        waiter: How patient to be with its removal.
    """

    kube: KubeApi
    name: str
    more: Mapping[str, str]
    marks: Marks
    waiter: Waiter
    kind: str = "namespace"

    @property
    def what(self) -> str:
        """For the reader."""
        return f"namespace {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        found = self.kube.get("Namespace", self.name)
        if found is None:
            return Found(State.ABSENT)
        labels = _labels(found)
        wanted = {LABEL_OWNER: OWNER, **self.more}
        told = tuple(f"no label {name}={value}" for name, value in wanted.items() if labels.get(name) != value)
        if found["metadata"].get("deletionTimestamp"):
            return Found(State.FOREIGN, told, "just being removed", adoptable=False)
        return self.marks.read(labels, told)

    def make(self) -> None:
        """See `Thing`."""
        labels = {**self.marks.labels, **self.more}
        _create(self.kube, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}})

    def mend(self) -> None:
        """See `Thing`."""
        self._label({**self.marks.labels, **self.more})

    def adopt(self) -> None:
        """See `Thing`; runs take no namespace without these labels."""
        self._label({LABEL_OWNER: OWNER, **self.more, **self.marks.adopting})

    def release(self) -> None:
        """See `Thing`; what a field manager no longer says, the server takes away."""
        self._label({})

    def remove(self) -> None:
        """See `Thing`.

        Raises:
            CleanupFailed: A run has it, or it does not go.
        """
        claim = self.kube.get("ConfigMap", CLAIM, SERVICES_NAMESPACE)
        if claim is not None:
            run = (claim.get("data") or {}).get("run", "unknown")
            raise CleanupFailed(
                f"run {run} has the namespace {self.name}", next_step="wait for it, or: harness down, harness sweep"
            )
        self.kube.delete("Namespace", self.name)
        self.waiter.until(
            f"the namespace {self.name} to go",
            lambda: self.kube.get("Namespace", self.name),
            ready=lambda found: found is None,
            describe=lambda found: "there" if found else "gone",
            timeout=_GONE_SECONDS,
            interval=1.0,
            transient=(KubeUnavailable,),
        )

    def _label(self, labels: Mapping[str, str]) -> None:
        metadata = {"name": self.name, "labels": dict(labels)}
        self.kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}], manager=_MANAGER)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The service account of the pods that get the role.

    Attributes:
        kube: The cluster.
        namespace: Where it is.
        account: Its name there.
        marks: Its labels.
        by_irsa: Whether an annotation (`RoleAnnotation`) gives it the role. By Pod Identity it must have none.
    """

    kube: KubeApi
    namespace: str
    account: str
    marks: Marks
    by_irsa: bool = False
    kind: str = "service-account"

    @property
    def name(self) -> str:
        """With its namespace; the same name as that of its association."""
        return f"{self.namespace}/{self.account}"

    @property
    def what(self) -> str:
        """For the reader."""
        return f"service account {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        found = self._get()
        if found is None:
            return Found(State.ABSENT)
        role = _annotations(found).get(ROLE_ANNOTATION)
        told = (f"annotation {ROLE_ANNOTATION}: {role}, expected none",) if role and not self.by_irsa else ()
        return self.marks.read(_labels(found), told)

    def make(self) -> None:
        """See `Thing`."""
        # Nobody asks Kubernetes for anything as this account: pods get a token for AWS alone.
        more = {"automountServiceAccountToken": False}
        _create(self.kube, {**_service_account(self, labels=self.marks.labels), **more})

    def mend(self) -> None:
        """See `Thing`."""
        self._apply(self.marks.labels)

    def adopt(self) -> None:
        """See `Thing`."""
        self._apply(self.marks.adopting)

    def release(self) -> None:
        """See `Thing`."""
        self._apply({})

    def remove(self) -> None:
        """See `Thing`."""
        self.kube.delete("ServiceAccount", self.account, self.namespace)

    def _get(self) -> Mapping[str, Any] | None:
        return self.kube.get("ServiceAccount", self.account, self.namespace)

    def _apply(self, labels: Mapping[str, str]) -> None:
        self.kube.apply([_service_account(self, labels=labels)], manager=_MANAGER)


@dataclass(frozen=True, slots=True)
class RoleAnnotation:
    """What IRSA goes by: the annotation of a service account that names its role, whoever made that account.

    Its marks stand beside it, as annotations. One that somebody else has set to the same role is used as it is.

    Attributes:
        kube: The cluster.
        namespace: Of the service account.
        account: Its name there.
        role_arn: The role.
        marks: Of the environment.
    """

    kube: KubeApi
    namespace: str
    account: str
    role_arn: str
    marks: Marks
    kind: str = "role-annotation"

    @property
    def name(self) -> str:
        """That of the service account."""
        return f"{self.namespace}/{self.account}"

    @property
    def what(self) -> str:
        """For the reader."""
        return f"role of service account {self.name}"

    def look(self) -> Found:
        """See `Thing`."""
        there = _annotations(self.kube.get("ServiceAccount", self.account, self.namespace) or {})
        role = there.get(ROLE_ANNOTATION)
        if not role:
            return Found(State.ABSENT)
        told = () if role == self.role_arn else (f"annotation {ROLE_ANNOTATION}: {role}, expected {self.role_arn}",)
        found = self.marks.read(there, told)
        if found.state is not State.FOREIGN:
            return found
        if told:
            return Found(State.FOREIGN, told, f"annotated with {role}", adoptable=False)
        return Found(State.ADOPTED, note="annotated so by whoever made it")

    def make(self) -> None:
        """See `Thing`."""
        self._apply({**self.marks.labels, ROLE_ANNOTATION: self.role_arn})

    def mend(self) -> None:
        """See `Thing`."""
        self.make()

    def adopt(self) -> None:
        """See `Thing`; another role is never adopted."""

    def release(self) -> None:
        """See `Thing`; nothing was changed."""

    def remove(self) -> None:
        """See `Thing`; what a field manager no longer says, the server takes away."""
        self._apply({})

    def _apply(self, annotations: Mapping[str, str]) -> None:
        self.kube.apply([_service_account(self, annotations=annotations)], manager=_ANNOTATOR)


def _service_account(
    of: ServiceAccount | RoleAnnotation,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a field manager says of it: only labels, or only annotations."""
    more = {"labels": dict(labels)} if labels is not None else {"annotations": dict(annotations or {})}
    metadata = {"name": of.account, "namespace": of.namespace, **more}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _create(kube: KubeApi, manifest: Mapping[str, Any]) -> None:
    try:
        kube.create(manifest)
    except KubeApiError as error:
        if error.status == _CONFLICT:
            raise Taken from error
        raise


def _annotations(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("metadata") or {}).get("annotations") or {}


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("metadata") or {}).get("labels") or {}
