"""Checks on which code ran, and on what Airflow says of it."""

from __future__ import annotations

import re
from typing import Final

from harness.dvc.case import Case
from harness.dvc.rules import Finding, Rule
from harness.model import PodEvidence

_IMAGE_ID = re.compile(r"(?:^|[@/])(sha256:[0-9a-f]{64})$")
_UNRUN = frozenset({"skipped"})


def _dag_sha(case: Case) -> Finding:
    allowed = case.expectation.executor_shas | case.evidence.same_code
    pods = [pod for pod in case.evidence.pods if pod.role == "executor"]
    expected = "every executor pod on " + " or ".join(sorted(sha[:10] for sha in case.expectation.executor_shas))
    unseen = _unseen(case, case.expectation.tasks, pods)
    problems = [f"no executor pod of task {task} was seen" for task in unseen]
    if not pods:
        problems = ["no executor pod was seen, so nobody knows which code ran"]
    for pod in pods:
        if pod.synced_sha is None:
            problems.append(f"what pod {pod.name} ({pod.task_id}) had checked out could not be seen")
        elif pod.synced_sha not in allowed:
            problems.append(f"pod {pod.name} ({pod.task_id}) ran the DAG of commit {pod.synced_sha[:10]}")
    ran = [(pod.synced_sha or "unknown")[:10] for pod in pods]
    found = _seen(ran, unseen) or "no executor pod"
    why = f"the code under test is not the code that ran: {'; '.join(problems)}."
    return Finding(not problems, expected, found, why if problems else "")


def _worker_image(case: Case) -> Finding:
    allowed = {_image_id(image) for image in case.expectation.image_ids} - {""}
    pods = [pod for pod in case.evidence.pods if pod.role == "task"]
    unseen = _unseen(case, case.expectation.pod_tasks, pods)
    problems = [f"no pod of task {task} was seen" for task in unseen]
    if not allowed:
        problems.append("no expected image ID is known")
    for pod in pods:
        identity = _image_id(pod.image_id)
        if not identity:
            problems.append(f"pod {pod.name} ({pod.task_id}) shows no image ID ({pod.image_id or 'empty'})")
        elif identity not in allowed:
            problems.append(f"pod {pod.name} ({pod.task_id}) ran {pod.image} as {identity[:19]}")
    expected = "every task pod on " + " or ".join(sorted(identity[:19] for identity in allowed))
    found = _seen([_image_id(pod.image_id)[:19] or "unknown" for pod in pods], unseen) or "no task pod"
    why = f"the worker image under test is not the one that ran: {'; '.join(problems)}."
    return Finding(not problems, expected, found, why if problems else "")


def _succeeded(case: Case) -> Finding:
    outcome, fine = case.evidence.outcome, case.expectation.final_states
    problems = [] if outcome.state == "success" else [f"the DAG run {outcome.run_id} ended as {outcome.state}"]
    for task in case.expectation.tasks:
        state = outcome.tasks[task].state if task in outcome.tasks else "missing"
        if state not in fine:
            problems.append(f"task {task} is {state}{_told_by_its_pod(case, task)}")
    found = ", ".join(f"{task}: {outcome.tasks[task].state}" for task in sorted(outcome.tasks)) or "no tasks"
    expected = f"run success; {', '.join(case.expectation.tasks)}: {' or '.join(sorted(fine))}"
    why = f"Airflow itself says that the run did not succeed: {'; '.join(problems)}."
    return Finding(not problems, expected, f"run {outcome.state}; {found}", why if problems else "")


def _told_by_its_pod(case: Case, task: str) -> str:
    """Why a task's own pod did not succeed, as far as the pod shows it: what became of it, or else its last line."""
    own = [pod for pod in case.evidence.pods if pod.role == "task" and pod.task_id == task]
    pods = [pod for pod in own if pod.phase != "Succeeded"]
    reasons = [pod.reason for pod in pods if pod.reason]
    if reasons:
        return f" ({reasons[-1]})"
    words = [f" (the last line of pod {pod.name}: {pod.last_words})" for pod in pods if pod.last_words]
    return words[-1] if words else ""


def _unseen(case: Case, tasks: tuple[str, ...], pods: list[PodEvidence]) -> list[str]:
    seen = {pod.task_id for pod in pods}
    states = {task: outcome.state for task, outcome in case.evidence.outcome.tasks.items()}
    # A task that was skipped, where the expectation takes that for success, had no pod.
    unrun = _UNRUN & case.expectation.final_states
    return [task for task in tasks if task not in seen and states.get(task) not in unrun]


def _seen(ran: list[str], unseen: list[str]) -> str:
    """What ran, each once, then the tasks of which nothing did; nothing where there was no pod at all."""
    return ", ".join([*dict.fromkeys(ran), *(f"{task}: no pod" for task in unseen)]) if ran else ""


def _image_id(text: str) -> str:
    """The digest in what a kubelet reports: "sha256:...", "docker.io/library/x@sha256:..." and the like."""
    match = _IMAGE_ID.search(text)
    return match[1] if match else ""


CODE_RULES: Final = (
    Rule("code.dag-sha", "the DAG under test is the one that ran", _dag_sha),
    Rule("code.worker-image", "the worker image under test is the one that ran", _worker_image),
    Rule("tasks.succeeded", "Airflow says that every task succeeded", _succeeded),
)
