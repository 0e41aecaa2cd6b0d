"""Pods, events, claims and nodes as text for the bundle. Pure functions over the API server's JSON."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import yaml

from harness.podstate import parse_time
from harness.redaction import MASK

JsonObject = Mapping[str, Any]

# Of environment variables only these are shown with their values: addresses and names, never keys.
_SHOWN_VARIABLES: Final = frozenset(
    {
        "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_STS_REGIONAL_ENDPOINTS",
        "GIT_SSL_CAINFO", "GIT_REPO", "GIT_BRANCH", "DVC_DATA_FILE", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL",
        "GITSYNC_REPO", "GITSYNC_REF", "GITSYNC_ROOT", "GITSYNC_LINK", "GITSYNC_PERIOD", "GITSYNC_ONE_TIME",
        "GITSYNC_DEPTH", "GIT_SYNC_REPO", "GIT_SYNC_BRANCH", "GIT_SYNC_REV", "GIT_SYNC_ROOT", "GIT_SYNC_DEST",
    }
)  # fmt: skip
# A folded line could cut a secret in two, and the redactor would not know it.
_NEVER_FOLDED: Final = 1_000_000
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class KubeReader(Protocol):
    """The reading side of `harness.kubeapi.KubeApi`."""

    def list(self, kind: str, namespace: str | None = None, /) -> Sequence[dict[str, Any]]:
        """All objects of a kind, in one namespace or (None) in all."""

    def pod_logs(
        self,
        pod: str,
        container: str | None = None,
        /,
        *,
        namespace: str,
        previous: bool = False,
        tail_lines: int | None = None,
        timestamps: bool = False,
    ) -> str:
        """A container's log so far, or that of its previous instance."""


def name_of(thing: JsonObject) -> str:
    """The object's own name."""
    return str((thing.get("metadata") or {}).get("name", "?"))


def namespace_of(thing: JsonObject) -> str:
    """The object's namespace."""
    return str((thing.get("metadata") or {}).get("namespace") or "default")


def pods_wide(pods: Sequence[JsonObject], *, now: datetime) -> str:
    """A table like that of `kubectl get pods -o wide`, with the images."""
    rows = [("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "NODE", "IMAGES")]
    for pod in sorted(pods, key=lambda pod: (namespace_of(pod), name_of(pod))):
        status, spec = pod.get("status") or {}, pod.get("spec") or {}
        containers = status.get("containerStatuses") or ()
        rows.append(
            (
                namespace_of(pod),
                name_of(pod),
                f"{sum(bool(c.get('ready')) for c in containers)}/{len(spec.get('containers') or ())}",
                _pod_status(pod),
                str(sum(int(c.get("restartCount") or 0) for c in containers)),
                _age(pod, now),
                str(spec.get("nodeName") or "-"),
                ",".join(str(c.get("image", "?")) for c in spec.get("containers") or ()),
            )
        )
    return _table(rows)


def events_sorted(events: Sequence[JsonObject]) -> str:
    """A line for each event, by time."""
    rows = [("TIME", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE")]
    for event in sorted(events, key=event_time):
        about = event.get("involvedObject") or event.get("regarding") or {}
        rows.append(
            (
                event_time(event) or "-",
                str(event.get("type") or "-"),
                str(event.get("reason") or "-"),
                f"{about.get('kind', '?')}/{about.get('namespace', '')}/{about.get('name', '?')}",
                str(event.get("count") or (event.get("series") or {}).get("count") or 1),
                " ".join(str(event.get("message") or event.get("note") or "").split()),
            )
        )
    return _table(rows)


def event_time(event: JsonObject) -> str:
    """When an event was last seen, as the API server writes it; empty where it has no time."""
    series: JsonObject = event.get("series") or {}
    times = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"),
             event.get("firstTimestamp"), (event.get("metadata") or {}).get("creationTimestamp"))  # fmt: skip
    return next((str(time) for time in times if time), "")


def dag_runs(pods: Sequence[JsonObject], *, since: datetime) -> list[tuple[str, str]]:
    """(DAG id, run id) of each DAG run that executor pods made since then belong to, in order of their pods' making.

    KubernetesExecutor writes both into the annotations of its pods, unabridged
    (apache-airflow-providers-cncf-kubernetes 10, `PodGenerator.construct_pod`).
    """
    found: dict[tuple[str, str], None] = {}
    for pod in sorted(pods, key=lambda pod: str((pod.get("metadata") or {}).get("creationTimestamp") or "")):
        metadata: JsonObject = pod.get("metadata") or {}
        made = parse_time(metadata.get("creationTimestamp"))
        # The API server gives whole seconds.
        if made is None or made < since.replace(microsecond=0):
            continue
        # Not the labels, which task pods have too: what makes no good label stands there as a hash.
        named = metadata.get("annotations") or {}
        if named.get("dag_id") and named.get("run_id"):
            found[str(named["dag_id"]), str(named["run_id"])] = None
    return list(found)


def as_yaml(thing: JsonObject) -> str:
    """The object as YAML, without bookkeeping and without the values of environment variables.

    A Secret's data is never written, only which keys it has.
    """
    plain = copy.deepcopy(dict(thing))
    metadata = plain.get("metadata") or {}
    metadata.pop("managedFields", None)
    # Holds the environment once more, as text.
    (metadata.get("annotations") or {}).pop(_LAST_APPLIED, None)
    if plain.get("kind") == "Secret":
        for field in ("data", "stringData"):
            if plain.get(field):
                plain[field] = dict.fromkeys(plain[field], MASK)
    for variable in _variables(plain):
        if variable.get("value") and variable.get("name") not in _SHOWN_VARIABLES:
            variable["value"] = MASK
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=_NEVER_FOLDED)


def containers_with_logs(pod: JsonObject) -> Iterator[tuple[str, bool]]:
    """(container, whether the log of its previous instance is meant) of each log that the kubelet can have."""
    status: JsonObject = pod.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(kind) or ():
            name, state = str(container.get("name", "?")), container.get("state") or {}
            restarted = int(container.get("restartCount") or 0) > 0 or bool(
                (container.get("lastState") or {}).get("terminated")
            )
            if "running" in state or "terminated" in state or restarted:
                yield name, False
            if restarted:
                yield name, True


def _variables(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "env" and isinstance(item, list):
                yield from (variable for variable in item if isinstance(variable, dict))
            else:
                yield from _variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from _variables(item)


def _pod_status(pod: JsonObject) -> str:
    status: JsonObject = pod.get("status") or {}
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return "Terminating"
    for kind, prefix in (("initContainerStatuses", "Init:"), ("containerStatuses", "")):
        for container in status.get(kind) or ():
            state = container.get("state") or {}
            waiting, ended = state.get("waiting"), state.get("terminated")
            if waiting and waiting.get("reason") not in (None, "PodInitializing"):
                return f"{prefix}{waiting['reason']}"
            if ended and int(ended.get("exitCode") or 0) != 0:
                return f"{prefix}{ended.get('reason') or 'Error'}"
    return str(status.get("reason") or status.get("phase") or "?")


def _age(thing: JsonObject, now: datetime) -> str:
    made = parse_time((thing.get("metadata") or {}).get("creationTimestamp"))
    if made is None:
        return "?"
    return f"{max((now - made.astimezone(UTC)).total_seconds(), 0):.0f}s"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
