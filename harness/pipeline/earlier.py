"""Ends what earlier runs left running: a DAG run that nobody follows blocks the next, and may still push.

With `max_active_runs=1` a new run would stay queued behind it; and its pods would commit to a repository that was
seeded for somebody else. That holds of every DAG: the one under test may have had another id the last time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from harness.airflow.values import RunInfo
from harness.kubeapi import JsonObject, KubeUnavailable
from harness.podstate import OVER
from harness.wait import Waiter

_GONE_SECONDS: Final = 60.0
# The executor and the operator write it on every pod of a run (apache-airflow-providers-cncf-kubernetes 10.25.0).
_RUN_LABEL: Final = "run_id"


class Runs(Protocol):
    """What of `AirflowApi` this needs."""

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """See `AirflowApi.fail_run`."""


class Pods(Protocol):
    """What of `KubeApi` this needs."""

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[JsonObject]:
        """See `KubeApi.list`."""

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """See `KubeApi.delete`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What was still there.

    Attributes:
        runs: DAG runs that are marked failed now.
        pods: Pods of other runs than the caller's own last one that were ended, by name.
    """

    runs: tuple[RunInfo, ...] = ()
    pods: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.runs or self.pods)

    def __str__(self) -> str:
        failed = ", ".join(f"{run.dag_id}/{run.run_id}" for run in self.runs)
        parts = [f"unfinished, now marked failed: {failed}" if failed else "", ", ".join(self.pods)]
        return "; pods ended: ".join(parts) if self.pods else parts[0]


@dataclass(frozen=True, slots=True)
class _Look:
    """Pods that still work, and why they never end, if that can be said."""

    pods: dict[str, str]
    fault: str | None = None


def working_pods(kube: Pods, namespace: str) -> list[JsonObject]:
    """Pods of any DAG run that have not ended."""
    pods = kube.list("Pod", namespace, labels=_RUN_LABEL)
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") not in OVER]


def end_runs(api: Runs, kube: Pods, namespace: str, runs: Sequence[RunInfo], *, waiter: Waiter, own: str = "") -> Ended:
    """Mark runs as failed, and see that no pod of any run works on.

    Args:
        api: Airflow.
        kube: The cluster.
        namespace: Where the pods of DAG runs are.
        runs: All that are unfinished, of every DAG (`AirflowApi.runs`).
        waiter: How patient to be.
        own: The caller's last run, which is over: a pod of it that is about to end is no news.

    Raises:
        WaitFailed: A pod does not end because its node is not there.
        WaitTimeout: A pod does not end; names it.
        EnvironmentFailed: Airflow or the API server refused it.
    """
    for run in runs:
        api.fail_run(run.dag_id, run.run_id)
    seen: dict[str, str] = {}

    def working() -> _Look:
        alive = working_pods(kube, namespace)
        leaving = False
        for pod in alive:
            metadata = pod["metadata"]
            seen[str(metadata["name"])] = str((metadata.get("labels") or {}).get(_RUN_LABEL) or "")
            # Airflow stops its tasks at their next heartbeat; a pod whose executor is gone is stopped by nobody.
            if metadata.get("deletionTimestamp"):
                leaving = True
            else:
                kube.delete("Pod", str(metadata["name"]), namespace)
        names = {str(pod["metadata"]["name"]): str((pod.get("spec") or {}).get("nodeName") or "") for pod in alive}
        return _Look(names, _lost_node(kube, set(names.values())) if leaving else None)

    waiter.until(
        "the pods of earlier DAG runs to end",
        working,
        ready=lambda look: not look.pods,
        failed=lambda look: look.fault,
        describe=lambda look: ", ".join(sorted(look.pods)) or "none is left",
        timeout=_GONE_SECONDS,
        transient=(KubeUnavailable,),
        # Airflow may have made one more before it was told.
        stable=2,
        next_step="see with `harness shell` why these pods do not end",
    )
    return Ended(tuple(runs), tuple(sorted(name for name, run_id in seen.items() if not own or run_id != own)))


def _lost_node(kube: Pods, names: set[str]) -> str | None:
    """Why a pod that is deleted stays: only its node's kubelet can say that it has ended."""
    for node in kube.list("Node"):
        name = str(node["metadata"]["name"])
        for condition in (node.get("status") or {}).get("conditions") or ():
            if name in names and condition.get("type") == "Ready" and condition.get("status") != "True":
                return f"their node {name} is not ready: {condition.get('message') or condition.get('reason')}"
    return None
