"""Whether a workload is rolled out: the counts, the newest revision's pods, a Job's end."""

from __future__ import annotations

from typing import Any

import pytest

from harness.rollout import judge, selector


def deployment(*, wanted: int | None = 2, generation: int = 2, **status: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "uid": "u1", "generation": generation},
        "spec": {
            **({} if wanted is None else {"replicas": wanted}),
            "selector": {"matchLabels": {"tier": "x", "app": "d"}},
        },
        "status": {"observedGeneration": 2, **status},
    }


def broken(name: str, **labels: str) -> dict[str, Any]:
    state = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    return {
        "metadata": {"name": name, "namespace": "ns", "labels": labels},
        "status": {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]},
    }


def replica_set(revision: int, template_hash: str, owner: str = "u1") -> dict[str, Any]:
    return {
        "metadata": {
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "labels": {"pod-template-hash": template_hash},
            "ownerReferences": [{"uid": owner}],
        }
    }


DONE = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def test_a_deployment_with_all_its_new_replicas_available_is_complete() -> None:
    assert judge(deployment(**DONE), pods=[]).complete


@pytest.mark.parametrize(
    "status",
    [
        {**DONE, "availableReplicas": 1},
        {**DONE, "updatedReplicas": 1},
        {**DONE, "replicas": 3},  # one of the old ones is still there
        {},
    ],
)
def test_a_deployment_with_fewer_new_or_still_old_replicas_is_not_complete(status: dict[str, Any]) -> None:
    assert not judge(deployment(**status), pods=[]).complete


def test_counts_of_an_older_generation_do_not_count() -> None:
    assert not judge(deployment(generation=3, **DONE), pods=[]).complete


def test_replicas_default_to_one() -> None:
    one = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    assert judge(deployment(wanted=None, **one), pods=[]).complete


def test_a_deployment_of_no_replicas_is_complete_when_none_is_left() -> None:
    assert judge(deployment(wanted=0), pods=[]).complete


def test_a_broken_pod_of_the_newest_revision_is_a_fault() -> None:
    sets = [replica_set(1, "old"), replica_set(2, "new")]
    found = judge(deployment(), pods=[broken("p", **{"pod-template-hash": "new"})], replica_sets=sets)
    assert found.fault is not None
    assert "no such image" in found.fault


def test_a_broken_pod_of_an_older_revision_is_no_fault() -> None:
    sets = [replica_set(10, "new"), replica_set(9, "old")]
    found = judge(deployment(), pods=[broken("p", **{"pod-template-hash": "old"})], replica_sets=sets)
    assert found.fault is None


def test_another_deployments_replica_sets_are_not_looked_at() -> None:
    sets = [replica_set(1, "mine"), replica_set(7, "theirs", owner="u2")]
    assert judge(deployment(), pods=[broken("p", **{"pod-template-hash": "mine"})], replica_sets=sets).fault


def test_a_missed_progress_deadline_is_a_fault() -> None:
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "it hangs"}
    found = judge(deployment(conditions=[condition]), pods=[])
    assert found.fault is not None
    assert "it hangs" in found.fault


def test_a_stateful_set_is_complete_when_every_replica_is_ready_at_the_update_revision() -> None:
    made: dict[str, Any] = {
        "kind": "StatefulSet",
        "metadata": {"generation": 1},
        "spec": {"replicas": 1},
        "status": {
            "observedGeneration": 1,
            "replicas": 1,
            "readyReplicas": 1,
            "currentReplicas": 1,
            "currentRevision": "r1",
            "updateRevision": "r1",
        },
    }
    assert judge(made, pods=[]).complete
    made["status"]["updateRevision"] = "r2"
    assert not judge(made, pods=[]).complete


def test_a_job_is_complete_when_it_has_succeeded_as_often_as_asked() -> None:
    job: dict[str, Any] = {"kind": "Job", "metadata": {}, "spec": {}, "status": {"succeeded": 1}}
    assert judge(job, pods=[]).complete
    job["spec"]["completions"] = 2
    assert not judge(job, pods=[]).complete


def test_a_failed_job_is_a_fault() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    found = judge({"kind": "Job", "metadata": {}, "spec": {}, "status": {"conditions": [condition]}}, pods=[])
    assert found.fault is not None
    assert "BackoffLimitExceeded" in found.fault


def test_the_selector_is_the_workloads_own_labels() -> None:
    assert selector(deployment()) == "app=d,tier=x"


def test_a_kind_without_a_roll_out_is_refused() -> None:
    with pytest.raises(ValueError, match="ConfigMap"):
        judge({"kind": "ConfigMap", "metadata": {}}, pods=[])
