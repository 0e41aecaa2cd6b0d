"""Reads the logs of a run's pods to their ends, and says so where it cannot.

A log goes with its pod, and the operator deletes its pod as soon as it is over. So each is followed from the start of
its container. Where the pod is gone before that has come to an end, the node still has the file for a while.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

from harness.kubeapi import KubeApiError, KubeUnavailable, LogStream
from harness.pipeline.containerlog import ContainerLog
from harness.pipeline.podrecord import PodRecord
from harness.pipeline.readers import Readers
from harness.redaction import LineRedactor, Redactor

_log = logging.getLogger(__name__)
OnLine = Callable[[str, str, str], None]

_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403
# By the cluster or by its kubelet; the rule where a cluster is not the harness's own.
_NOT_ALLOWED: Final = "unread: forbidden, for this user may not get nodes/proxy"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# Of a container that has ended and whose log is not given out all the same: as long as a kubelet may take to find it.
_MOST_REFUSALS: Final = 7
# Without an answer; with the pauses between them half a minute.
_NODE_ATTEMPTS: Final = 10
# Between this machine's clock and a node's, and for a time that is given in whole seconds.
_CLOCKS: Final = timedelta(seconds=2)
# What a kubelet writes in place of a log that it has not, after it has said that all is well (Kubernetes v1.34,
# kuberuntime/kuberuntime_container.go, `GetContainerLogs`; cri-client v0.34, logs/logs.go, `ReadLogs`).
_NO_LOG: Final = re.compile(
    r"unable to retrieve container logs for |failed to try resolving symlinks in path ", re.IGNORECASE
)
# One line of the file: time, stream, F for a whole line or P for a part of one, text (Kubernetes v1.34, the same).
_CRI_LINE: Final = re.compile(r"\S+ (?:stdout|stderr) ([FP])(?::\S+)? (.*)", re.DOTALL)
_LINKS: Final = re.compile(r'href="(?:[^"]*/)?([^"/]+)"')


class LogSource(Protocol):
    """What of `KubeApi` is needed."""

    def follow_logs(self, pod: str, container: str, *, namespace: str) -> LogStream:
        """See `KubeApi.follow_logs`."""

    def node_log(self, node: str, path: str) -> str:
        """See `KubeApi.node_log`."""


class LogReader:
    """Reads logs, each in a thread.

    Args:
        kube: The cluster.
        namespace: Of the pods.
        redactor: Applied to every line before it is kept or passed on.
        on_line: Called with (pod, container, line) for each line as it appears, from a thread of its own.
        readers: Whose threads these are.
        lock: Guards records and logs.
        now: The time.
    """

    def __init__(
        self,
        kube: LogSource,
        namespace: str,
        *,
        redactor: Redactor,
        on_line: OnLine,
        readers: Readers,
        lock: threading.Lock,
        now: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._redactor = redactor
        self._on_line = on_line
        self._readers = readers
        self._lock = lock
        self._now = now

    def spawn(self, record: PodRecord, log: ContainerLog) -> None:
        """Read one container's log in a thread of its own; it is complete at the end, or says why not."""
        self._readers.spawn(f"log of {record.name}/{log.container}", partial(self._read, record, log))

    def _read(self, record: PodRecord, log: ContainerLog) -> None:
        trouble = self._followed(record, log)
        missing = self._read_on_node(record, log, trouble) if trouble else ""
        if self._readers.stopping and trouble:
            return  # nobody waits for it any more, so it stays as it is: not complete
        with self._lock:
            log.missing = log.missing or missing
            log.complete = True

    def _followed(self, record: PodRecord, log: ContainerLog) -> str:
        """Follow a log to its end, over broken streams; why it came to none, where its pod was gone first."""
        pause = _FIRST_PAUSE
        trouble, read_at, refusals = f"pod {record.name} was gone before it was read", None, 0
        while not self._readers.stopping:
            gone = False
            with self._lock:
                # A log is asked for by the pod's name, which another one may have by now.
                if record.deleted:
                    return "" if _covers(read_at, record, log.container) else trouble
            try:
                self._read_once(record, log)
                read_at = self._now()
            except KubeApiError as error:
                # 400: the container is not there yet. 404: the pod is gone, or its log is. Without an answer, and with
                # a stream that broke off, it is read again from its start.
                _log.debug("log of %s/%s: %s", record.name, log.container, error.message)
                trouble, gone = error.message, error.status == _NOT_FOUND
                refusals += not isinstance(error, KubeUnavailable) and record.ended(log.container)
            with self._lock:
                if _covers(read_at, record, log.container):
                    return ""
                if (gone and record.ended(log.container)) or refusals >= _MOST_REFUSALS:
                    return trouble
            self._readers.pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return trouble

    def _read_once(self, record: PodRecord, log: ContainerLog) -> None:
        stream = self._kube.follow_logs(record.pod["metadata"]["name"], log.container, namespace=self._namespace)
        held: str | None = None
        position, lines = 0, LineRedactor(self._redactor)
        with self._readers.opened(stream):
            for raw in stream.lines():
                if held is not None:
                    position += 1
                    self._add(record, log, position, lines, held)
                    held = None
                if _NO_LOG.match(raw):
                    held = raw  # no line of the log, if it is the last one
                    continue
                position += 1
                self._add(record, log, position, lines, raw)
        if held is not None:
            raise KubeApiError(held, status=_NOT_FOUND)

    def _add(self, record: PodRecord, log: ContainerLog, position: int, lines: LineRedactor, raw: str) -> None:
        line, secrets = lines.examined(raw)
        with self._lock:
            new = log.add(position, raw, line, secrets=secrets)
        if new:
            self._on_line(record.name, log.container, line)

    def _read_on_node(self, record: PodRecord, log: ContainerLog, trouble: str) -> str:
        """Read the file that the node may still have; why that was not possible.

        The file is whole: a pod leaves the API server when its containers have ended.
        """
        pause = _FIRST_PAUSE
        why = ""
        for _ in range(_NODE_ATTEMPTS):
            if self._readers.stopping:
                break
            lines = LineRedactor(self._redactor)
            try:
                for position, raw in enumerate(left_on_node(self._kube, record.pod, log.container), 1):
                    self._add(record, log, position, lines, raw)
            except KubeUnavailable as error:
                why = error.message
            except KubeApiError as error:
                why = _NOT_ALLOWED if error.status == _FORBIDDEN else error.message
                break
            else:
                return ""
            self._readers.pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        # A container that nobody saw start, of a pod that was seen to the last, has not started.
        return f"{trouble}; and on its node: {why}" if log.certain or record.vanished else ""


def left_on_node(kube: LogSource, pod: Mapping[str, Any], container: str) -> list[str]:
    """The lines of a container's log as its node still has them, though the pod may be gone.

    A kubelet gives out what lies below /var/log (KubeletConfiguration, `enableSystemLogHandler`, on by default), and
    removes the logs of a pod that is gone once a minute (Kubernetes v1.34, kuberuntime/kuberuntime_gc.go).

    Raises:
        KubeApiError: It is not there any more, in several files, or never was.
        KubeUnavailable: The node does not answer.
    """
    metadata, node = pod["metadata"], str((pod.get("spec") or {}).get("nodeName") or "")
    if not node:
        raise KubeApiError("the pod came to no node", status=_NOT_FOUND)
    name, uid = metadata["name"], metadata.get("uid")
    folder = f"pods/{metadata.get('namespace', 'default')}_{name}_{uid}/{container}/"
    files = _LINKS.findall(kube.node_log(node, folder))
    if files != ["0.log"]:
        raise KubeApiError(f"its log lies in {len(files)} files: {', '.join(files)}", status=0)
    return list(_lines(kube.node_log(node, f"{folder}0.log")))


def _lines(text: str) -> Iterator[str]:
    """The lines that a container wrote, from the file that its runtime makes of them."""
    part = ""
    for raw in text.split("\n"):
        match = _CRI_LINE.fullmatch(raw)
        if match is None:
            continue  # behind the last line feed, or a line that is not written to its end
        part += match[2]
        if match[1] == "F":
            yield part
            part = ""
    if part:
        yield part


def _covers(read_at: datetime | None, record: PodRecord, container: str) -> bool:
    """Whether a reading that came to its end at that time is of all that the container wrote."""
    if read_at is None or not record.ended(container):
        return False
    finished = record.finished(container)
    # A stream also ends where a kubelet goes away, and the container then writes on.
    return not record.vanished if finished is None else finished <= read_at + _CLOCKS
