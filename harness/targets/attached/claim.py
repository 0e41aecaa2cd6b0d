"""Whose the harness's two namespaces of a cluster are: one run's at a time, and what that run made, goes with it.

A namespace is there already, made ready for the harness (it has the label `harness.owner`), or the run makes it, with
its own id as a label. A ConfigMap that can be created only once says which run has them, and what was there before. At
the end a namespace that the run made is deleted, and one that was there is emptied of what was not there before. What
has not the harness's labels is neither used nor removed.

The claim says, too, from when all of it counts as left behind. From then on anybody may remove it: the reaper in the
cluster (`reaper.py`), or on EKS a sweep from another machine (`harness.targets.eks.leftovers`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import CleanupFailed, EnvironmentFailed, GuardError, WaitTimeout
from harness.kubeapi import KubeApi, KubeApiError, KubeUnavailable
from harness.names import AIRFLOW_NAMESPACE, LABEL_EXPIRES, LABEL_OWNER, LABEL_RUN, OWNER, SERVICES_NAMESPACE
from harness.targets.attached.expiry import as_label, expiry, is_past
from harness.wait import Waiter

NAME: Final = "harness-claim"
WEBHOOK: Final = "harness-adapter"
NAMESPACES: Final[Mapping[str, Mapping[str, str]]] = {
    SERVICES_NAMESPACE: {},
    # What the adapter's webhook goes by (harness/services/manifests/adapter.yaml.j2).
    AIRFLOW_NAMESPACE: {"harness.adapter": "on"},
}
# Set in a claim by the reaper before it removes anything.
REAPED: Final = "reaped"
# What a namespace may hold besides events, and what goes with another object of it; workloads before their pods.
KINDS: Final = (
    ("CronJob", ""), ("Deployment", ""), ("StatefulSet", ""), ("DaemonSet", ""), ("ReplicaSet", ""), ("Job", ""),
    ("Pod", ""), ("Service", ""), ("PersistentVolumeClaim", ""), ("ConfigMap", ""), ("Secret", ""),
    ("RoleBinding", ""), ("Role", ""), ("ServiceAccount", ""), ("NetworkPolicy", "networking.k8s.io/v1"),
    ("Ingress", "networking.k8s.io/v1"), ("PodDisruptionBudget", "policy/v1"),
)  # fmt: skip
_CONFLICT, _FORBIDDEN = 409, 403
# Volumes of EBS are detached before they go.
_GONE_SECONDS: Final = 300.0
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """The hold of one run on the namespaces.

    Attributes:
        kube: The cluster.
        run: Id of the run.
    """

    kube: KubeApi
    run: str

    def is_held(self) -> bool:
        """Whether the run has the namespaces, whole: those of a kept environment.

        Raises:
            GuardError: Another run has them.
        """
        for namespace in NAMESPACES:
            if self._usable(namespace) is None:
                return False
        holder = self._holder()
        return holder is not None and REAPED not in holder

    def renew(self, *, hours: float) -> bool:
        """Keep what the run has for another time; False if the reaper was there before.

        Args:
            hours: That it will be used.
        """
        data = {"expires": expiry(hours)}
        metadata = {"name": NAME, "namespace": SERVICES_NAMESPACE}
        claim = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        # The reaper marks a claim only if it says what it has read, so one of the two sees the other.
        return REAPED not in self.kube.apply([claim])[0]["data"]

    def refuse_others(self) -> None:
        """Refuse namespaces that are not to be taken, by calls that only read.

        Raises:
            GuardError: They are another run's, or not the harness's.
        """
        usable = [self._usable(namespace) for namespace in NAMESPACES]
        if any(usable):
            self._holder()
        webhook = self.kube.get("MutatingWebhookConfiguration", WEBHOOK)
        if webhook is not None and _label(webhook, LABEL_OWNER) != OWNER:
            raise GuardError(
                f"the webhook configuration {WEBHOOK} of the cluster is not the harness's",
                evidence={"its labels": json.dumps(webhook["metadata"].get("labels") or {})},
                next_step=f"find out whose it is; kubectl delete mutatingwebhookconfiguration {WEBHOOK}, if nobody's",
            )

    def take(self, *, hours: float) -> None:
        """Take the namespaces; what is missing is made.

        Args:
            hours: That they will be used; they count as left behind a while later.

        Raises:
            GuardError: They are another run's, or not the harness's.
            EnvironmentFailed: They may not be made.
        """
        expires = expiry(hours)
        for namespace, labels in NAMESPACES.items():
            if self._usable(namespace) is None:
                self._make(namespace, labels, expires)
        before = {namespace: sorted(self._present(namespace)) for namespace in NAMESPACES}
        data = {"run": self.run, "expires": expires, "before": json.dumps(before)}
        metadata = {"name": NAME, "namespace": SERVICES_NAMESPACE, "labels": {LABEL_OWNER: OWNER}}
        try:
            self.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        except KubeApiError as error:
            if error.status != _CONFLICT:
                raise
            self._holder()
            raise
        self._begin_webhook(expires)

    def would_remove(self) -> list[str]:
        """What `remove` would remove, for the reader: namespaces as a whole, single objects of those that stay."""
        holder = self.kube.get("ConfigMap", NAME, SERVICES_NAMESPACE) or {}
        data: Mapping[str, str] = holder.get("data") or {}
        before: dict[str, list[str]] = json.loads(data["before"]) if data.get("run") == self.run else {}
        found = []
        for namespace in NAMESPACES:
            if _label(self._namespace(namespace), LABEL_RUN) == self.run:
                found.append(f"namespace {namespace}")
            elif namespace in before:
                found += [f"{namespace}/{one}" for one in sorted(self._present(namespace) - {*before[namespace]})]
        return found

    def remove(self, waiter: Waiter) -> None:
        """Remove what the run made in the cluster, and wait until it is gone; nothing where the run holds nothing.

        Raises:
            CleanupFailed: Something is still there; names it.
            KubeApiError: The server refused it.
        """
        holder = self.kube.get("ConfigMap", NAME, SERVICES_NAMESPACE)
        held = holder is not None and (holder.get("data") or {}).get("run") == self.run
        made = [namespace for namespace in NAMESPACES if _label(self._namespace(namespace), LABEL_RUN) == self.run]
        webhook = self.kube.get("MutatingWebhookConfiguration", WEBHOOK)
        said = _label(webhook, LABEL_RUN)
        if _label(webhook, LABEL_OWNER) == OWNER and (said == self.run or (not said and (held or made))):
            # First: it refuses pods as long as the adapter does not answer.
            self.kube.delete("MutatingWebhookConfiguration", WEBHOOK)
        if not held and not made:
            return
        before: dict[str, list[str]] = json.loads(holder["data"]["before"]) if held and holder else {}
        emptied = [namespace for namespace in NAMESPACES if held and namespace not in made and namespace in before]
        volumes = self._volumes({*made, *emptied}, before)
        for namespace in made:
            self.kube.delete("Namespace", namespace)

        def left() -> list[str]:
            found = [f"namespace {namespace}" for namespace in made if self._namespace(namespace) is not None]
            for namespace in emptied:
                found += self._empty(namespace, keep={*before[namespace], f"ConfigMap/{NAME}"})
            present = {str(volume["metadata"]["name"]) for volume in self.kube.list("PersistentVolume")}
            return found + [f"volume {volume}" for volume in sorted(volumes & present)]

        try:
            waiter.until(
                "what the run made in the cluster to go",
                left,
                ready=lambda found: not found,
                describe=lambda found: f"still there: {', '.join(found[:_SHOWN])}" if found else "gone",
                timeout=_GONE_SECONDS,
                interval=2.0,
                transient=(KubeUnavailable,),
            )
        except WaitTimeout as error:
            raise CleanupFailed(
                "what the run made in the cluster is not gone",
                evidence={"still there": error.last_state},
                next_step="harness sweep, once what holds it is gone",
            ) from error
        if SERVICES_NAMESPACE not in made:
            self.kube.delete("ConfigMap", NAME, SERVICES_NAMESPACE)

    def _usable(self, name: str) -> Mapping[str, Any] | None:
        """A namespace that may be used; None if there is none of that name.

        Raises:
            GuardError: It is not the harness's, or another run's.
        """
        found = self._namespace(name)
        if found is None:
            return None
        if _label(found, LABEL_OWNER) != OWNER:
            raise GuardError(
                f"the namespace {name} of the cluster is not the harness's",
                evidence={"its labels": json.dumps(found["metadata"].get("labels") or {})},
                next_step=f"kubectl label namespace {name} {LABEL_OWNER}={OWNER}, if nothing else is in it: the "
                "harness fills and empties it",
            )
        if found["metadata"].get("deletionTimestamp"):
            raise GuardError(f"the namespace {name} is just being removed", next_step="run again in a minute")
        if (other := _label(found, LABEL_RUN)) and other != self.run:
            raise self._taken(other, _label(found, LABEL_EXPIRES))
        return found

    def _holder(self) -> Mapping[str, str] | None:
        """What the run's claim says; None if there is none.

        Raises:
            GuardError: It is another run's.
        """
        found = self.kube.get("ConfigMap", NAME, SERVICES_NAMESPACE)
        if found is None:
            return None
        data: Mapping[str, str] = found.get("data") or {}
        if data.get("run") != self.run:
            raise self._taken(data.get("run", "unknown"), data.get("expires", ""))
        return data

    def _taken(self, run: str, expires: str) -> GuardError:
        past = f", past its time since {expires}" if is_past(expires) else ""
        return GuardError(
            f"run {run} has the harness's namespaces of this cluster{past}",
            evidence={"it counts as left behind from": expires or "no time"},
            next_step="its reaper removes it within minutes; on EKS harness sweep --target eks shows what is left of "
            "it, and with --yes removes it"
            if past
            else "wait for it to end; `harness down` or `harness sweep` on the machine that it ran on removes it",
        )

    def _begin_webhook(self, expires: str) -> None:
        """Make the adapter's webhook, which says nothing as yet, so that it goes with the namespace of its service.

        Whoever fills it applies the rest, and leaves these fields as they are (server-side apply, field managers).
        """
        self.kube.delete("MutatingWebhookConfiguration", WEBHOOK)  # left over: nobody has the namespaces besides
        uid = ((self._namespace(SERVICES_NAMESPACE) or {}).get("metadata") or {}).get("uid")
        owner = {"apiVersion": "v1", "kind": "Namespace", "name": SERVICES_NAMESPACE, "uid": uid}
        metadata = {
            "name": WEBHOOK,
            "labels": {LABEL_OWNER: OWNER, LABEL_RUN: self.run, LABEL_EXPIRES: as_label(expires)},
            "ownerReferences": [owner] if uid else [],
        }
        api = "admissionregistration.k8s.io/v1"
        self.kube.create({"apiVersion": api, "kind": "MutatingWebhookConfiguration", "metadata": metadata})

    def _make(self, name: str, labels: Mapping[str, str], expires: str) -> None:
        wanted = {LABEL_OWNER: OWNER, LABEL_RUN: self.run, LABEL_EXPIRES: as_label(expires), **labels}
        try:
            self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": wanted}})
        except KubeApiError as error:
            if error.status != _FORBIDDEN:
                raise
            raise EnvironmentFailed(
                f"there is no namespace {name}, and the caller may not make it",
                evidence={"the cluster said": error.message},
                next_step=f"kubectl create namespace {name}; kubectl label namespace {name} {LABEL_OWNER}={OWNER}",
            ) from error

    def _namespace(self, name: str) -> Mapping[str, Any] | None:
        return self.kube.get("Namespace", name)

    def _present(self, namespace: str) -> set[str]:
        return {
            f"{kind}/{one['metadata']['name']}"
            for kind, version in KINDS
            for one in self.kube.list(kind, namespace, api_version=version)
        }

    def _empty(self, namespace: str, *, keep: set[str]) -> list[str]:
        """Delete what is in a namespace and not to be kept; what of it is still there."""
        found = []
        for kind, version in KINDS:
            for one in self.kube.list(kind, namespace, api_version=version):
                name = str(one["metadata"]["name"])
                if f"{kind}/{name}" in keep:
                    continue
                found.append(f"{kind} {namespace}/{name}")
                if not one["metadata"].get("deletionTimestamp"):
                    self.kube.delete(kind, name, namespace, api_version=version)
        return found

    def _volumes(self, namespaces: set[str], before: Mapping[str, list[str]]) -> set[str]:
        """Names of the volumes that go with the claims that go."""
        found = set()
        for volume in self.kube.list("PersistentVolume"):
            spec = volume.get("spec") or {}
            claim = spec.get("claimRef") or {}
            kept = f"PersistentVolumeClaim/{claim.get('name')}" in before.get(str(claim.get("namespace")), ())
            if (
                claim.get("namespace") in namespaces
                and not kept
                and spec.get("persistentVolumeReclaimPolicy") == "Delete"
            ):
                found.add(str(volume["metadata"]["name"]))
        return found


def _label(found: Mapping[str, Any] | None, name: str) -> str:
    return str(((found or {}).get("metadata") or {}).get("labels", {}).get(name) or "")
