"""Checks on which code ran, and on what Airflow says of it."""

from __future__ import annotations

import re
from typing import Final

from harness.dvc.case import Case
from harness.dvc.rules import Finding, Rule
from harness.model import PodEvidence, TaskOutcome

_IMAGE_ID = re.compile(r"(?:^|[@/])(sha256:[0-9a-f]{64})$")


def _dag_sha(case: Case) -> Finding:
    allowed = case.expectation.executor_shas | case.evidence.same_code
    pods = [pod for pod in case.evidence.pods if pod.role == "executor"]
    expected = "every executor pod on " + " or ".join(sorted(sha[:10] for sha in case.expectation.executor_shas))
    unseen = [name for task in case.expectation.tasks for name in _unseen(case, task, pods)]
    ran = [pod for pod in pods if pod.ran or pod.synced_sha is not None]
    wrong = [
        f"pod {pod.name} ({pod.task_id}) ran the DAG of commit {pod.synced_sha[:10]}"
        for pod in ran
        if pod.synced_sha is not None and pod.synced_sha not in allowed
    ]
    blind = [f"no executor pod of task {name} was seen" for name in unseen]
    if not pods:
        blind = ["no executor pod was seen, so nobody knows which code ran"]
    blind += [
        f"what pod {pod.name} ({pod.task_id}) had checked out could not be seen"
        for pod in ran
        if pod.synced_sha is None
    ]
    found = _seen([(pod.synced_sha or "unknown")[:10] for pod in ran], unseen) or "no executor pod"
    return _told(expected, found, wrong, blind, _OTHER_CODE)


def _worker_image(case: Case) -> Finding:
    allowed = {_image_id(image) for image in case.expectation.image_ids} - {""}
    pods = [pod for pod in case.evidence.pods if pod.role == "task"]
    # An executor's pod ends before it has made the task's where something else fails first, so a try may have none. All
    # that there were have been seen; unless they were out of sight for a moment.
    unseen = [
        name
        for task in case.expectation.pod_tasks
        for name in _unseen(case, task, pods, every_try=case.evidence.watch.gaps > 0)
    ]
    ran = [(f"pod {pod.name} ({pod.task_id})", pod.image, pod.image_id) for pod in pods if pod.ran or pod.image_id]
    # Beside it only what has the worker's name: an operator's own sidecar is another image, and nobody's to judge.
    workers = {_image_name(image) for _what, image, image_id in ran if _image_id(image_id) in allowed}
    ran += [
        (f"container {one.container} of pod {pod.name} ({pod.task_id})", one.image, one.image_id)
        for pod in pods
        for one in pod.beside
        if _image_name(one.image) in workers
    ]
    wrong = [
        f"{what} ran {image} as {_image_id(image_id)[:19]}"
        for what, image, image_id in ran
        if allowed and _image_id(image_id) and _image_id(image_id) not in allowed
    ]
    blind = [f"no pod of task {name} was seen" for name in unseen]
    if not allowed:
        blind.append("no expected image ID is known")
    blind += [
        f"{what} shows no image ID ({image_id or 'empty'})" for what, _image, image_id in ran if not _image_id(image_id)
    ]
    expected = "every task pod on " + " or ".join(sorted(identity[:19] for identity in allowed))
    found = _seen([_image_id(image_id)[:19] or "unknown" for _what, _image, image_id in ran], unseen) or "no task pod"
    return _told(expected, found, wrong, blind, _OTHER_IMAGE)


def _no_task_pods(case: Case) -> str:
    if case.expectation.pod_tasks or any(pod.role == "task" for pod in case.evidence.pods):
        return ""
    return "no task has a pod of its own, so the executor's image did the work, and is not judged"


def _told(expected: str, found: str, wrong: list[str], blind: list[str], about: tuple[str, str]) -> Finding:
    """What is known to be wrong makes the run red; what could not be seen makes it neither red nor green."""
    if wrong:
        return Finding(False, expected, found, f"{about[0]}: {'; '.join([*wrong, *blind])}.")
    if blind:
        why = f"{about[1]} could not be established: {'; '.join(blind)}."
        return Finding(False, expected, found, why, established=False)
    return Finding(True, expected, found)


_OTHER_CODE = ("the code under test is not the code that ran", "which code ran")
_OTHER_IMAGE = ("the worker image under test is not the one that ran", "which image the tasks' pods ran")


def _succeeded(case: Case) -> Finding:
    outcome, fine = case.evidence.outcome, case.expectation.final_states
    problems = [] if outcome.state == "success" else [f"the DAG run {outcome.run_id} ended as {outcome.state}"]
    if outcome.overdue is not None:
        problems = [f"the DAG run {outcome.run_id} did not end in {outcome.overdue:.0f} s (run_timeout), and was ended"]
    if outcome.stuck:
        problems = [f"the DAG run {outcome.run_id} was ended, for none of its tasks got on: {outcome.stuck}"]
    for task in case.expectation.tasks:
        for index, instance in _instances(case, task).items():
            if instance.state not in fine:
                problems.append(f"task {_name(task, index)} is {instance.state}{_told_by_its_pod(case, task, index)}")
        if task not in outcome.tasks:
            problems.append(f"task {task} is missing")
    found = ", ".join(f"{task}: {outcome.tasks[task].state}" for task in sorted(outcome.tasks)) or "no tasks"
    expected = f"run success; {', '.join(case.expectation.tasks)}: {' or '.join(sorted(fine))}"
    why = f"Airflow itself says that the run did not succeed: {'; '.join(problems)}."
    return Finding(not problems, expected, f"run {outcome.state}; {found}", why if problems else "")


def _told_by_its_pod(case: Case, task: str, index: int) -> str:
    """Why a task's own pod did not succeed, as far as the pod shows it: what became of it, or else its last line."""
    own = [pod for pod in case.evidence.pods if (pod.role, pod.task_id, pod.map_index) == ("task", task, index)]
    pods = [pod for pod in own if pod.phase != "Succeeded"]
    reasons = [pod.reason for pod in pods if pod.reason]
    if reasons:
        return f" ({reasons[-1]})"
    words = [f" (the last line of pod {pod.name}: {pod.last_words})" for pod in pods if pod.last_words]
    return words[-1] if words else ""


def _instances(case: Case, task: str) -> dict[int, TaskOutcome]:
    """Of a mapped task every instance, by index; else the task itself, as -1; nothing where Airflow has none of it."""
    tasks = case.evidence.outcome.tasks
    mapped = {
        int(name[len(task) + 1 : -1]): outcome
        for name, outcome in tasks.items()
        if name.startswith(f"{task}[") and name.endswith("]")
    }
    return mapped or ({-1: tasks[task]} if task in tasks else {})


def _name(task: str, index: int) -> str:
    return task if index < 0 else f"{task}[{index}]"


def _unseen(case: Case, task: str, pods: list[PodEvidence], *, every_try: bool = True) -> list[str]:
    """The tries of a task of which no pod was seen.

    Airflow counts a try as soon as it hands it to the executor, which makes at least one pod for it; a task that was
    deferred or put off comes back in the same try with another one (apache-airflow-core 3.3.2, models/dagrun.py,
    `schedule_tis`). What never ran, such as a branch not taken, has no try. One that was never queued no executor has
    had: by the same function the scheduler itself ends tasks of `EmptyOperator` and of what inherits from it, and gives
    those with `start_from_trigger` to the triggerer, which may end them; all of these count a try.

    Args:
        case: The facts.
        task: Its id.
        pods: Those that count.
        every_try: Whether each try has one; else one is enough for a task that succeeded.
    """
    unseen = []
    for index, instance in _instances(case, task).items():
        if not instance.queued:
            continue
        own = [pod for pod in pods if (pod.task_id, pod.map_index) == (task, index)]
        tries = {pod.try_number for pod in own} - {0}
        missing = [number for number in range(1, instance.try_number + 1) if number not in tries]
        # A pod that does not say which try it was made for stands for one of them.
        missing = missing[sum(pod.try_number == 0 for pod in own) :]
        if not every_try:
            missing = [instance.try_number] if instance.state == "success" and instance.try_number and not own else []
        name = _name(task, index)
        unseen += [name if instance.try_number == 1 else f"{name} (try {number})" for number in missing]
    return unseen


def _seen(ran: list[str], unseen: list[str]) -> str:
    """What ran, each once, then the tasks of which nothing did; nothing where there was no pod at all."""
    return ", ".join([*dict.fromkeys(ran), *(f"{task}: no pod" for task in unseen)]) if ran else ""


def _image_id(text: str) -> str:
    """The digest in what a kubelet reports: "sha256:...", "docker.io/library/x@sha256:..." and the like."""
    match = _IMAGE_ID.search(text)
    return match[1] if match else ""


def _image_name(reference: str) -> str:
    """The last part of an image's name: "airflow-dvc-worker" of "registry:5000/team/airflow-dvc-worker:2.0.0"."""
    return reference.rpartition("/")[2].partition("@")[0].partition(":")[0]


CODE_RULES: Final = (
    Rule("code.dag-sha", "the DAG under test is the one that ran", _dag_sha),
    Rule("code.worker-image", "the worker image under test is the one that ran", _worker_image, moot=_no_task_pods),
    Rule("tasks.succeeded", "Airflow says that every task succeeded", _succeeded),
)
