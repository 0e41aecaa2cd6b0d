"""What a git-sync container says that it checked out, read from its log: no exec into the pod, nothing in the image.

git-sync v4 logs JSON lines on standard error. After it has flipped its symlink it writes

    {"ts":"2026-01-31 12:00:00.000000","caller":{...},"level":0,"msg":"updated successfully","ref":"main",
     "remote":"<commit>","syncCount":1}

also on the first round of a restarted container whose worktree was right already (kubernetes/git-sync, main.go,
`SyncRepo`, and pkg/logging/logging.go; the message and its keys are the same in v4.0.0, v4.4.2 and v4.7.1). The
stand-in writes the same message, or a line of `key=value` pairs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from harness.kubeapi import JsonObject, KubeApiError, KubeUnavailable
from harness.podstate import parse_time

_MESSAGES: Final = frozenset({"updated successfully", "update not required", "synced"})
_KEYS: Final = ("remote", "hash")
_COMMIT: Final = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_PAIR: Final = re.compile(rf"\b(?:{'|'.join(_KEYS)})=\"?({_COMMIT.pattern})\b")
_STAMPED: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) (.*)")
_TAIL_LINES: Final = 2000

# Names in the official chart 1.22.0: templates/dag-processor/dag-processor-deployment.yaml.
PROCESSOR_LABELS: Final = "component=dag-processor"
SIDECAR: Final = "git-sync"
INIT_CONTAINER: Final = "git-sync-init"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit that git-sync made current.

    Attributes:
        sha: The commit.
        at: When it said so, by the node's clock; never before the flip. None where the log has no times.
    """

    sha: str
    at: datetime | None


def checkout_of(line: str) -> Checkout | None:
    """What one log line says was made current, if anything. The line may begin with the kubelet's time stamp."""
    stamped = _STAMPED.fullmatch(line)
    at, text = (parse_time(stamped[1]), stamped[2]) if stamped else (None, line)
    if text.lstrip().startswith("{"):
        return _from_json(text, at)
    pair = _PAIR.search(text)
    if pair is not None and any(message in text for message in _MESSAGES):
        return Checkout(pair[1], at)
    return None


def last_checkout(log: str) -> Checkout | None:
    """The last commit that a log says was made current."""
    for line in reversed(log.splitlines()):
        found = checkout_of(line)
        if found is not None:
            return found
    return None


def _from_json(text: str, at: datetime | None) -> Checkout | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("msg") not in _MESSAGES:
        return None
    for key in _KEYS:
        sha = message.get(key)
        if isinstance(sha, str) and _COMMIT.fullmatch(sha):
            return Checkout(sha, at)
    return None


class PodReader(Protocol):
    """What of `KubeApi` the probe needs."""

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[JsonObject]:
        """See `KubeApi.list`."""

    def pod_logs(
        self,
        pod: str,
        container: str | None = None,
        *,
        namespace: str,
        tail_lines: int | None = None,
        timestamps: bool = False,
    ) -> str:
        """See `KubeApi.pod_logs`."""


@dataclass(frozen=True, slots=True)
class ProcessorCheckout:
    """Probe: the commit that is the worktree of the DAG processor, from the log of its git-sync.

    Attributes:
        kube: The cluster.
        namespace: Where Airflow is.
        labels: Selector of the DAG processor's pods.
    """

    kube: PodReader
    namespace: str
    labels: str = PROCESSOR_LABELS

    def __call__(self) -> Checkout | None:
        """The current commit; None while no DAG processor runs or none has synced.

        Of several processors the one that flipped first counts as behind: all must have the commit, so an answer
        is given only where they agree.
        """
        found = []
        for pod in self.kube.list("Pod", self.namespace, labels=self.labels):
            if pod["metadata"].get("deletionTimestamp") or (pod.get("status") or {}).get("phase") != "Running":
                continue
            found.append(self._of(str(pod["metadata"]["name"])))
        made = [checkout for checkout in found if checkout is not None]
        if not made or len(made) != len(found) or len({checkout.sha for checkout in made}) != 1:
            return None
        return max(made, key=lambda checkout: checkout.at.timestamp() if checkout.at else 0.0)

    def _of(self, pod: str) -> Checkout | None:
        for container in (SIDECAR, INIT_CONTAINER):
            try:
                log = self.kube.pod_logs(
                    pod, container, namespace=self.namespace, tail_lines=_TAIL_LINES, timestamps=True
                )
            except KubeUnavailable:
                raise
            except KubeApiError:
                continue  # that container has not started, or the chart has none of that name
            checkout = last_checkout(log)
            if checkout is not None:
                return checkout
        return None
