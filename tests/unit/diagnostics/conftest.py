"""Pods and events by hand, as the API server writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

JsonObject = dict[str, Any]


def _status(name: str, state: JsonObject, last: JsonObject | None, restarts: int) -> JsonObject:
    return {
        "name": name,
        "ready": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


@pytest.fixture
def make_pod() -> Callable[..., JsonObject]:
    """Makes a pod with one container, in the given state."""

    def made(
        name: str = "dvc-push-x1",
        *,
        container: str = "base",
        state: JsonObject | None = None,
        last: JsonObject | None = None,
        restarts: int = 0,
        init: bool = False,
        phase: str = "Pending",
        namespace: str = "airflow",
        **status: Any,
    ) -> JsonObject:
        key = "initContainerStatuses" if init else "containerStatuses"
        return {
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-31T12:00:00Z"},
            "spec": {"nodeName": "node-1", "containers": [{"name": container, "image": "airflow-dvc-worker:2.0.0"}]},
            "status": {
                "phase": phase,
                key: [_status(container, state or {"running": {}}, last, restarts)],
                **status,
            },
        }

    return made


@pytest.fixture
def make_event() -> Callable[..., JsonObject]:
    """Makes a warning about a pod."""

    def made(reason: str, message: str, *, name: str = "dvc-push-x1", kind: str = "Pod", time: str = "") -> JsonObject:
        return {
            "type": "Warning",
            "reason": reason,
            "message": message,
            "lastTimestamp": time or "2026-01-31T12:00:05Z",
            "involvedObject": {"kind": kind, "namespace": "airflow", "name": name},
        }

    return made
