"""Ends what an interrupted run left running: a DAG run that nobody follows blocks the next, and may still push.

With `max_active_runs=1` a new run would stay queued behind it; and its pods would commit to a repository that was
seeded for somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from harness.airflow.runids import safe_label
from harness.kubeapi import JsonObject, KubeUnavailable
from harness.wait import Waiter

_GONE_SECONDS: Final = 60.0
_OVER: Final = frozenset({"Succeeded", "Failed"})


class Runs(Protocol):
    """What of `AirflowApi` this needs."""

    def unfinished_runs(self, dag_id: str) -> tuple[str, ...]:
        """See `AirflowApi.unfinished_runs`."""

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """See `AirflowApi.fail_run`."""


class Pods(Protocol):
    """What of `KubeApi` this needs."""

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[JsonObject]:
        """See `KubeApi.list`."""

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """See `KubeApi.delete`."""


def end_runs(api: Runs, kube: Pods, namespace: str, dag_id: str, run_ids: Sequence[str], *, waiter: Waiter) -> None:
    """Mark runs of a DAG as failed, and see that none of the DAG's pods works on.

    Args:
        api: Airflow.
        kube: The cluster.
        namespace: Where the DAG's pods are.
        dag_id: The DAG.
        run_ids: From `AirflowApi.unfinished_runs`: all that the DAG has.
        waiter: How patient to be.

    Raises:
        WaitTimeout: A pod of the DAG does not end; names it.
        EnvironmentFailed: Airflow or the API server refused it.
    """
    for run_id in run_ids:
        api.fail_run(dag_id, run_id)

    def working() -> list[str]:
        pods = kube.list("Pod", namespace, labels=f"dag_id={safe_label(dag_id)}")
        alive = [pod["metadata"] for pod in pods if (pod.get("status") or {}).get("phase") not in _OVER]
        for metadata in alive:
            # Airflow stops its tasks at their next heartbeat; a pod whose executor is gone is stopped by nobody.
            if not metadata.get("deletionTimestamp"):
                kube.delete("Pod", str(metadata["name"]), namespace)
        return sorted(str(metadata["name"]) for metadata in alive)

    waiter.until(
        f"the pods of earlier runs of DAG {dag_id} to end",
        working,
        ready=lambda names: not names,
        describe=lambda names: ", ".join(names) or "none is left",
        timeout=_GONE_SECONDS,
        transient=(KubeUnavailable,),
        # Airflow may have made one more before it was told.
        stable=2,
        next_step="see with `harness shell` why these pods do not end",
    )
