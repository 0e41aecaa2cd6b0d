"""What the adapter added to the pods of a run, read from the pods themselves: how they differ from those on AWS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from harness.model import PodEvidence
from harness.names import ADAPTER_ANNOTATION

Added = Mapping[str, tuple[str, ...]]


def added_to(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """What the adapter noted on a pod, such as "base: env AWS_REGION"; empty where it added nothing.

    A note that has another form is shown as it is: it must not be taken for none.
    """
    note = ((pod.get("metadata") or {}).get("annotations") or {}).get(ADAPTER_ANNOTATION)
    if not note:
        return ()
    try:
        entries = json.loads(note)
    except ValueError:
        return (str(note),)
    if not isinstance(entries, list):
        return (str(note),)
    return tuple(one for entry in entries for one in _each(str(entry)))


def _each(entry: str) -> list[str]:
    """Variables that came with one operation stand in one entry: "base: env A, B"."""
    container, _, what = entry.partition(": ")
    kind, _, names = what.partition(" ")
    return [f"{container}: env {name}" for name in names.split(", ")] if kind == "env" else [entry]


def differences(pods: Iterable[PodEvidence], *, known: Added | None = None) -> dict[str, tuple[str, ...]]:
    """What was added by kind of pod ("executor" or "task"), each entry once, in order.

    Args:
        pods: Of a run.
        known: Of earlier runs of the same environment; kept.
    """
    found: dict[str, set[str]] = {role: set(entries) for role, entries in (known or {}).items()}
    for pod in pods:
        found.setdefault(pod.role, set()).update(pod.added)
    return {role: tuple(sorted(entries)) for role, entries in sorted(found.items())}
