"""A run on EKS that is killed at any step leaves nothing after a sweep; one that outlives its time leaves nothing."""

from __future__ import annotations

import pytest

from harness.names import SERVICES_NAMESPACE
from harness.podstate import OVER
from harness.targets.attached.reaper import owner
from harness.wait import Waiter
from tests.kills.points import Point, at

from .stage import Stage

pytestmark = pytest.mark.e2e


POINTS = (
    at("supply"),
    at("EKS cluster"),
    Point("EKS cluster, taking it", ("EKS cluster",), after=1.5),
    at("services applied"),
    at("Git server, seeded"),
    at("S3, seeded"),
    at("adapter"),
    at("services from a pod"),
    at("helm install"),
    Point("helm install, under way", ("helm install",), after=1.0),
    at("Airflow ready"),
    at("DAG ready"),
    at("DAG run"),
    Point("DAG run, under way", ("DAG run",), after=8.0),
    at("verdict"),
    at("removing the cluster"),
    Point("removing the cluster, under way", ("removing the cluster",), after=3.0),
)
# Seconds that the pod of a job takes, and the roll-back of all that it removes.
_REAPED_SECONDS = 150.0


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_nothing_is_left(stage: Stage, point: Point) -> None:
    stage.kill(point)


def test_a_run_that_lasts_too_long_ends_by_itself_and_says_so(stage: Stage) -> None:
    before = stage.look()
    with stage.driven("--max-lifetime", "0.007") as driven:
        ended = driven.end(timeout=300)
    said = "\n".join(ended.lines)
    assert ended.code == 3, said
    assert "the run has lasted the 0.007 h that it may (eks.max_lifetime), and was ended" in said
    assert "give --max-lifetime HOURS if it needs more" in said
    found = stage.settled(before)
    assert not found, f"{found}\n{said}"
    assert "nothing to sweep" in stage.harness("sweep")


def test_another_machine_sweeps_what_is_past_its_time_and_nothing_before(stage: Stage) -> None:
    before = stage.look()
    stage.killed(at("DAG ready"))
    kept = stage.elsewhere("sweep", "--target", "eks", "--yes")
    assert "left what run " in kept
    assert "has it until" in kept
    run = stage.let_its_time_pass()
    shown = stage.elsewhere("sweep", "--target", "eks")
    assert f"would remove what run {run} made in the cluster: " in shown
    assert "with --yes 2 would be" in shown
    assert stage.claim() is not None
    assert "swept 2" in stage.elsewhere("sweep", "--target", "eks", "--yes")
    stage.harness("sweep")
    assert not (found := stage.settled(before)), f"{found}"


def test_the_reaper_in_the_cluster_removes_what_is_past_its_time(stage: Stage) -> None:
    before = stage.look()
    stage.killed(at("DAG ready"))
    _reap(stage, "early")
    log = Waiter().until(
        "the reaper to look",
        lambda: _log(stage, "early"),
        ready=lambda said: "\n" in said,
        timeout=_REAPED_SECONDS,
    )
    assert "has the namespaces until" in log
    run = stage.let_its_time_pass()
    for attempt in range(4):
        if stage.claim() is None:
            break
        _reap(stage, f"late-{attempt}")
        Waiter().until(
            "the reaper to have looked",
            lambda name=f"late-{attempt}": stage.claim() is None or "\n" in _log(stage, name),  # type: ignore[misc]
            ready=bool,
            timeout=_REAPED_SECONDS,
        )
    Waiter().until("the claim to be gone", stage.claim, ready=lambda found: found is None, timeout=_REAPED_SECONDS)
    left = {line for line in stage.settled(before).left if not line.startswith(("s3 ", "folder "))}
    assert left == set()
    assert f"would remove s3://{stage.bucket}/runs/{run}/" in stage.elsewhere("sweep", "--target", "eks")
    stage.harness("sweep")
    assert not (found := stage.settled(before)), f"{found}"


def _reap(stage: Stage, name: str) -> None:
    """Have the reaper look now, as its schedule does."""
    cron = stage.kube.get("CronJob", "harness-reaper", SERVICES_NAMESPACE)
    assert cron is not None
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"reap-{name}",
            "namespace": SERVICES_NAMESPACE,
            "labels": {"app": "harness-reaper"},
            "ownerReferences": [owner(cron)],
        },
        "spec": cron["spec"]["jobTemplate"]["spec"],
    }
    stage.kube.create(job)


def _log(stage: Stage, name: str) -> str:
    """What a reaper that has ended said; empty while it has not, or is gone."""
    pods = stage.kube.list("Pod", SERVICES_NAMESPACE, labels=f"batch.kubernetes.io/job-name=reap-{name}")
    ended = [pod for pod in pods if (pod.get("status") or {}).get("phase") in OVER]
    if not ended:
        return ""
    return stage.kube.pod_logs(ended[0]["metadata"]["name"], "reaper", namespace=SERVICES_NAMESPACE)
