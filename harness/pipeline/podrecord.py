"""What is kept of one pod of a run, from the first event to after its end."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from harness.kubeapi import JsonObject
from harness.model import Leak, PodEvidence
from harness.pipeline.differences import added_to
from harness.pipeline.gitsync import SIDECAR, checkout_of, sync_fault
from harness.podstate import Blame, FatalState, fatal_state

# Both the executor's and the operator's container of interest has this name (apache-airflow-providers-cncf-kubernetes
# 10.25.0: kubernetes_helper_functions / pod template file of the chart; operators/pod.py BASE_CONTAINER_NAME).
BASE: Final = "base"
_KEPT_LINES: Final = 5000
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_LONGEST_LAST_WORDS: Final = 300
# What a registry says of an image that it does not have or does not give to this client (containerd 2.x,
# core/remotes/docker/resolver.go; OCI distribution specification v1.1, error codes).
_NO_SUCH_IMAGE: Final = re.compile(
    r": not found|manifest unknown|name unknown|repository does not exist|pull access denied|insufficient_scope",
    re.IGNORECASE,
)
_INVALID_IMAGE: Final = "InvalidImageName"


@dataclass(slots=True)
class ContainerLog:
    """The log of one container instance.

    Attributes:
        container: Its name.
        lines: The last lines, redacted.
        count: How many lines there were.
        complete: Whether the reading has ended.
        leaking: How many lines held a secret.
        first_leak: Position of the first of them; 0 if there is none.
    """

    container: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    count: int = 0
    complete: bool = False
    leaking: int = 0
    first_leak: int = 0

    def add(self, position: int, line: str, *, secrets: int = 0) -> bool:
        """Keep a redacted line at a position (from 1) of a log that may be read again from its start; False if known.

        Args:
            position: Of the line.
            line: It, without the secrets that stood in it.
            secrets: How many those were.
        """
        if position <= self.count:
            return False
        self.count = position
        self.lines.append(line)
        if secrets:
            self.leaking += 1
            self.first_leak = self.first_leak or position
        return True


@dataclass(slots=True)
class PodRecord:
    """One pod.

    Attributes:
        pod: The last object seen.
        deleted: Whether it is gone.
        fault: The first fatal state that it was seen in; one that nobody waits out before one that ends by itself.
        image_id: The last image ID that the kubelet gave for its main container.
        address: The last address that it had.
        logs: By container name.
    """

    pod: JsonObject
    deleted: bool = False
    fault: FatalState | None = None
    image_id: str = ""
    address: str = ""
    logs: dict[str, ContainerLog] = field(default_factory=dict)

    def update(self, pod: JsonObject, *, deleted: bool, now: datetime) -> None:
        """Take in a newer object."""
        self.pod = pod
        self.deleted = self.deleted or deleted
        self.fault = self.state(now) or self.fault
        # The kubelet takes it from a pod that has ended.
        self.address = str((pod.get("status") or {}).get("podIP") or self.address)
        for status in self._statuses():
            # The kubelet drops the ID again in some states; what was once seen stays true of this container.
            if status.get("name") == self._main.get("name") and status.get("imageID"):
                self.image_id = str(status["imageID"])

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
        spec = self.pod.get("spec") or {}
        containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        image = next((str(one.get("image")) for one in containers if one.get("name") == fault.container), "")
        if image in provided:
            return False
        if fault.container == self._main.get("name"):
            return True
        return _INVALID_IMAGE in fault.text or _NO_SUCH_IMAGE.search(fault.message) is not None

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
        """Whether the pod has ended, or never comes to start, and its logs are in."""
        status = self.pod.get("status") or {}
        hopeless = status.get("phase") == "Pending" and self.fault is not None
        over = hopeless or self.deleted or status.get("phase") in _FINISHED
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
            reason="" if self.fault is None else self.fault.text,
            last_words=self._last_words(),
            added=added_to(self.pod),
            address=self.address,
            leaks=tuple(Leak(name, log.leaking, log.first_leak) for name, log in self.logs.items() if log.leaking),
        )

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

    @property
    def _main(self) -> Mapping[str, Any]:
        containers = (self.pod.get("spec") or {}).get("containers") or [{}]
        return next((container for container in containers if container.get("name") == BASE), containers[0])

    def _statuses(self) -> Iterator[Mapping[str, Any]]:
        status = self.pod.get("status") or {}
        for kind in ("initContainerStatuses", "containerStatuses"):
            yield from status.get(kind) or ()
