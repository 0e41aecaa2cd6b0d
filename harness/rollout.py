"""Whether a workload runs as it was last applied. Pure functions over objects as the API server writes them.

The rules are those of `kubectl rollout status` (Kubernetes v1.34,
`k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go`), plus the pods' own fatal states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.podstate import fatal_reason

Object = Mapping[str, Any]
_HASH = "pod-template-hash"
_REVISION_HASH = "controller-revision-hash"
_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state of a workload.

    Attributes:
        complete: It runs as it was last applied (a Job: it has succeeded).
        description: One line for messages.
        fault: Why it cannot become complete by waiting.
    """

    complete: bool
    description: str
    fault: str | None = None


def selector(workload: Object) -> str:
    """The workload's own label selector as text; empty if it has none."""
    labels = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def judge(
    workload: Object, *, pods: Sequence[Object], replica_sets: Sequence[Object] = (), now: datetime | None = None
) -> Rollout:
    """Judge a Deployment, StatefulSet, DaemonSet or Job.

    Args:
        workload: The object itself.
        pods: The pods that its selector finds.
        replica_sets: For a Deployment, the replica sets that its selector finds.
        now: The time, for states that need to last before they count.

    Raises:
        ValueError: A kind that has no roll-out.
    """
    kind = str(workload.get("kind"))
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    for pod in _newest(kind, workload, pods, replica_sets):
        reason = fatal_reason(pod, now=now)
        if reason is not None:
            return Rollout(complete=False, description=reason, fault=reason)
    if kind == "Job":
        return _job(spec, status)
    if int(status.get("observedGeneration") or 0) < int((workload.get("metadata") or {}).get("generation") or 0):
        return Rollout(complete=False, description="the controller has not yet seen the last change")
    if kind == "Deployment":
        return _deployment(spec, status)
    if kind == "StatefulSet":
        return _stateful_set(spec, status)
    if kind == "DaemonSet":
        wanted = int(status.get("desiredNumberScheduled") or 0)
        return _counts(wanted, _int(status, "updatedNumberScheduled"), _int(status, "numberAvailable"), wanted)
    raise ValueError(f"a {kind} has no roll-out")


def _newest(kind: str, workload: Object, pods: Sequence[Object], replica_sets: Sequence[Object]) -> list[Object]:
    """The pods of the newest revision: those of an older one may well be broken, that is why they are replaced."""
    alive = [pod for pod in pods if not (pod.get("metadata") or {}).get("deletionTimestamp")]
    label, wanted = "", ""
    if kind == "Deployment":
        uid = (workload.get("metadata") or {}).get("uid")
        owned = [s for s in replica_sets if any(o.get("uid") == uid for o in _metadata(s).get("ownerReferences") or ())]
        if owned:
            newest = max(owned, key=lambda s: int((_metadata(s).get("annotations") or {}).get(_REVISION) or 0))
            label, wanted = _HASH, str((_metadata(newest).get("labels") or {}).get(_HASH) or "")
    elif kind == "StatefulSet":
        label, wanted = _REVISION_HASH, str((workload.get("status") or {}).get("updateRevision") or "")
    if not wanted:
        return alive
    return [pod for pod in alive if (_metadata(pod).get("labels") or {}).get(label) == wanted]


def _deployment(spec: Object, status: Object) -> Rollout:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            reason = f"no progress within its deadline: {condition.get('message')}"
            return Rollout(complete=False, description=reason, fault=reason)
    return _counts(
        1 if spec.get("replicas") is None else int(spec["replicas"]),
        _int(status, "updatedReplicas"),
        _int(status, "availableReplicas"),
        _int(status, "replicas"),
    )


def _stateful_set(spec: Object, status: Object) -> Rollout:
    wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
    updated = _int(status, "updatedReplicas")
    if status.get("currentRevision") == status.get("updateRevision"):
        updated = max(updated, _int(status, "currentReplicas"))
    return _counts(wanted, updated, _int(status, "readyReplicas"), _int(status, "replicas"))


def _job(spec: Object, status: Object) -> Rollout:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            reason = f"the job failed: {condition.get('reason')}: {condition.get('message')}"
            return Rollout(complete=False, description=reason, fault=reason)
    wanted = 1 if spec.get("completions") is None else int(spec["completions"])
    done = _int(status, "succeeded")
    return Rollout(complete=done >= wanted, description=f"{done} of {wanted} completed")


def _counts(wanted: int, updated: int, available: int, total: int) -> Rollout:
    complete = updated >= wanted and available >= wanted and total <= wanted
    old = max(total - updated, 0)
    return Rollout(
        complete=complete,
        description=f"{available} of {wanted} available, {updated} updated" + (f", {old} old" if old else ""),
    )


def _metadata(item: Object) -> Object:
    return item.get("metadata") or {}


def _int(status: Object, key: str) -> int:
    return int(status.get(key) or 0)
