"""Follows the pods of one DAG run from before it is triggered: their states, images and logs.

Pods of a run are short-lived: the operator deletes its pod, the executor its own, and the log goes with them. So a
thread watches them, and for each container that starts another one reads its log as it is written. What is kept is
redacted first.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Protocol, Self

from harness.errors import EnvironmentFailed, WaitTimeout
from harness.kubeapi import JsonObject, KubeApiError, KubeUnavailable, LogStream
from harness.model import PodEvidence
from harness.pipeline.podlogs import LogReader, LogSource, OnLine
from harness.pipeline.podrecord import PodRecord
from harness.pipeline.readers import Readers
from harness.redaction import Redactor
from harness.wait import Waiter

_log = logging.getLogger(__name__)

_WATCH_SECONDS: Final = 60
_GONE: Final = 410
# What an API server that has just started says of everybody, until it has read its roles and keys again.
_NOT_YET: Final = frozenset({401, 403})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# About a minute and a half without an answer; whoever waits for the run has its own, shorter patience.
_MOST_FAILURES: Final = 20


class PodSource(LogSource, Protocol):
    """What of `KubeApi` the follower needs."""

    def list_with_version(self, kind: str, namespace: str, *, labels: str) -> tuple[list[JsonObject], str]:
        """See `KubeApi.list_with_version`."""

    def watch(self, kind: str, namespace: str, *, labels: str, resource_version: str, seconds: int) -> LogStream:
        """See `KubeApi.watch`."""


class PodFollower:
    """Follows every pod with the label `run_id=<run id>` in one namespace.

    Use it as a context manager around the trigger: entering returns once the first list is in, so that no pod of
    the run can be missed; leaving stops its threads.

    Args:
        kube: The cluster.
        namespace: Where the run's pods are.
        run_id: Of the run; must be of the form that pods carry unchanged (`runids.checked_run_id`).
        redactor: Applied to every line before it is kept or passed on.
        on_line: Called with (pod, container, line) for each line as it appears, from a thread of its own.
        provided: Image references that the environment has put into the node: that one of them cannot be had is not
            the DAG's fault.
        now: The time, for states that need to last before they count.

    Attributes:
        gaps: How often the watch could not go on where it had ended: pods may have come and gone in between.
    """

    def __init__(
        self,
        kube: PodSource,
        namespace: str,
        run_id: str,
        *,
        redactor: Redactor,
        on_line: OnLine = lambda _pod, _container, _line: None,
        provided: Collection[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.namespace = namespace
        self.run_id = run_id
        self._kube = kube
        self._selector = f"run_id={run_id}"
        self._provided = frozenset(provided)
        self._now = now
        self._lock = threading.Lock()
        self._readers = Readers(f"the pods of {run_id}")
        self._logs = LogReader(
            kube, namespace, redactor=redactor, on_line=on_line, readers=self._readers, lock=self._lock, now=now
        )
        # By UID: a pod may bear the name of one that is gone.
        self._pods: dict[str, PodRecord] = {}
        self._failures = 0
        self.gaps = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """List the run's pods, then follow them in the background.

        Raises:
            KubeApiError: The list was refused, or the API server does not answer.
        """
        version = self._relist()
        self._readers.spawn(f"pods of {self.run_id}", lambda: self._follow(version))

    def stop(self) -> None:
        """End all threads, also those that are blocked in a read; what was seen stays available."""
        self._readers.stop()

    def check(self) -> None:
        """Raise what ended the following early, if anything did.

        Raises:
            EnvironmentFailed: The pods are not followed any more.
        """
        error = self._readers.error
        if error is not None:
            raise EnvironmentFailed(
                f"the pods of run {self.run_id} could not be followed: {error}",
                next_step="see that the API server is well and that the user may list and watch pods and their logs",
            ) from error

    def evidence(self) -> dict[str, PodEvidence]:
        """What was seen of each pod so far, by pod name, also of pods that are gone.

        The second pod of one name is "name~2" here and wherever the follower names a pod, the third "name~3".
        """
        with self._lock:
            return {name: record.evidence() for name, record in sorted(self._named())}

    def manifests(self) -> dict[str, JsonObject]:
        """The last object seen of each pod, by pod name; for the evidence folder, not redacted."""
        with self._lock:
            return {name: record.pod for name, record in self._named()}

    def logs(self, pod: str) -> dict[str, tuple[str, ...]]:
        """The last lines of each container of a pod, redacted, by container name."""
        with self._lock:
            record = dict(self._named()).get(pod)
            return {} if record is None else {name: tuple(log.lines) for name, log in record.logs.items()}

    def fatal(self) -> Mapping[str, str]:
        """Why the environment let a pod not come to work, by pod name, also for pods that were deleted since."""
        found = {}
        with self._lock:
            for name, record in self._named():
                # What git-sync says before what became of its container: the first cause first.
                reason = record.sync_fault
                hindrance = record.hindrance(self._now(), provided=self._provided)
                if reason is None and hindrance is not None and not hindrance[1]:
                    reason = hindrance[0]
                if reason is not None:
                    found[name] = reason
        return found

    def doomed(self) -> Mapping[str, str]:
        """Why a task's pod never comes to work for what the DAG names in it: an image, a secret, a key, a claim.

        By pod name, as `fatal`; `PodRecord.hindrance` has the rules. How a task's program ended is in neither.
        """
        with self._lock:
            hindrances = {
                name: record.hindrance(self._now(), provided=self._provided) for name, record in self._named()
            }
        return {name: found[0] for name, found in hindrances.items() if found is not None and found[1]}

    def unsettled(self) -> tuple[str, ...]:
        """The pods that have not ended yet, or whose logs are not in, each with its phase."""
        with self._lock:
            return tuple(
                f"{name} ({record.evidence().phase})" for name, record in sorted(self._named()) if not record.settled
            )

    def settle(self, waiter: Waiter, *, timeout: float = 20.0) -> bool:
        """Wait until every pod seen has ended and its logs are in; False if that took too long.

        Raises:
            EnvironmentFailed: The pods are not followed any more.
        """

        def unsettled() -> tuple[str, ...]:
            self.check()
            return self.unsettled()

        try:
            waiter.until(
                f"the pods of run {self.run_id} to end",
                unsettled,
                ready=lambda names: not names,
                describe=lambda names: ", ".join(names) or "all have ended",
                timeout=timeout,
                interval=0.2,
            )
        except WaitTimeout:
            return False
        return True

    def _named(self) -> list[tuple[str, PodRecord]]:
        """The pods by what they are called here; to be asked for with the lock held."""
        return [(record.name, record) for record in self._pods.values()]

    # What follows runs in threads.

    def _follow(self, version: str) -> None:
        current: str | None = version
        while not self._readers.stopping:
            try:
                if current is None:
                    self.gaps += 1
                    current = self._relist()
                current = self._watch(current)
                self._failures = 0
            except KubeApiError as error:
                if error.status == _GONE:
                    current = None  # the version is too old to watch from
                    continue
                # Asked again from where it was: the API server has kept what happened since, for minutes.
                self._failures += 1
                passing = isinstance(error, KubeUnavailable) or error.status in _NOT_YET
                if not passing or self._failures >= _MOST_FAILURES:
                    raise
                _log.debug("pods of %s: %s", self.run_id, error.message)
                self._readers.pause(min(_FIRST_PAUSE * 2.0**self._failures, _LONGEST_PAUSE))

    def _relist(self) -> str:
        pods, version = self._kube.list_with_version("Pod", self.namespace, labels=self._selector)
        present = {str(pod["metadata"]["uid"]) for pod in pods}
        for pod in pods:
            self._seen(pod)
        with self._lock:
            lost = [record for uid, record in self._pods.items() if uid not in present]
            for record in lost:
                record.lose()
            fresh = [(record, log) for record in lost for log in record.unread()]
        for one in fresh:
            self._logs.spawn(*one)
        return version

    def _watch(self, version: str) -> str | None:
        """Watch once; where to go on watching, or None to list again."""
        stream = self._kube.watch(
            "Pod", self.namespace, labels=self._selector, resource_version=version, seconds=_WATCH_SECONDS
        )
        with self._readers.opened(stream):
            try:
                for line in stream.lines():
                    event = _event(line)  # half a line is a stream that broke off
                    if event is None:
                        return None
                    kind, item = event
                    version = str(item["metadata"]["resourceVersion"])
                    if kind != "BOOKMARK":
                        self._seen(item, deleted=kind == "DELETED")
            except KubeUnavailable as error:
                # Broken off: go on where it ended.
                _log.debug("pods of %s: %s", self.run_id, error.message)
                self._readers.pause(_FIRST_PAUSE)
        return version

    def _seen(self, pod: JsonObject, *, deleted: bool = False) -> None:
        uid, name = str(pod["metadata"]["uid"]), pod["metadata"]["name"]
        with self._lock:
            record = self._pods.get(uid)
            if record is None:
                which = 1 + sum(other.pod["metadata"]["name"] == name for other in self._pods.values())
                record = self._pods[uid] = PodRecord(pod, which)
            record.update(pod, deleted=deleted, now=self._now())
            fresh = record.unread()
        for log in fresh:
            self._logs.spawn(record, log)


def _event(line: str) -> tuple[str, JsonObject] | None:
    """Kind and object of a line of a watch; None for an error, where only a new list helps.

    Raises:
        KubeUnavailable: It is half a line.
    """
    try:
        event = json.loads(line)
    except ValueError as error:
        raise KubeUnavailable(f"a watch broke off within a line: {error}", status=0) from error
    if event.get("type") == "ERROR":
        _log.debug("watch of pods: %s", event.get("object"))
        return None
    return str(event["type"]), event["object"]
