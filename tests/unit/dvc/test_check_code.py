"""What the checks on the code that ran tell, word for word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.model import PodEvidence

from .conftest import IMAGE, RIVAL, SEED, TASKS, Facts, Told, given, told, told_of

A, C = "a" * 10, "c" * 10
SHORT = f"sha256:{'1' * 12}"
STALE = f"sha256:{'2' * 64}"
OUTCOME = given()[1].outcome


def pods(role: str, *changes: dict[str, Any]) -> tuple[PodEvidence, ...]:
    """All pods, the first ones of this role changed in order; GONE leaves the pod out."""
    todo = list(changes)
    made = []
    for pod in given()[1].pods:
        change = todo.pop(0) if todo and pod.role == role else {}
        if change != {"gone": True}:
            made.append(replace(pod, **change))
    return tuple(made)


def states(run: str = "success", **tasks: str) -> Any:
    changed = {name: replace(task, state=tasks.get(name, "success")) for name, task in OUTCOME.tasks.items()}
    return replace(OUTCOME, state=run, tasks={name: task for name, task in changed.items() if task.state != "gone"})


GONE = {"gone": True}
POD = next(pod for pod in given()[1].pods if pod.role == "task")
NOT_RAN = "the code under test is not the code that ran: "
SKIPPING = {"final_states": frozenset({"success", "skipped"})}
CODE: dict[str, tuple[Facts, Told]] = {
    "it is": (given(), (True, f"every executor pod on {A}", A, "")),
    "either of two": (
        given(expect={"executor_shas": frozenset({SEED, RIVAL})}, pods=pods("executor", {"synced_sha": RIVAL})),
        (True, f"every executor pod on {A} or {C}", f"{C}, {A}", ""),
    ),
    "a commit with the same code": (
        given(same_code=frozenset({RIVAL}), pods=pods("executor", {"synced_sha": RIVAL})),
        (True, f"every executor pod on {A}", f"{C}, {A}", ""),
    ),
    "one on another commit, one unknown": (
        given(pods=pods("executor", {"synced_sha": RIVAL}, {"synced_sha": None})),
        (False, f"every executor pod on {A}", f"{C}, unknown, {A}",
         (f"{NOT_RAN}pod pull_data-executor (pull_data) ran the DAG of commit {C}; "
         "what pod modify_data-executor (modify_data) had checked out could not be seen.")),
    ),
    "one not seen": (
        given(pods=pods("executor", {}, GONE)),
        (False, f"every executor pod on {A}", f"{A}, modify_data: no pod",
         f"{NOT_RAN}no executor pod of task modify_data was seen."),
    ),
    "none seen": (
        given(pods=pods("executor", GONE, GONE, GONE)),
        (False, f"every executor pod on {A}", "no executor pod",
         f"{NOT_RAN}no executor pod was seen, so nobody knows which code ran."),
    ),
    "one skipped where that is fine": (
        given(expect=SKIPPING, outcome=states(push_data="skipped"), pods=pods("executor", {}, {}, GONE)),
        (True, f"every executor pod on {A}", A, ""),
    ),
    "another than the skipped one not seen": (
        given(expect=SKIPPING, outcome=states(push_data="skipped"), pods=pods("executor", GONE)),
        (False, f"every executor pod on {A}", f"{A}, pull_data: no pod",
         f"{NOT_RAN}no executor pod of task pull_data was seen."),
    ),
    "one skipped where that is not fine": (
        given(outcome=states(push_data="skipped"), pods=pods("executor", {}, {}, GONE)),
        (False, f"every executor pod on {A}", f"{A}, push_data: no pod",
         f"{NOT_RAN}no executor pod of task push_data was seen."),
    ),
}  # fmt: skip
OTHER_IMAGE = "the worker image under test is not the one that ran: "
ON_IMAGE = f"every task pod on {SHORT}"
WORKER: dict[str, tuple[Facts, Told]] = {
    "it is": (given(), (True, ON_IMAGE, SHORT, "")),
    "either of two, as kubelets write them": (
        given(expect={"image_ids": frozenset({IMAGE, f"docker.io/worker@{STALE}"})},
              pods=pods("task", {"image_id": f"docker-pullable://worker@{STALE}"}, {"image_id": IMAGE})),
        (True, f"{ON_IMAGE} or sha256:{'2' * 12}", f"sha256:{'2' * 12}, {SHORT}", ""),
    ),
    "a stale one, and three unknown": (
        given(pods=pods("task", {"image_id": f"x@{STALE}"}, {"image_id": ""}, {"image_id": "worker:2"})),
        (False, ON_IMAGE, f"sha256:{'2' * 12}, unknown",
         (f"{OTHER_IMAGE}pod pull_data-task (pull_data) ran worker:2 as sha256:{'2' * 12}; "
         "pod modify_data-task (modify_data) shows no image ID (empty); "
         "pod push_data-task (push_data) shows no image ID (worker:2).")),
    ),
    "none expected": (
        given(expect={"image_ids": frozenset({"worker:2"})}, pods=pods("task", *[{"image_id": "worker:2"}] * 3)),
        (False, "every task pod on ", "unknown",
         f"{OTHER_IMAGE}no expected image ID is known; "
         + "; ".join(f"pod {task}-task ({task}) shows no image ID (worker:2)" for task in TASKS) + "."),
    ),
    "none seen": (
        given(pods=pods("task", GONE, GONE, GONE)),
        (False, ON_IMAGE, "no task pod",
         OTHER_IMAGE + "; ".join(f"no pod of task {task} was seen" for task in TASKS) + "."),
    ),
}  # fmt: skip
ALL_SUCCEED = "run success; pull_data, modify_data, push_data: success"
FAILED = "Airflow itself says that the run did not succeed: "
SUCCEEDED: dict[str, tuple[Facts, Told]] = {
    "they did": (
        given(), (True, ALL_SUCCEED, "run success; modify_data: success, pull_data: success, push_data: success", ""),
    ),
    "one failed, one is missing": (
        given(outcome=states("failed", pull_data="failed", push_data="gone")),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: failed",
         f"{FAILED}the DAG run r1 ended as failed; task pull_data is failed; task push_data is missing."),
    ),
    "its pod could not start": (
        given(outcome=states("failed", pull_data="failed"),
              pods=pods("task", {"phase": "Pending", "reason": "pod p: ErrImagePull", "last_words": "no"})),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: failed, push_data: success",
         f"{FAILED}the DAG run r1 ended as failed; task pull_data is failed (pod p: ErrImagePull)."),
    ),
    "its pod said why": (
        given(outcome=states("failed", pull_data="failed"),
              pods=pods("task", {"phase": "Failed", "last_words": "no such bucket"}, {"last_words": "well"})),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: failed, push_data: success",
         (f"{FAILED}the DAG run r1 ended as failed; "
          "task pull_data is failed (the last line of pod pull_data-task: no such bucket).")),
    ),
    "of two tries, the last one's pod could not start": (
        given(outcome=states("failed", pull_data="failed"),
              pods=(*pods("task", {"phase": "Failed", "reason": "first"}),
                    replace(POD, phase="Failed", reason="second"))),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: failed, push_data: success",
         f"{FAILED}the DAG run r1 ended as failed; task pull_data is failed (second)."),
    ),
    "of two tries, the last one's pod said why": (
        given(outcome=states("failed", pull_data="failed"),
              pods=(*pods("task", {"phase": "Failed", "last_words": "first"}),
                    replace(POD, name="again", phase="Failed", last_words="second"))),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: failed, push_data: success",
         (f"{FAILED}the DAG run r1 ended as failed; "
          "task pull_data is failed (the last line of pod again: second).")),
    ),
    "its pod succeeded, and what it said is no reason": (
        given(outcome=states("failed", pull_data="failed"), pods=pods("task", {"last_words": "done"})),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: failed, push_data: success",
         f"{FAILED}the DAG run r1 ended as failed; task pull_data is failed."),
    ),
    "its executor's pod and other tasks' pods tell nothing": (
        given(outcome=states("failed", pull_data="failed"),
              pods=(replace(POD, role="executor", phase="Failed", reason="evicted"),
                    replace(POD, task_id="push_data", phase="Failed", reason="evicted"), *pods("task", GONE))),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: failed, push_data: success",
         f"{FAILED}the DAG run r1 ended as failed; task pull_data is failed."),
    ),
    "no tasks": (
        given(outcome=states(pull_data="gone", modify_data="gone", push_data="gone")),
        (False, ALL_SUCCEED, "run success; no tasks",
         f"{FAILED}task pull_data is missing; task modify_data is missing; task push_data is missing."),
    ),
    "skipped where that is fine": (
        given(expect=SKIPPING, outcome=states(push_data="skipped")),
        (True, "run success; pull_data, modify_data, push_data: skipped or success",
         "run success; modify_data: success, pull_data: success, push_data: skipped", ""),
    ),
}  # fmt: skip


@told_of({"code.dag-sha": CODE, "code.worker-image": WORKER, "tasks.succeeded": SUCCEEDED})
def test_a_check_tells_what_it_expected_and_found_and_what_is_wrong(check: str, facts: Facts, expected: Told) -> None:
    assert told(check, facts) == expected
