"""How the clusters stand that the harness knows of: for the reader, and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.clusters import KnownCluster
from harness.errors import HarnessError
from harness.kubeapi import KubeApi
from harness.names import AIRFLOW_NAMESPACE, SERVICES_NAMESPACE
from harness.podstate import OVER

# Seconds for an answer: a cluster whose engine is gone gives none.
_SECONDS = 5
# Phases of a pod that does nothing any more ("Pod Lifecycle" in Kubernetes).


def show(found: Sequence[KnownCluster], console: Console) -> None:
    """Each cluster: who made it, how to get in, the pods that are at work, and how many are over."""
    if not found:
        console.print("no cluster of the harness is there; `harness up` makes one")
    for cluster in found:
        console.print(f"{cluster.name}, {'kept' if cluster.kept else 'not kept'}, {cluster.origin}",
                      style="bold", highlight=False, markup=False, soft_wrap=True)  # fmt: skip
        # Not folded, so that it can be copied.
        for name, value in (("kubeconfig", str(cluster.kubeconfig)), ("Airflow", cluster.ui)):
            if value:
                console.print(f"  {name:<11}{value}", highlight=False, markup=False, soft_wrap=True)
        try:
            if console.is_terminal and (login := cluster.login()) is not None:
                # As at the end of a run: for someone who looks at a terminal, not for a file that is kept or sent.
                console.print(f"  {'login':<11}{' / '.join(login)}", highlight=False, markup=False, soft_wrap=True)
            with _kube(cluster) as kube:
                for namespace in (SERVICES_NAMESPACE, AIRFLOW_NAMESPACE):
                    pods = _pods(kube, namespace)
                    console.print(_table(namespace, [pod for pod in pods if pod["phase"] not in OVER]))
                    if ended := _ended(pods):
                        counted = ", ".join(f"{count} {phase}" for phase, count in ended.items())
                        console.print(f"and of runs that are over: {counted}", highlight=False, markup=False)
        except HarnessError as error:
            console.print(f"  does not answer: {error.message}", highlight=False, markup=False, soft_wrap=True)


def document(cluster: KnownCluster) -> dict[str, Any]:
    """The same of one, for programs; no login, since what programs print is kept."""
    told: dict[str, Any] = {
        "name": cluster.name,
        "kept": cluster.kept,
        "run": cluster.run,
        "made_from": cluster.made_from,
        "kubeconfig": str(cluster.kubeconfig),
        "context": cluster.context,
        "airflow": cluster.ui,
    }
    try:
        with _kube(cluster) as kube:
            pods = [pod for namespace in (SERVICES_NAMESPACE, AIRFLOW_NAMESPACE) for pod in _pods(kube, namespace)]
            current = [pod for pod in pods if pod["phase"] not in OVER]
    except HarnessError as error:
        return {**told, "answers": False, "error": error.message}
    return {**told, "answers": True, "pods": current, "ended_pods": _ended(pods)}


def _pods(kube: KubeApi, namespace: str) -> list[dict[str, Any]]:
    found = []
    for pod in kube.list("Pod", namespace):
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        found.append(
            {
                "namespace": namespace,
                "name": pod["metadata"]["name"],
                "phase": str((pod.get("status") or {}).get("phase")),
                "ready": sum(bool(status.get("ready")) for status in statuses),
                "containers": len(statuses),
                "restarts": sum(int(status.get("restartCount", 0)) for status in statuses),
            }
        )
    return found


def _ended(pods: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many there are of what is over: pods of tasks stay as long as their cluster, a few of each run."""
    return dict(sorted(Counter(str(pod["phase"]) for pod in pods if pod["phase"] in OVER).items()))


def _table(namespace: str, pods: list[dict[str, Any]]) -> Table:
    table = Table("pod", "phase", "ready", "restarts", title=namespace, title_justify="left", box=None)
    for pod in pods:
        table.add_row(pod["name"], pod["phase"], f"{pod['ready']}/{pod['containers']}", str(pod["restarts"]))
    return table


def _kube(cluster: KnownCluster) -> KubeApi:
    return KubeApi(cluster.kubeconfig, cluster.context, timeout=_SECONDS)
