"""What is kept of one pod of a run, from the first event to after its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from harness.kubeapi import JsonObject
from harness.model import PodEvidence
from harness.pipeline.gitsync import SIDECAR, checkout_of, sync_fault
from harness.podstate import fatal_reason

# Both the executor's and the operator's container of interest has this name (apache-airflow-providers-cncf-kubernetes
# 10.25.0: kubernetes_helper_functions / pod template file of the chart; operators/pod.py BASE_CONTAINER_NAME).
BASE: Final = "base"
_KEPT_LINES: Final = 5000
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True)
class ContainerLog:
    """The log of one container instance.

    Attributes:
        container: Its name.
        lines: The last lines, redacted.
        count: How many lines there were.
        complete: Whether the reading has ended.
    """

    container: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    count: int = 0
    complete: bool = False

    def add(self, position: int, line: str) -> bool:
        """Keep the line at a position (from 1) of a log that may be read again from its start; False if known."""
        if position <= self.count:
            return False
        self.count = position
        self.lines.append(line)
        return True


@dataclass(slots=True)
class PodRecord:
    """One pod.

    Attributes:
        pod: The last object seen.
        deleted: Whether it is gone.
        fault: The first fatal state that it was seen in.
        image_id: The last image ID that the kubelet gave for its main container.
        logs: By container name.
    """

    pod: JsonObject
    deleted: bool = False
    fault: str | None = None
    image_id: str = ""
    logs: dict[str, ContainerLog] = field(default_factory=dict)

    def update(self, pod: JsonObject, *, deleted: bool, now: datetime) -> None:
        """Take in a newer object."""
        self.pod = pod
        self.deleted = self.deleted or deleted
        self.fault = self.fault or fatal_reason(pod, now=now)
        for status in self._statuses():
            # The kubelet drops the ID again in some states; what was once seen stays true of this container.
            if status.get("name") == self._main.get("name") and status.get("imageID"):
                self.image_id = str(status["imageID"])

    def unread(self) -> list[ContainerLog]:
        """Logs that exist by now and that nobody reads yet; each is given out once."""
        fresh = []
        for status in self._statuses():
            name, state = str(status.get("name")), status.get("state") or {}
            if name not in self.logs and ("running" in state or "terminated" in state):
                self.logs[name] = ContainerLog(name)
                fresh.append(self.logs[name])
        return fresh

    def ended(self, container: str) -> bool:
        """Whether a container will write nothing more."""
        if self.deleted or (self.pod.get("status") or {}).get("phase") in _FINISHED:
            return True
        return any(
            status.get("name") == container and "terminated" in (status.get("state") or {})
            for status in self._statuses()
        )

    @property
    def settled(self) -> bool:
        """Whether the pod has ended and its logs are in."""
        over = self.deleted or (self.pod.get("status") or {}).get("phase") in _FINISHED
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
            name=str(self.pod["metadata"]["name"]),
            task_id=self._task_id,
            role=self.role,
            phase=str((self.pod.get("status") or {}).get("phase") or "Unknown"),
            image=str(self._main.get("image") or ""),
            image_id=self.image_id,
            synced_sha=self._synced_sha() if self.role == "executor" else None,
        )

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

    @property
    def _main(self) -> Mapping[str, Any]:
        containers = (self.pod.get("spec") or {}).get("containers") or [{}]
        return next((container for container in containers if container.get("name") == BASE), containers[0])

    def _statuses(self) -> Iterator[Mapping[str, Any]]:
        status = self.pod.get("status") or {}
        for kind in ("initContainerStatuses", "containerStatuses"):
            yield from status.get(kind) or ()
