"""What a git-sync container says that it checked out, read from its log: no exec into the pod, nothing in the image.

git-sync v4 logs JSON lines on standard error. After it has flipped its symlink it writes

    {"ts":"2026-01-31 12:00:00.000000","caller":{...},"level":0,"msg":"updated successfully","ref":"main",
     "remote":"<commit>","syncCount":1}

also on the first round of a restarted container whose worktree was right already (kubernetes/git-sync, main.go,
`SyncRepo`, and pkg/logging/logging.go; the message and its keys are the same in v4.0.0, v4.4.2 and v4.7.1). The
stand-in writes the same message, or a line of `key=value` pairs. A failed round is a line with `"error"`,
in which git's own words stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from harness.kubeapi import JsonObject, KubeApiError, KubeUnavailable
from harness.podstate import fatal_reason, parse_time

_MESSAGES: Final = frozenset({"updated successfully", "update not required", "synced"})
_KEYS: Final = ("remote", "hash")
_COMMIT: Final = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_PAIR: Final = re.compile(rf"\b(?:{'|'.join(_KEYS)})=\"?({_COMMIT.pattern})\b")
_STAMPED: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) (.*)")
_TAIL_LINES: Final = 2000
# What a Deployment labels its pods with: one value for each pod template.
_TEMPLATE: Final = "pod-template-hash"

# What git says where no further round can go better, with what to do (git 2.30 to 2.47: remote-curl.c, http.c,
# credential.c, builtin/fetch.c). A server that does not answer, or a name that is not known yet, may still come.
_HOPELESS: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), what, advice)
    for pattern, what, advice in (
        (
            r"authentication failed|returned error: 401|could not read (?:username|password)|invalid username or",
            "the Git server refuses the user name and password (HTTP 401)",
            "see GITSYNC_USERNAME and GITSYNC_PASSWORD in the Secret that dags.gitSync.credentialsSecret names",
        ),
        (
            r"returned error: 403",
            "the Git server knows the user but does not let it read (HTTP 403)",
            "give that user the right to read the repository",
        ),
        (
            r"repository .* not found|returned error: 404",
            "the Git server has no such repository",
            "see dags.gitSync.repo in the values",
        ),
        (
            # "server verification failed" is what libcurl 8.14 with GnuTLS says (Debian 13).
            r"(?:server|certificate) verification failed|ssl cert\w* problem|error setting cert|problem with the ssl",
            "git does not trust the Git server's certificate",
            "give git-sync the CA that signed it: GIT_SSL_CAINFO, or GITSYNC_GIT_CONFIG=http.sslCAInfo:<path>",
        ),
        (
            r"couldn't find remote ref|unable to parse rev|unknown revision",
            "the repository has no such branch",
            "see policy.branch (--branch), and dags.gitSync.ref in the values",
        ),
    )
)

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


def sync_fault(lines: Iterable[str]) -> str | None:
    """Why git-sync cannot come to an end, by the last round in its log; None while it still can.

    Args:
        lines: The log, oldest first; lines may begin with the kubelet's time stamp.
    """
    fault = None
    for line in lines:
        if checkout_of(line) is not None:
            fault = None
            continue
        stamped = _STAMPED.fullmatch(line)
        said = _error_of(stamped[2] if stamped else line)
        if said is None:
            continue
        found = next(((what, advice) for pattern, what, advice in _HOPELESS if pattern.search(said)), None)
        fault = f"git-sync: {found[0]}: {_short(said)} ({found[1]})" if found is not None else None
    return fault


def _error_of(text: str) -> str | None:
    """The error in a line of the log; None for a line about something else."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        message = json.loads(text)
    except ValueError:
        return None
    error = message.get("error") if isinstance(message, dict) else None
    return str(error) if error else None


def _short(said: str) -> str:
    """The line of git's words that tells, or the last one."""
    lines = [line.strip() for line in said.replace("\\n", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if "fatal:" in line or "error:" in line]
    line = (telling or lines or [""])[-1]
    return line[line.find("fatal:") :][:300] if "fatal:" in line else line[:300]


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

    def fault(self) -> str | None:
        """Why the worktree of a DAG processor cannot become the wanted one, also where none runs yet.

        A container that ended and is about to start again has its reason in the log of its last instance, which is
        the one that the API server gives until the next one runs. A pod of an older template is not asked: it may well
        look for what is gone, such as the branch of the run before.
        """
        for pod in _newest(self.kube.list("Pod", self.namespace, labels=self.labels)):
            name = str(pod["metadata"]["name"])
            for container in (SIDECAR, INIT_CONTAINER):
                fault = sync_fault(self._log(name, container).splitlines())
                if fault is not None:
                    return f"pod {self.namespace}/{name}, container {container}: {fault}"
        return None

    def broken(self) -> str | None:
        """Why a DAG processor cannot parse what is checked out: a state from which its pod does not come back.

        One without a readiness probe counts as ready while it starts, so only now it may show that it ends each time.
        """
        pods = self.kube.list("Pod", self.namespace, labels=self.labels)
        working = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return next((reason for pod in working if (reason := fatal_reason(pod)) is not None), None)

    def _of(self, pod: str) -> Checkout | None:
        for container in (SIDECAR, INIT_CONTAINER):
            checkout = last_checkout(self._log(pod, container))
            if checkout is not None:
                return checkout
        return None

    def _log(self, pod: str, container: str) -> str:
        """The end of a container's log; empty where it has not started, or the chart has none of that name."""
        try:
            return self.kube.pod_logs(pod, container, namespace=self.namespace, tail_lines=_TAIL_LINES, timestamps=True)
        except KubeUnavailable:
            raise
        except KubeApiError:
            return ""


def _newest(pods: Iterable[JsonObject]) -> list[JsonObject]:
    """Pods of the newest template, without those that are on their way out."""
    alive = [pod["metadata"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    newest = max(alive, key=lambda metadata: str(metadata.get("creationTimestamp") or ""), default=None)
    template = None if newest is None else (newest.get("labels") or {}).get(_TEMPLATE)
    return [{"metadata": metadata} for metadata in alive if (metadata.get("labels") or {}).get(_TEMPLATE) == template]
