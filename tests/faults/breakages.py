"""What is broken: each is a context, broken inside of it and whole behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from harness.errors import EnvironmentFailed
from harness.kubeapi import JsonObject, KubeUnavailable
from harness.names import AIRFLOW_NAMESPACE, SERVICES_NAMESPACE

from .scene import Scene, Stage, metadata

Breakage = Callable[[Scene], AbstractContextManager[None]]

# Labels of the official chart 1.22.0, which the embedded one has too.
SCHEDULER: Final = (AIRFLOW_NAMESPACE, "component=scheduler", "scheduler")
API_SERVER: Final = (AIRFLOW_NAMESPACE, "component=api-server", "api-server")
DAG_PROCESSOR: Final = (AIRFLOW_NAMESPACE, "component=dag-processor", "dag-processor")
POSTGRES: Final = (SERVICES_NAMESPACE, "app=postgres", "postgres")
Part = tuple[str, str, str]


def pod_deleted(role: str) -> Breakage:
    """A pod of the run is deleted at once, as by a node that is drained in a hurry."""

    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        delete_now(scene.stage, scene.pod(role))
        yield

    return broken


@contextmanager
def task_killed(scene: Scene) -> Iterator[None]:
    """The task's program gets SIGKILL from outside, as by the kernel when memory runs out; its pod stays."""
    scene.stage.node.task("kill", scene.pod("task"), "base")
    yield


def deleted(part: Part) -> Breakage:
    """All pods of a part of Airflow are deleted at once; others take their place."""

    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        stage = scene.stage
        old = pods_of(stage, part)
        for pod in old:
            delete_now(stage, pod)
        gone = {metadata(pod)[1] for pod in old}
        yield
        stage.wait(
            f"another {part[2]}",
            lambda: [pod for pod in pods_of(stage, part) if metadata(pod)[1] not in gone],
            ready=lambda pods: any(map(is_ready, pods)),
            describe=lambda pods: f"{len(pods)} pods, none ready",
        )

    return broken


def killed(part: Part) -> Breakage:
    """The part's container gets SIGKILL; the kubelet starts it again, with its disk as it was."""

    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        stage = scene.stage
        (pod,) = pods_of(stage, part)
        before = restarts(pod, part[2])
        stage.node.task("kill", pod, part[2])
        yield
        stage.wait(
            f"{part[2]} to be started again",
            lambda: pods_of(stage, part),
            ready=lambda pods: any(is_ready(pod) and restarts(pod, part[2]) > before for pod in pods),
            describe=lambda pods: f"{len(pods)} pods, not ready or not started again",
        )

    return broken


def paused(part: Part) -> Breakage:
    """The part's container stands still, its connections open; then it goes on."""

    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        stage = scene.stage
        (pod,) = pods_of(stage, part)
        stage.node.task("pause", pod, part[2])
        try:
            stands_still(part[2], stage.node.task_state(pod, part[2]), "PAUSED")
            yield
            # The kubelet may have had enough of it meanwhile, and have started another one.
            stands_still(part[2], stage.node.task_state(pod, part[2]), "PAUSED")
        finally:
            stage.node.task("resume", pod, part[2])
        all_ready(stage, part)

    return broken


@contextmanager
def node_paused(scene: Scene) -> Iterator[None]:
    """The whole machine stands still, and with it every clock of every program."""
    node = scene.stage.node
    node.docker("pause")
    try:
        stands_still("the node", node.state(), "paused")
        yield
        stands_still("the node", node.state(), "paused")
    finally:
        node.docker("unpause")
    everything_ready(scene.stage)


def stands_still(what: str, state: str, wanted: str) -> None:
    """Raises `EnvironmentFailed` where it does not: then nothing was broken, and nothing is shown."""
    if state != wanted:
        raise EnvironmentFailed(f"{what} was to stand still, and is {state}")


def delete_now(stage: Stage, pod: JsonObject) -> None:
    """Delete without grace, and see that it is gone."""
    name, uid = metadata(pod)
    namespace = str(pod["metadata"]["namespace"])
    kube = stage.ready.kube
    kube.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
    stage.wait(
        f"pod {name} to be gone",
        lambda: kube.get("Pod", name, namespace),
        ready=lambda found: found is None or metadata(found)[1] != uid,
        describe=lambda _found: "still there",
    )


def pods_of(stage: Stage, part: Part) -> list[JsonObject]:
    namespace, labels, _ = part
    return [
        pod
        for pod in stage.ready.kube.list("Pod", namespace, labels=labels)
        if not pod["metadata"].get("deletionTimestamp")
    ]


def is_ready(pod: JsonObject) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: JsonObject, container: str) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((int(one["restartCount"]) for one in statuses if one["name"] == container), 0)


def all_ready(stage: Stage, part: Part) -> None:
    stage.wait(
        f"{part[2]} to be ready",
        lambda: pods_of(stage, part),
        ready=lambda pods: bool(pods) and all(map(is_ready, pods)),
        describe=lambda pods: f"{sum(map(is_ready, pods))} of {len(pods)} ready",
    )


def everything_ready(stage: Stage) -> None:
    """The API server answers, and all that Airflow and its services are made of is ready."""
    stage.wait(
        "the Kubernetes API",
        stage.ready.kube.version,
        ready=bool,
        transient=(KubeUnavailable,),
    )
    for part in (
        (SERVICES_NAMESPACE, "app in (adapter,git,postgres,s3)", "services"),
        API_SERVER,
        SCHEDULER,
        DAG_PROCESSOR,
    ):
        all_ready(stage, part)
