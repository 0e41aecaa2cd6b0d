"""What the checks on the code that ran tell, word for word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.dvc import judge
from harness.model import ContainerImage, PodEvidence, TaskOutcome, Watch

from .conftest import IMAGE, RIVAL, SEED, TASKS, Facts, Told, given, told, told_of

EXECUTOR = next(pod for pod in given()[1].pods if (pod.task_id, pod.role) == ("push_data", "executor"))


def tried(times: int, *, state: str = "success") -> Any:
    """The outcome with a last task that was tried so often."""
    return replace(OUTCOME, tasks={**OUTCOME.tasks, "push_data": TaskOutcome("push_data", state, times, 1.0)})


def unqueued(state: str, *tasks: str) -> Any:
    """The outcome with tasks that had a try, and that no executor was ever handed."""
    found = {task: TaskOutcome(task, state, 1, 0.0, queued=False) for task in tasks or ("push_data",)}
    return replace(OUTCOME, tasks={**OUTCOME.tasks, **found})


def mapped(*instances: str) -> Any:
    """The outcome with a last task of several instances."""
    found = {f"push_data[{index}]": TaskOutcome("push_data", state, 1, 1.0) for index, state in enumerate(instances)}
    return replace(OUTCOME, tasks={**OUTCOME.tasks, **found})


def unqueued_first(outcome: Any) -> Any:
    """The outcome of which no executor was ever handed the first instance of the last task."""
    first = replace(outcome.tasks["push_data[0]"], queued=False)
    return replace(outcome, tasks={**outcome.tasks, "push_data[0]": first})


def executors(*tries: int, index: int = -1) -> tuple[PodEvidence, ...]:
    """All pods, that of the last task's executor once for each of these tries."""
    others = tuple(pod for pod in given()[1].pods if pod != EXECUTOR)
    made = (replace(EXECUTOR, name=f"e{n}", try_number=number, map_index=index) for n, number in enumerate(tries))
    return (*others, *made)


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
    """The outcome with these states; what was skipped, or is behind what failed, never ran."""
    unrun = {"skipped", "upstream_failed", "removed", "none"}
    changed = {
        name: replace(task, state=state, try_number=0 if state in unrun else task.try_number)
        for name, task in OUTCOME.tasks.items()
        for state in [tasks.get(name, "success")]
    }
    return replace(OUTCOME, state=run, tasks={name: task for name, task in changed.items() if task.state != "gone"})


GONE = {"gone": True}
POD = next(pod for pod in given()[1].pods if pod.role == "task")
NOT_RAN = "the code under test is not the code that ran: "
UNKNOWN = "which code ran could not be established: "
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
         f"{UNKNOWN}no executor pod of task modify_data was seen."),
    ),
    "none seen": (
        given(pods=pods("executor", GONE, GONE, GONE)),
        (False, f"every executor pod on {A}", "no executor pod",
         f"{UNKNOWN}no executor pod was seen, so nobody knows which code ran."),
    ),
    "one skipped where that is fine": (
        given(expect=SKIPPING, outcome=states(push_data="skipped"), pods=pods("executor", {}, {}, GONE)),
        (True, f"every executor pod on {A}", A, ""),
    ),
    "another than the skipped one not seen": (
        given(expect=SKIPPING, outcome=states(push_data="skipped"), pods=pods("executor", GONE)),
        (False, f"every executor pod on {A}", f"{A}, pull_data: no pod",
         f"{UNKNOWN}no executor pod of task pull_data was seen."),
    ),
    "one skipped where that is not fine": (
        given(outcome=states(push_data="skipped"), pods=pods("executor", {}, {}, GONE)),
        (True, f"every executor pod on {A}", A, ""),
    ),
    "one that Airflow called done by itself": (
        given(outcome=unqueued("success"), pods=pods("executor", {}, {}, GONE)),
        (True, f"every executor pod on {A}", A, ""),
    ),
    "one that the triggerer alone saw fail": (
        given(outcome=unqueued("failed"), pods=pods("executor", {}, {}, GONE)),
        (True, f"every executor pod on {A}", A, ""),
    ),
    "all that Airflow called done by itself": (
        given(outcome=unqueued("success", *TASKS), pods=pods("executor", GONE, GONE, GONE)),
        (False, f"every executor pod on {A}", "no executor pod",
         f"{UNKNOWN}no executor pod was seen, so nobody knows which code ran."),
    ),
    "what is behind a task that failed": (
        given(outcome=states("failed", modify_data="failed", push_data="upstream_failed"),
              pods=pods("executor", {}, {}, GONE)),
        (True, f"every executor pod on {A}", A, ""),
    ),
    "one skipped itself, and no pod of it was seen": (
        given(expect=SKIPPING, outcome=tried(1, state="skipped"), pods=pods("executor", {}, {}, GONE)),
        (False, f"every executor pod on {A}", f"{A}, push_data: no pod",
         f"{UNKNOWN}no executor pod of task push_data was seen."),
    ),
    "two unknown": (
        given(pods=pods("executor", {"synced_sha": None})),
        (False, f"every executor pod on {A}", f"unknown, {A}",
         f"{UNKNOWN}what pod pull_data-executor (pull_data) had checked out could not be seen."),
    ),
    "a pod that never came to run": (
        given(outcome=tried(2), pods=(*executors(1, 2), replace(EXECUTOR, name="x", synced_sha=None, ran=False))),
        (True, f"every executor pod on {A}", A, ""),
    ),
    "two tries, and a pod of each": (
        given(outcome=tried(2), pods=executors(1, 2)), (True, f"every executor pod on {A}", A, ""),
    ),
    "two tries, and pods that do not say of which": (
        given(outcome=tried(2), pods=executors(0, 0)), (True, f"every executor pod on {A}", A, ""),
    ),
    "one try that was put off, so with two pods": (
        given(outcome=tried(1), pods=executors(1, 1)), (True, f"every executor pod on {A}", A, ""),
    ),
    "two tries, and pods of the second alone": (
        given(outcome=tried(2), pods=executors(2, 2)),
        (False, f"every executor pod on {A}", f"{A}, push_data (try 1): no pod",
         f"{UNKNOWN}no executor pod of task push_data (try 1) was seen."),
    ),
    "three tries, and one pod that does not say of which": (
        given(outcome=tried(3), pods=executors(0)),
        (False, f"every executor pod on {A}", f"{A}, push_data (try 2): no pod, push_data (try 3): no pod",
         (f"{UNKNOWN}no executor pod of task push_data (try 2) was seen; "
          "no executor pod of task push_data (try 3) was seen.")),
    ),
    "of two instances one not seen": (
        given(outcome=mapped("success", "success"), pods=executors(1, index=0)),
        (False, f"every executor pod on {A}", f"{A}, push_data[1]: no pod",
         f"{UNKNOWN}no executor pod of task push_data[1] was seen."),
    ),
    "of two instances the first not seen": (
        given(outcome=mapped("success", "success"), pods=executors(1, index=1)),
        (False, f"every executor pod on {A}", f"{A}, push_data[0]: no pod",
         f"{UNKNOWN}no executor pod of task push_data[0] was seen."),
    ),
    "of two instances neither seen": (
        given(outcome=mapped("success", "success"), pods=executors()),
        (False, f"every executor pod on {A}", f"{A}, push_data[0]: no pod, push_data[1]: no pod",
         (f"{UNKNOWN}no executor pod of task push_data[0] was seen; "
          "no executor pod of task push_data[1] was seen.")),
    ),
    "of two instances the second not seen, and the first was never queued": (
        given(outcome=unqueued_first(mapped("failed", "success")), pods=executors()),
        (False, f"every executor pod on {A}", f"{A}, push_data[1]: no pod",
         f"{UNKNOWN}no executor pod of task push_data[1] was seen."),
    ),
    "two instances": (
        given(outcome=mapped("success", "success"),
              pods=(*executors(1, index=0), replace(EXECUTOR, name="x", map_index=1, try_number=1))),
        (True, f"every executor pod on {A}", A, ""),
    ),
}  # fmt: skip
UNKNOWN_IMAGE = "which image the tasks' pods ran could not be established: "
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
         f"{UNKNOWN_IMAGE}no expected image ID is known; "
         + "; ".join(f"pod {task}-task ({task}) shows no image ID (worker:2)" for task in TASKS) + "."),
    ),
    "none seen": (
        given(pods=pods("task", GONE, GONE, GONE)),
        (False, ON_IMAGE, "no task pod",
         UNKNOWN_IMAGE + "; ".join(f"no pod of task {task} was seen" for task in TASKS) + "."),
    ),
    "one that Airflow called done by itself, and the pods were out of sight": (
        given(outcome=unqueued("success"), pods=pods("task", {}, {}, GONE), watch=Watch(gaps=1)),
        (True, ON_IMAGE, SHORT, ""),
    ),
    "one try of two had a pod, and nothing was missed": (
        given(outcome=tried(2), pods=executors(1, 2)), (True, ON_IMAGE, SHORT, ""),
    ),
    "one try of two had a pod, and the pods were out of sight": (
        given(outcome=tried(2), pods=executors(1, 2), watch=Watch(gaps=1)),
        (False, ON_IMAGE, f"{SHORT}, push_data (try 2): no pod",
         f"{UNKNOWN_IMAGE}no pod of task push_data (try 2) was seen."),
    ),
    "one failed before it had a pod": (
        given(outcome=states("failed", push_data="failed"), pods=pods("task", {}, {}, GONE)),
        (True, ON_IMAGE, SHORT, ""),
    ),
    "another worker image in an init container, and a sidecar that is no worker": (
        given(pods=pods("task", {"beside": (
            ContainerImage("fetch", "registry:5000/x/worker:1@sha256:0", f"x@{STALE}"),
            ContainerImage("xcom", "alpine:3", "y@sha256:" + "3" * 64),
        )})),
        (False, ON_IMAGE, f"{SHORT}, sha256:{'2' * 12}",
         (f"{OTHER_IMAGE}container fetch of pod pull_data-task (pull_data) ran registry:5000/x/worker:1@sha256:0 "
          f"as sha256:{'2' * 12}.")),
    ),
    "another worker image in an init container, named by its digest alone": (
        given(pods=pods("task", {"beside": (ContainerImage("fetch", "x/worker@sha256:0", f"x@{STALE}"),)})),
        (False, ON_IMAGE, f"{SHORT}, sha256:{'2' * 12}",
         (f"{OTHER_IMAGE}container fetch of pod pull_data-task (pull_data) ran x/worker@sha256:0 "
          f"as sha256:{'2' * 12}.")),
    ),
    "a sidecar that is no worker, neither image with a tag": (
        given(pods=pods("task", *[{"image": "x/worker",
                                   "beside": (ContainerImage("xcom", "alpine", f"y@{STALE}"),)}] * 3)),
        (True, ON_IMAGE, SHORT, ""),
    ),
    "the worker image in an init container": (
        given(pods=pods("task", {"beside": (ContainerImage("fetch", "worker:2", IMAGE),)})),
        (True, ON_IMAGE, SHORT, ""),
    ),
    "a worker image in a sidecar that shows no ID": (
        given(pods=pods("task", {"beside": (ContainerImage("fetch", "worker:2", ""),)})),
        (False, ON_IMAGE, f"{SHORT}, unknown",
         f"{UNKNOWN_IMAGE}container fetch of pod pull_data-task (pull_data) shows no image ID (empty)."),
    ),
    "another one in the first of two pods of one name": (
        given(pods=(replace(POD, image_id=f"x@{STALE}"), *pods("task"))),
        (False, ON_IMAGE, f"sha256:{'2' * 12}, {SHORT}",
         f"{OTHER_IMAGE}pod pull_data-task (pull_data) ran worker:2 as sha256:{'2' * 12}."),
    ),
    "one pod that never started": (
        given(pods=pods("task", {"image_id": "", "ran": False})), (True, ON_IMAGE, SHORT, ""),
    ),
    "a pod of a task that none is known to have": (
        given(expect={"pod_tasks": ()}, pods=pods("task", {"image_id": f"x@{STALE}"})),
        (False, ON_IMAGE, f"sha256:{'2' * 12}, {SHORT}",
         f"{OTHER_IMAGE}pod pull_data-task (pull_data) ran worker:2 as sha256:{'2' * 12}."),
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
    "it did not end": (
        given(outcome=replace(states("failed", push_data="failed"), overdue=600.0)),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: success, push_data: failed",
         f"{FAILED}the DAG run r1 did not end in 600 s (run_timeout), and was ended; task push_data is failed."),
    ),
    "none of its tasks got on": (
        given(outcome=replace(states("failed", push_data="skipped"), stuck="push_data ready to run, and never queued")),
        (False, ALL_SUCCEED, "run failed; modify_data: success, pull_data: success, push_data: skipped",
         (f"{FAILED}the DAG run r1 was ended, for none of its tasks got on: push_data ready to run, and never queued; "
          "task push_data is skipped.")),
    ),
    "of three instances one failed": (
        given(expect=SKIPPING, outcome=mapped("skipped", "failed", "success"),
              pods=(replace(POD, task_id="push_data", map_index=1, phase="Failed", last_words="no"),
                    replace(POD, task_id="push_data", map_index=2, phase="Failed", last_words="another's"))),
        (False, "run success; pull_data, modify_data, push_data: skipped or success",
         ("run success; modify_data: success, pull_data: success, push_data: success, push_data[0]: skipped, "
          "push_data[1]: failed, push_data[2]: success"),
         f"{FAILED}task push_data[1] is failed (the last line of pod pull_data-task: no)."),
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


@pytest.mark.parametrize(
    ("check", "facts"),
    [("code.dag-sha", CODE[name][0]) for name in ("one not seen", "none seen", "two unknown")]
    + [("code.worker-image", WORKER[name][0]) for name in ("none expected", "none seen")],
)
def test_what_could_not_be_seen_makes_no_run_red(check: str, facts: Facts) -> None:
    verdict = judge(*facts)
    assert [one.id for one in verdict.undecided] == [check]
    assert not verdict.green


def test_a_dag_without_pods_of_its_own_is_not_judged_by_its_image_and_that_is_said() -> None:
    executors_alone = tuple(pod for pod in given()[1].pods if pod.role == "executor")
    verdict = judge(*given(expect={"pod_tasks": ()}, pods=executors_alone))
    assert "code.worker-image" not in {check.id for check in verdict.checks}
    assert verdict.green
    assert "code.worker-image does not apply: no task has a pod of its own" in verdict.headline
