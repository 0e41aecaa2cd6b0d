"""What is prepared in the cluster itself: the two namespaces, and the service account of the DVC tasks' pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        annotations: What IRSA goes by; nothing for Pod Identity.
    """

    kube: KubeApi
    namespace: str
    account: str
    marks: Marks
    annotations: Mapping[str, str] = field(default_factory=dict)
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
        there = found["metadata"].get("annotations") or {}
        wanted = {ROLE_ANNOTATION: "", **self.annotations}
        told = tuple(
            f"annotation {name}: {there.get(name) or 'none'}, expected {value or 'none'}"
            for name, value in wanted.items()
            if there.get(name, "") != value
        )
        return self.marks.read(_labels(found), told)

    def make(self) -> None:
        """See `Thing`."""
        # Nobody asks Kubernetes for anything as this account: pods get a token for AWS alone.
        more = {"automountServiceAccountToken": False}
        _create(self.kube, {**self._manifest(self.marks.labels, self.annotations), **more})

    def mend(self) -> None:
        """See `Thing`."""
        self._apply(self.marks.labels, self.annotations)

    def adopt(self) -> None:
        """See `Thing`."""
        self._apply(self.marks.adopting, {})

    def release(self) -> None:
        """See `Thing`."""
        self._apply({}, {})

    def remove(self) -> None:
        """See `Thing`."""
        self.kube.delete("ServiceAccount", self.account, self.namespace)

    def _get(self) -> Mapping[str, Any] | None:
        return self.kube.get("ServiceAccount", self.account, self.namespace)

    def _apply(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        self.kube.apply([self._manifest(labels, annotations)], manager=_MANAGER)

    def _manifest(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
        metadata = {"name": self.account, "namespace": self.namespace, "labels": dict(labels)}
        more = {"annotations": dict(annotations)} if annotations else {}
        return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, **more}}


def _create(kube: KubeApi, manifest: Mapping[str, Any]) -> None:
    try:
        kube.create(manifest)
    except KubeApiError as error:
        if error.status == _CONFLICT:
            raise Taken from error
        raise


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("metadata") or {}).get("labels") or {}
