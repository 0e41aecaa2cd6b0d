"""What is known of a failure, flattened into observations that a cause can be recognised in.

Pods, claims and events are the API server's JSON (camelCase keys).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

from harness.diagnostics.kube import event_time
from harness.errors import HarnessError, WaitFailed, WaitTimeout
from harness.model import BlockedEgress
from harness.podstate import parse_time

JsonObject = Mapping[str, Any]
# A cause is looked for in the end of a log: what ended a program stands there.
_LOG_TAIL: Final = 200_000
_MOST_ERRORS: Final = 30
_MACHINERY: Final = "kube-system/"
# The kubelet's reason while it waits before it starts a container once more.
_LOOP: Final = "CrashLoopBackOff"
# Airflow asks a pod that is gone for its log, says that its name cannot be resolved, and shows the log it has.
_HARMLESS: Final = re.compile(r"^.*could not read served logs.*$", re.IGNORECASE | re.MULTILINE)


class Source(IntEnum):
    """Where an observation comes from; the smaller, the closer to what ended the run.

    `TRAFFIC` is what was blocked of a pod that does not work: many programs try to call out and do well without.
    `ASIDE` is the log of a pod that works, and what was blocked of it: it may know something, and mostly complains of
    something else.
    """

    ERROR = 0
    STATE = 1
    EVENT = 2
    LOG = 3
    TRAFFIC = 4
    ASIDE = 5


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was seen.

    Attributes:
        source: Where it comes from.
        where: The object it was seen at, for the reader.
        reason: Its one-word reason: of a container state, of an event, or the type of an exception.
        text: What it said, any number of lines.
    """

    source: Source
    where: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a diagnosis may draw on; every part may be empty.

    Attributes:
        error: What ended the run.
        pods: Of the namespaces in use.
        events: Likewise.
        claims: PersistentVolumeClaims, likewise.
        logs: Log text by where it comes from, such as "pod airflow/x, container git-sync" or "task push_data".
        blocked: What pods tried to reach outside the cluster, and were kept from.
    """

    error: BaseException | None = None
    pods: Sequence[JsonObject] = ()
    events: Sequence[JsonObject] = ()
    claims: Sequence[JsonObject] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    blocked: Sequence[BlockedEgress] = ()

    def since(self, began: datetime) -> Evidence:
        """Without what is no cause of what failed now, though it stands in the cluster.

        On a kept one that are the pods of DAG runs before then, with their logs; and of everything that works now, what
        was said before then. What does not work now may have said why long ago. The logs of Kubernetes' own parts,
        which always complain of something, count only where such a part does not work.

        Args:
            began: When the run began, by the cluster's clock. The API server gives whole seconds.
        """
        began = began.replace(microsecond=0)
        past = {_name(pod) for pod in self.pods if _is_past_run(pod, began)}
        well = self._working()
        unwell = {_name(pod) for pod in self.pods} - well - past
        return replace(
            self,
            pods=[pod for pod in self.pods if _name(pod) not in past],
            events=[
                event
                for event in self.events
                if (about := _about(event)) not in past and (about in unwell or not _before(event_time(event), began))
            ],
            logs={
                where: text if name in unwell else _lines_since(text, began)
                for where, text in self.logs.items()
                if (name := _pod_of(where)) not in past and not (name in well and name.startswith(_MACHINERY))
            },
        )

    def observations(self) -> Iterator[Observation]:
        """All of it, the closest to what ended the run first."""
        if self.error is not None:
            for error in tree(self.error):
                yield from _of_error(error)
        for pod in self.pods:
            yield from _of_pod(pod)
        yield from _of_claims(self.claims, self.pods)
        well = self._working()
        for attempt in self.blocked:
            text = f"{attempt}, {attempt.packets} packets"
            source = Source.ASIDE if attempt.pod in well else Source.TRAFFIC
            yield Observation(source, f"pod {attempt.pod or attempt.source}", "EgressBlocked", text)
        for event in self.events:
            yield from _of_event(event, well)
        for where, text in self.logs.items():
            source = Source.ASIDE if _pod_of(where) in well else Source.LOG
            yield Observation(source, where, "", _HARMLESS.sub("", text[-_LOG_TAIL:]))

    def _working(self) -> set[str]:
        """The pods that work; not those that the error says end again and again, though they may just be up again."""
        said = [seen.text for error in tree(self.error) for seen in _of_error(error)] if self.error else []
        looping = [text for text in said if _LOOP in text]
        names = {_name(pod) for pod in self.pods if _is_well(pod)}
        return {name for name in names if not any(name in text for text in looping)}


def tree(error: BaseException) -> Iterator[BaseException]:
    """The error, then what caused it and what its group holds, each once."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_ERRORS:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        if current.__cause__ is not None:
            waiting.append(current.__cause__)
        elif current.__context__ is not None and not current.__suppress_context__:
            waiting.append(current.__context__)


def _of_error(error: BaseException) -> Iterator[Observation]:
    reason = type(error).__name__
    if not isinstance(error, HarnessError):
        yield Observation(Source.ERROR, "the error", reason, f"{reason}: {error}")
        return
    where = error.what if isinstance(error, WaitFailed | WaitTimeout) else "the error"
    yield Observation(Source.ERROR, where, reason, error.message)
    for name, text in error.evidence.items():
        yield Observation(Source.ERROR, where if name in {"last state", "command", "it said"} else name, reason, text)


def _of_pod(pod: JsonObject) -> Iterator[Observation]:
    status: JsonObject = pod.get("status") or {}
    where = f"pod {_name(pod)}"
    if status.get("reason"):
        yield Observation(Source.STATE, where, str(status["reason"]), str(status.get("message") or ""))
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield Observation(
                Source.STATE, where, str(condition.get("reason") or ""), str(condition.get("message") or "")
            )
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            yield from _of_container(where, container)


def _of_container(pod: str, container: JsonObject) -> Iterator[Observation]:
    where = f"{pod}, container {container.get('name', '?')}"
    state: JsonObject = container.get("state") or {}
    last: JsonObject = container.get("lastState") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting and waiting.get("reason"):
        yield Observation(Source.STATE, where, str(waiting["reason"]), str(waiting.get("message") or ""))
    if ended is None and not container.get("ready"):
        ended = last.get("terminated")
    if ended and int(ended.get("exitCode") or 0) != 0:
        said = str(ended.get("message") or "")
        yield Observation(
            Source.STATE, where, str(ended.get("reason") or ""), f"exit code {ended['exitCode']}. {said}".strip()
        )


def _of_claims(claims: Sequence[JsonObject], pods: Sequence[JsonObject]) -> Iterator[Observation]:
    # A claim that nobody uses yet may wait for its first consumer: that is its class's way, not a fault.
    wanted = {
        f"{_namespace(pod)}/{volume['persistentVolumeClaim'].get('claimName')}": _name(pod)
        for pod in pods
        if (pod.get("status") or {}).get("phase") == "Pending"
        for volume in (pod.get("spec") or {}).get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    }
    for claim in claims:
        name, phase = _name(claim), (claim.get("status") or {}).get("phase")
        if phase == "Lost" or (phase == "Pending" and name in wanted):
            text = f"the claim is {phase}" + (f" and pod {wanted[name]} waits for it" if name in wanted else "")
            yield Observation(Source.STATE, f"claim {name}", f"Claim{phase}", text)


def _of_event(event: JsonObject, well: set[str]) -> Iterator[Observation]:
    about: JsonObject = event.get("involvedObject") or event.get("regarding") or {}
    name = _about(event)
    # Warnings of a pod that has come to work since are history.
    if event.get("type") != "Warning" or (about.get("kind") == "Pod" and name in well):
        return
    where = f"{str(about.get('kind') or 'object').lower()} {name}"
    yield Observation(
        Source.EVENT, where, str(event.get("reason") or ""), str(event.get("message") or event.get("note") or "")
    )


def _about(event: JsonObject) -> str:
    about: JsonObject = event.get("involvedObject") or event.get("regarding") or {}
    return f"{about.get('namespace') or 'default'}/{about.get('name', '?')}"


def _is_past_run(pod: JsonObject, began: datetime) -> bool:
    """Whether it is of a DAG run, executor's or task's, that was made before."""
    metadata: JsonObject = pod.get("metadata") or {}
    return "run_id" in (metadata.get("labels") or {}) and _before(metadata.get("creationTimestamp"), began)


def _before(time: object, began: datetime) -> bool:
    """Whether a time of the API server's is earlier; not where there is none."""
    parsed = parse_time(time)
    return parsed is not None and parsed < began


def _pod_of(where: str) -> str:
    """The pod that a log is of; empty where it is of none."""
    return where.removeprefix("pod ").partition(",")[0] if where.startswith("pod ") else ""


def _lines_since(text: str, began: datetime) -> str:
    """The lines from the first that is not older; each begins with the kubelet's time. All of them where none does."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        time = parse_time(line.partition(" ")[0])
        if time is None or time >= began:
            return "".join(lines[number:])
    return ""


def _is_well(pod: JsonObject) -> bool:
    status: JsonObject = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    return status.get("phase") == "Succeeded" or bool(containers and all(c.get("ready") for c in containers))


def _namespace(thing: JsonObject) -> str:
    return str((thing.get("metadata") or {}).get("namespace") or "default")


def _name(thing: JsonObject) -> str:
    return f"{_namespace(thing)}/{(thing.get('metadata') or {}).get('name', '?')}"
