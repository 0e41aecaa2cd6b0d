"""Pod states from which no pod recovers by waiting, in words for the reader.

Pure functions over pods as the API server writes them in JSON (camelCase keys); shared by every wait that depends
on pods. Reasons are those of the kubelet and the scheduler (Kubernetes v1.34: `pkg/kubelet/images/types.go`,
`pkg/kubelet/kuberuntime/kuberuntime_container.go`, `pkg/kubelet/container/sync_result.go`,
`pkg/kubelet/eviction/helpers.go`, `k8s.io/api/core/v1/types.go`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

Pod = Mapping[str, Any]

# Phases of a pod that runs no more, and never will again (Kubernetes, "Pod Lifecycle", "Pod phase").
OVER: Final = frozenset({"Succeeded", "Failed"})


class Blame(Enum):
    """What a fatal state is about, so that whoever knows the pod's role can say whose fault it is.

    Attributes:
        PLACE: The node, the scheduler, the container runtime: not what the pod asks for.
        IMAGE: An image that cannot be had.
        DESCRIPTION: What else the pod names: a secret, a config map, a key, a claim. Nobody but its author can mend it.
        PROGRAM: A container was started and ended, or was ended; where it is not started again, the pod is over.
    """

    PLACE = "place"
    IMAGE = "image"
    DESCRIPTION = "description"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class FatalState:
    """A state from which a pod does not come to work by waiting.

    Attributes:
        text: What it is, in a sentence, with advice.
        blame: What it is about.
        container: The container that it was seen at; empty for the pod as a whole.
        message: What the kubelet or the scheduler said.
    """

    text: str
    blame: Blame
    container: str = ""
    message: str = ""


_IMAGE: Final = "see that the image is in the node or can be pulled from it: name, tag and platform must match"
_WAITING: Final[Mapping[str, str]] = {
    "ErrImagePull": _IMAGE,
    "ImagePullBackOff": _IMAGE,
    "ErrImageNeverPull": "the pull policy is Never and the image is not in the node: load it, or use IfNotPresent",
    "InvalidImageName": "correct the image reference",
    "ImageInspectError": "the image in the node is damaged: load it again",
    "RegistryUnavailable": "the registry did not answer: see its address and the node's way there",
    "CreateContainerConfigError": "see that every secret, config map and key that the container names exists",
    "CreateContainerError": "see the pod's events: the container runtime refused the container",
    "RunContainerError": "see the pod's events: the container runtime could not start the container",
    "CrashLoopBackOff": "see the previous log of that container for why it ends",
}
_ABOUT_IMAGES: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_ABOUT_THE_DESCRIPTION: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})
# The kubelet tries to start such a container again only where the pod's restart policy says so.
_ABOUT_THE_PROGRAM: Final = frozenset({"RunContainerError", "CrashLoopBackOff"})
# The container runtime is too busy; the kubelet asks again (containerd 2.x, internal/cri/server/container_create.go).
_BUSY_RUNTIME: Final = ("deadline exceeded", "failed to reserve container name")
_NO_CLAIM: Final = "persistentvolumeclaim "
_TERMINATED: Final[Mapping[str, str]] = {
    "OOMKilled": "raise the container's memory limit, or use less memory",
    "StartError": "see that the command exists in the image and may be executed",
    "ContainerCannotRun": "see that the command exists in the image and may be executed",
}
_POD_FAILED: Final[Mapping[str, str]] = {
    "Evicted": "the node ran out of disk or memory: free some, or lower what runs beside it",
    "NodeAffinity": "the pod's node selector or affinity does not fit its node",
    "UnexpectedAdmissionError": "see the pod's message: the node refused it",
    "NodeShutdown": "the node was shut down",
}
_OUT_OF: Final = "OutOf"  # OutOfcpu, OutOfmemory, OutOfpods: the kubelet refused the pod
# A scheduler says "unschedulable" also while a node is still starting; that passes by itself.
_PASSING_TAINTS: Final = (
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "no nodes available to schedule pods",
)
# The kubelet waits one second for its own copy of a ConfigMap or Secret, then says that the container cannot be made,
# and tries again: on a busy node that passes (Kubernetes v1.34: `pkg/kubelet/util/manager/watch_based_manager.go`).
_PASSING_MESSAGE: Final = "failed to sync "
UNSCHEDULABLE_GRACE: Final = timedelta(seconds=20)
# What lacks CPU or memory gets them once what runs beside it ends: the old pods of a roll-out, tasks of the same run.
# On two processors an upgrade of every part of Airflow needs more than 20 s of it.
_NO_ROOM: Final = "Insufficient "
NO_ROOM_GRACE: Final = timedelta(seconds=90)


def fatal_reason(pod: Pod, *, now: datetime | None = None) -> str | None:
    """Why this pod cannot come to work by waiting, with advice; None while it still can. Arguments as `fatal_state`."""
    found = fatal_state(pod, now=now)
    return None if found is None else found.text


def fatal_state(pod: Pod, *, now: datetime | None = None) -> FatalState | None:
    """The state from which this pod does not come to work by waiting; None while it still may.

    Args:
        pod: The pod as the API server writes it.
        now: The time on the cluster's clock. When given, "unschedulable" counts only after `UNSCHEDULABLE_GRACE`,
            for a claim may just be binding or an autoscaler be adding a node, or after `NO_ROOM_GRACE` where room is
            what it lacks; when None it counts at once.
    """
    name = pod_name(pod)
    status: Mapping[str, Any] = pod.get("status") or {}
    whole = str(status.get("reason") or "")
    if status.get("phase") == "Failed" and (whole in _POD_FAILED or whole.startswith(_OUT_OF)):
        advice = _POD_FAILED.get(whole, "the node has not enough of that: lower the pod's requests or what runs beside")
        said = str(status.get("message") or "")
        return FatalState(_sentence(f"pod {name}", whole, said, advice), Blame.PLACE, message=said)
    for container, state in _container_states(status):
        where = f"pod {name}, container {container}"
        reason, message = str(state.get("reason") or ""), str(state.get("message") or "")
        if reason == "CreateContainerConfigError" and message.startswith(_PASSING_MESSAGE):
            continue
        if reason in _WAITING:
            text = _sentence(where, reason, message or _how_it_ended(status, container), _WAITING[reason])
            return FatalState(text, _blame(reason, message), container, message)
        if reason in _TERMINATED:
            text = _sentence(where, reason, message, _TERMINATED[reason])
            return FatalState(text, Blame.PROGRAM, container, message)
    return _unschedulable(pod, name, status, now)


def pod_name(pod: Pod) -> str:
    """The pod's name with its namespace, such as `airflow/dvc-pull-x1`."""
    metadata: Mapping[str, Any] = pod.get("metadata") or {}
    return f"{metadata.get('namespace', 'default')}/{metadata.get('name', '?')}"


def parse_time(text: object) -> datetime | None:
    """An API time (RFC 3339, such as `2026-01-31T12:00:00Z`, with any number of fraction digits), or None.

    Python 3.11's own parser takes at most six digits; the kubelet writes nine.
    """
    if not isinstance(text, str) or not text:
        return None
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _container_states(status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(container, state) of every container that waits or has ended, the present state before the last one."""
    for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(kind) or ():
            name = str(container.get("name", "?"))
            state = container.get("state") or {}
            for phase in ("waiting", "terminated"):
                if state.get(phase):
                    yield name, state[phase]
            last = (container.get("lastState") or {}).get("terminated")
            if last and not container.get("ready"):
                yield name, last


def _how_it_ended(status: Mapping[str, Any], container: str) -> str:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for found in status.get(kind) or ():
            last = (found.get("lastState") or {}).get("terminated")
            if found.get("name") == container and last:
                return f"it ended with exit code {last.get('exitCode')} ({last.get('reason') or 'no reason given'})"
    return ""


def _blame(reason: str, message: str) -> Blame:
    if reason in _ABOUT_IMAGES:
        return Blame.IMAGE
    if reason in _ABOUT_THE_PROGRAM:
        return Blame.PROGRAM
    if reason in _ABOUT_THE_DESCRIPTION and not any(busy in message for busy in _BUSY_RUNTIME):
        return Blame.DESCRIPTION
    return Blame.PLACE


def _unschedulable(pod: Pod, name: str, status: Mapping[str, Any], now: datetime | None) -> FatalState | None:
    if status.get("phase") not in (None, "Pending") or (pod.get("metadata") or {}).get("deletionTimestamp"):
        return None
    for condition in status.get("conditions") or ():
        if condition.get("type") != "PodScheduled" or condition.get("status") != "False":
            continue
        message = str(condition.get("message") or "")
        if condition.get("reason") != "Unschedulable" or any(taint in message for taint in _PASSING_TAINTS):
            return None
        since = parse_time(condition.get("lastTransitionTime"))
        if now is not None and since is not None and now - since < _grace(message):
            return None
        if _NO_CLAIM in message and "not found" in message:
            text = _sentence(f"pod {name}", "Unschedulable", message, "correct the claim's name, or create the claim")
            return FatalState(text, Blame.DESCRIPTION, message=message)
        advice = "see the node's free CPU, memory, taints and volumes"
        return FatalState(_sentence(f"pod {name}", "Unschedulable", message, advice), Blame.PLACE, message=message)
    return None


def _grace(message: str) -> timedelta:
    return NO_ROOM_GRACE if _NO_ROOM in message else UNSCHEDULABLE_GRACE


def _sentence(where: str, reason: str, message: str, advice: str) -> str:
    said = f": {message.strip()}" if message.strip() else ""
    return f"{where}: {reason}{said} ({advice})"
