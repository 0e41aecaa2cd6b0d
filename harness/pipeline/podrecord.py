"""What is kept of one pod of a run, from the first event to after its end."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from harness.kubeapi import JsonObject
from harness.model import ContainerImage, Leak, PodEvidence
from harness.pipeline.containerlog import ContainerLog
from harness.pipeline.differences import added_to
from harness.pipeline.gitsync import SIDECAR, checkout_of, sync_fault
from harness.podstate import OVER, Blame, FatalState, fatal_state, parse_time

# Both the executor's and the operator's container of interest has this name (apache-airflow-providers-cncf-kubernetes
# 10.25.0: kubernetes_helper_functions / pod template file of the chart; operators/pod.py BASE_CONTAINER_NAME).
BASE: Final = "base"
_LONGEST_LAST_WORDS: Final = 300
# Called terminated, and yet its program was never begun.
_NEVER_RAN: Final = frozenset({"StartError", "ContainerCannotRun"})
# What a registry says of an image that it does not have or does not give to this client (containerd 2.x,
# core/remotes/docker/resolver.go; OCI distribution specification v1.1, error codes).
_NO_SUCH_IMAGE: Final = re.compile(
    r": not found|manifest unknown|name unknown|repository does not exist|pull access denied|insufficient_scope",
    re.IGNORECASE,
)
_INVALID_IMAGE: Final = "InvalidImageName"


@dataclass(slots=True)
class PodRecord:
    """One pod.

    Attributes:
        pod: The last object seen.
        which: Which one of its name it is in the run, from 1: an operator may give each try's pod the same name.
        deleted: Whether it is gone.
        vanished: Whether it went while nobody looked, so that its last state is not known.
        started: Whether its main container was ever seen to run, or to have run.
        fault: The first fatal state that it was seen in; one that nobody waits out before one that ends by itself.
        image_ids: The last image ID that the kubelet gave for each container that was ever seen to run, or to have run.
        addresses: Those that it had, the last one last.
        logs: By container name.
    """

    pod: JsonObject
    which: int = 1
    deleted: bool = False
    vanished: bool = False
    started: bool = False
    fault: FatalState | None = None
    image_ids: dict[str, str] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    logs: dict[str, ContainerLog] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called here: its name, and from the second pod of that name on which one it is, as "p~2"."""
        name = str(self.pod["metadata"]["name"])
        return name if self.which == 1 else f"{name}~{self.which}"

    def update(self, pod: JsonObject, *, deleted: bool, now: datetime) -> None:
        """Take in a newer object."""
        self.pod = pod
        self.deleted = self.deleted or deleted
        self.fault = self.state(now) or self.fault
        # The kubelet takes it from a pod that has ended, and gives another one with another sandbox.
        address = str((pod.get("status") or {}).get("podIP") or "")
        if address and address not in self.addresses[-1:]:
            self.addresses.append(address)
        for status in self._statuses():
            name, image_id = str(status.get("name")), str(status.get("imageID") or "")
            if name == self._main.get("name"):
                self.started = self.started or _has_started(status)
            # The kubelet drops the ID again in some states; what was once seen stays true of this container.
            if image_id or _has_started(status):
                self.image_ids[name] = image_id or self.image_ids.get(name, "")

    def lose(self) -> None:
        """Take in that it is not there any more, and that nobody saw it go."""
        self.vanished = self.vanished or not self.deleted
        self.deleted = True

    def state(self, now: datetime) -> FatalState | None:
        """The fatal state that counts by now."""
        if self.fault is not None and (self.deleted or self.fault.blame is not Blame.PROGRAM):
            return self.fault
        present = None if self.deleted else fatal_state(self.pod, now=now)
        keeps = self.fault is not None and (present is None or present.blame is Blame.PROGRAM)
        return self.fault if keeps else present

    def hindrance(self, now: datetime, *, provided: Collection[str]) -> tuple[str, bool] | None:
        """Why it does not come to work, and whether that is the DAG's fault; None where it may, or ends by itself.

        Of a task's pod, how its program ended is the task's result and hinders nothing: a next try may do better.
        Secrets, keys and claims are what the DAG names. So is the main container's image, unless the environment
        was to have it; of an image beside it, such as the operator's own for XComs, only what no registry has.

        Args:
            now: The time on the cluster's clock.
            provided: Image references that the environment has put into the node.
        """
        fault = self.state(now)
        if fault is None:
            return None
        if self.role == "executor":
            return fault.text, False
        if fault.blame is Blame.PROGRAM:
            return None
        return fault.text, fault.blame is Blame.DESCRIPTION or (
            fault.blame is Blame.IMAGE and self._names_a_wrong_image(fault, provided)
        )

    def _names_a_wrong_image(self, fault: FatalState, provided: Collection[str]) -> bool:
        image = dict(self._images()).get(fault.container, "")
        if image in provided:
            return False
        if fault.container == self._main.get("name"):
            return True
        return _INVALID_IMAGE in fault.text or _NO_SUCH_IMAGE.search(fault.message) is not None

    def unread(self) -> list[ContainerLog]:
        """Logs that exist by now and that nobody reads yet; each is given out once.

        Of a pod that is gone also those that may exist: what a kubelet had not reported yet, nobody has seen.
        """
        found = {
            str(status.get("name")): _reason(status) not in _NEVER_RAN
            for status in self._statuses()
            if _has_started(status)
        }
        if self.deleted and (self.pod.get("spec") or {}).get("nodeName"):
            for container, _image in self._images():
                found.setdefault(container, False)
        fresh = [ContainerLog(name, certain=certain) for name, certain in found.items() if name not in self.logs]
        self.logs.update({log.container: log for log in fresh})
        return fresh

    def finished(self, container: str) -> datetime | None:
        """When a container ended, on its node's clock; None where it has not, or nobody saw it."""
        for status in self._statuses():
            if status.get("name") == container:
                return parse_time(((status.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        return None

    def ended(self, container: str) -> bool:
        """Whether a container will write nothing more."""
        if self.deleted or (self.pod.get("status") or {}).get("phase") in OVER:
            return True
        return any(
            status.get("name") == container and "terminated" in (status.get("state") or {})
            for status in self._statuses()
        )

    @property
    def settled(self) -> bool:
        """Whether the pod has ended, or never comes to start, and its logs are in."""
        status = self.pod.get("status") or {}
        hopeless = status.get("phase") == "Pending" and self.fault is not None
        over = hopeless or self.deleted or status.get("phase") in OVER
        return over and all(log.complete for log in self.logs.values())

    @property
    def role(self) -> Literal["executor", "task"]:
        """By its label: "task" for the operator's pod, "executor" for the one that runs Airflow's task."""
        return "task" if self._labels.get("kubernetes_pod_operator") == "True" else "executor"

    @property
    def sync_fault(self) -> str | None:
        """Why its git-sync cannot fetch the DAGs, by its log."""
        for container, log in self.logs.items():
            fault = sync_fault(log.lines) if container.startswith(SIDECAR) else None
            if fault is not None:
                metadata = self.pod["metadata"]
                return f"pod {metadata.get('namespace', 'default')}/{metadata['name']}, container {container}: {fault}"
        return None

    def evidence(self) -> PodEvidence:
        """What was seen, as a value."""
        return PodEvidence(
            name=self.name,
            uid=str(self.pod["metadata"].get("uid") or ""),
            task_id=self._task_id,
            role=self.role,
            phase=str((self.pod.get("status") or {}).get("phase") or "Unknown"),
            image=str(self._main.get("image") or ""),
            image_id=self.image_ids.get(str(self._main.get("name")), ""),
            synced_sha=self._synced_sha() if self.role == "executor" else None,
            reason="" if self.fault is None else self.fault.text,
            last_words=self._last_words(),
            added=added_to(self.pod),
            address=self.addresses[-1] if self.addresses else "",
            former_addresses=tuple(self.addresses[:-1]),
            host_network=bool((self.pod.get("spec") or {}).get("hostNetwork")),
            map_index=self._number("map_index", -1),
            try_number=self._number("try_number", 0),
            ran=self._ran,
            unread=tuple(f"{name}: {why}" for name, why in self._unread().items()),
            beside=tuple(
                ContainerImage(name, image, self.image_ids[name])
                for name, image in self._images()
                if name in self.image_ids and name != self._main.get("name")
            ),
            leaks=tuple(Leak(name, log.leaking, log.first_leak) for name, log in self.logs.items() if log.leaking),
        )

    @property
    def _ran(self) -> bool:
        log = self.logs.get(str(self._main.get("name")))
        return self.started or self.vanished or (log is not None and log.count > 0)

    def _unread(self) -> dict[str, str]:
        """Why not all of a log is known, by container."""
        found = {name: log.missing for name, log in self.logs.items() if log.missing}
        found |= {name: "it is still being read" for name, log in self.logs.items() if not log.complete}
        again = {str(one.get("name")): int(one.get("restartCount") or 0) for one in self._statuses()}
        return {name: f"of its {count + 1} logs one was followed" for name, count in again.items() if count} | found

    def _last_words(self) -> str:
        log = self.logs.get(str(self._main.get("name")))
        words = next((line.strip() for line in reversed(log.lines) if line.strip()), "") if log is not None else ""
        return words if len(words) <= _LONGEST_LAST_WORDS else f"{words[: _LONGEST_LAST_WORDS - 3]}..."

    def _synced_sha(self) -> str | None:
        for container, log in self.logs.items():
            if not container.startswith(SIDECAR):
                continue
            for line in reversed(log.lines):
                checkout = checkout_of(line)
                if checkout is not None:
                    return checkout.sha
        return None

    @property
    def _labels(self) -> Mapping[str, Any]:
        return self.pod["metadata"].get("labels") or {}

    @property
    def _task_id(self) -> str:
        # The executor also writes the id as an annotation, where it is never cut or hashed.
        annotations = self.pod["metadata"].get("annotations") or {}
        return str(annotations.get("task_id") or self._labels.get("task_id") or "")

    def _number(self, name: str, default: int) -> int:
        annotations = self.pod["metadata"].get("annotations") or {}
        text = str(annotations.get(name) or self._labels.get(name) or "")
        return int(text) if text.isdecimal() else default

    @property
    def _main(self) -> Mapping[str, Any]:
        containers = (self.pod.get("spec") or {}).get("containers") or [{}]
        return next((container for container in containers if container.get("name") == BASE), containers[0])

    def _images(self) -> list[tuple[str, str]]:
        """Name and image of each container, in the order in which they start."""
        spec = self.pod.get("spec") or {}
        containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
        return [(str(one.get("name")), str(one.get("image"))) for one in containers]

    def _statuses(self) -> Iterator[Mapping[str, Any]]:
        status = self.pod.get("status") or {}
        for kind in ("initContainerStatuses", "containerStatuses"):
            yield from status.get(kind) or ()


def _reason(status: Mapping[str, Any]) -> str:
    return str(((status.get("state") or {}).get("terminated") or {}).get("reason") or "")


def _has_started(status: Mapping[str, Any]) -> bool:
    """Whether a container runs or has run, by its status."""
    state = status.get("state") or {}
    return "running" in state or "terminated" in state or bool(status.get("lastState"))
