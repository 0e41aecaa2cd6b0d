"""Fatal pod states: which end a wait, which do not, and what the reader is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.podstate import NO_ROOM_GRACE, UNSCHEDULABLE_GRACE, Blame, fatal_reason, fatal_state, parse_time

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "airflow", **metadata}, "status": status}


def waiting(reason: str, message: str = "", kind: str = "containerStatuses") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod({"phase": "Pending", kind: [{"name": "base", "state": state}]})


def unschedulable(message: str, since: datetime = NOW) -> dict[str, Any]:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": since.isoformat(),
    }
    return pod({"phase": "Pending", "conditions": [condition]})


@pytest.mark.parametrize(
    "reason",
    [
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    ],
)
@pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses"])
def test_a_container_that_cannot_start_is_fatal(reason: str, kind: str) -> None:
    told = fatal_reason(waiting(reason, "what the kubelet said", kind))
    assert told is not None
    assert "airflow/p, container base" in told
    assert f"{reason}: what the kubelet said" in told


@pytest.mark.parametrize("what", ["configmap", "secret"])
def test_a_config_map_that_the_kubelet_has_not_fetched_yet_is_not_fatal(what: str) -> None:
    """Seen on a busy node: the same container started a second later."""
    message = f"failed to sync {what} cache: timed out waiting for the condition"
    assert fatal_reason(waiting("CreateContainerConfigError", message)) is None
    assert fatal_reason(waiting("CreateContainerConfigError", f'{what} "x" not found')) is not None


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_a_container_that_is_being_made_is_not_fatal(reason: str) -> None:
    assert fatal_reason(waiting(reason)) is None


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"phase": "Running", "containerStatuses": [{"name": "base", "ready": True, "state": {"running": {}}}]},
        {"phase": "Succeeded", "containerStatuses": [{"name": "base", "state": {"terminated": {"exitCode": 0}}}]},
        {
            "phase": "Failed",
            "containerStatuses": [{"name": "base", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}],
        },
    ],
)
def test_a_pod_that_works_or_has_ended_by_its_own_exit_code_is_not_fatal(status: dict[str, Any]) -> None:
    assert fatal_reason(pod(status)) is None


def test_a_container_killed_for_memory_is_fatal_with_advice() -> None:
    killed = {"name": "base", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    told = fatal_reason(pod({"phase": "Failed", "containerStatuses": [killed]}))
    assert told is not None
    assert "OOMKilled" in told
    assert "memory limit" in told


def test_a_container_that_came_back_after_it_was_killed_is_not_fatal() -> None:
    back = {
        "name": "base",
        "ready": True,
        "state": {"running": {}},
        "lastState": {"terminated": {"reason": "OOMKilled"}},
    }
    assert fatal_reason(pod({"phase": "Running", "containerStatuses": [back]})) is None


def test_a_crash_loop_says_how_the_container_ended_where_the_kubelet_does_not() -> None:
    looping = {
        "name": "base",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
    }
    told = fatal_reason(pod({"phase": "Running", "containerStatuses": [looping]}))
    assert told is not None
    assert "exit code 3" in told


@pytest.mark.parametrize("reason", ["Evicted", "OutOfmemory", "UnexpectedAdmissionError"])
def test_a_pod_that_its_node_gave_up_is_fatal(reason: str) -> None:
    told = fatal_reason(pod({"phase": "Failed", "reason": reason, "message": "low on disk"}))
    assert told is not None
    assert f"{reason}: low on disk" in told


def test_an_unschedulable_pod_is_fatal_with_the_schedulers_words() -> None:
    told = fatal_reason(unschedulable("0/1 nodes are available: 1 Insufficient cpu."))
    assert told is not None
    assert "1 Insufficient cpu" in told


def test_unschedulable_counts_only_once_it_has_lasted() -> None:
    message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    assert fatal_reason(unschedulable(message), now=NOW + timedelta(seconds=1)) is None
    assert fatal_reason(unschedulable(message), now=NOW + UNSCHEDULABLE_GRACE) is not None


def test_what_lacks_room_waits_for_what_runs_beside_it() -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu."
    assert fatal_reason(unschedulable(message), now=NOW + UNSCHEDULABLE_GRACE) is None
    assert fatal_reason(unschedulable(message), now=NOW + NO_ROOM_GRACE) is not None


def test_a_node_that_is_still_starting_makes_no_pod_fatal() -> None:
    message = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }."
    assert fatal_reason(unschedulable(message), now=NOW + timedelta(hours=1)) is None


def test_a_pod_that_is_being_deleted_is_not_unschedulable() -> None:
    leaving = unschedulable("no room")
    leaving["metadata"]["deletionTimestamp"] = NOW.isoformat()
    assert fatal_reason(leaving) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", NOW),
        ("2026-01-31T12:00:00.123456789Z", NOW.replace(microsecond=123456)),
        ("2026-01-31T12:00:00.5Z", NOW.replace(microsecond=500000)),
        ("2026-01-31T13:00:00.000001+01:00", NOW.replace(microsecond=1)),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_api_times_are_read_with_any_number_of_fraction_digits(text: object, expected: datetime | None) -> None:
    assert parse_time(text) == expected


NO_CLAIM = '0/1 nodes are available: persistentvolumeclaim "shared-pvc" not found.'


@pytest.mark.parametrize(
    ("found", "blame"),
    [
        (waiting("ErrImagePull"), Blame.IMAGE),
        (waiting("InvalidImageName"), Blame.IMAGE),
        (waiting("RegistryUnavailable"), Blame.PLACE),
        (waiting("CreateContainerConfigError", "couldn't find key USER in Secret airflow/x"), Blame.DESCRIPTION),
        (waiting("CreateContainerError", 'failed to generate spec: path "/x" does not exist'), Blame.DESCRIPTION),
        (waiting("CreateContainerError", "context deadline exceeded"), Blame.PLACE),
        (waiting("CreateContainerError", 'failed to reserve container name "base_0"'), Blame.PLACE),
        (waiting("RunContainerError"), Blame.PROGRAM),
        (pod({"phase": "Failed", "reason": "Evicted"}), Blame.PLACE),
        (unschedulable("0/1 nodes are available: 1 Insufficient cpu."), Blame.PLACE),
        (unschedulable(NO_CLAIM), Blame.DESCRIPTION),
    ],
)
def test_a_fatal_state_tells_what_it_is_about(found: dict[str, Any], blame: Blame) -> None:
    state = fatal_state(found)
    assert state is not None
    assert state.blame is blame


@pytest.mark.parametrize("reason", ["OOMKilled", "StartError", "ContainerCannotRun"])
def test_how_a_container_ended_is_about_its_program(reason: str) -> None:
    ended = {"name": "base", "state": {"terminated": {"reason": reason, "exitCode": 137}}}
    state = fatal_state(pod({"phase": "Failed", "containerStatuses": [ended]}))
    assert state is not None
    assert (state.blame, state.container) == (Blame.PROGRAM, "base")
