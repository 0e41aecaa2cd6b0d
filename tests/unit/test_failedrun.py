"""Why a task failed is told from what was watched of its pods, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.airflow.values import TaskInfo
from harness.dvc import Verdict
from harness.dvc.rules import Check, Outcome
from harness.errors import EnvironmentFailed
from harness.failedrun import causes, of_failed_pods
from harness.model import BlockedEgress, DagRunOutcome, PipelineRun, PodEvidence, Seeded, TaskOutcome

AUTH = "fatal: Authentication failed for 'https://git.example/'"
RUN = PipelineRun(Seeded("a" * 40, "main", "p", "dags"), DagRunOutcome("d", "r1", "failed", {}), {})
SAID = "Airflow itself says that the run did not succeed: task push_data is failed"


def verdict(said: str = SAID, *, failed: bool = True) -> Verdict:
    checks = (
        Check("object.present", "t", Outcome.FAILED, "e", "f", "NoSuchBucket"),
        Check("tasks.succeeded", "t", Outcome.FAILED if failed else Outcome.PASSED, "e", "f", said),
    )
    return Verdict(checks, commit=None, changes=True)


def pod(name: str = "dvc-push-1", *, phase: str = "Failed", reason: str = "") -> dict[str, Any]:
    state = {"name": "base", "state": {"terminated": {"exitCode": 137, "reason": reason or "Error"}}}
    metadata = {"name": name, "namespace": "airflow", "labels": {"run_id": "r1"}}
    return {"metadata": metadata, "status": {"phase": phase, "containerStatuses": [state]}}


@dataclass
class Seen:
    """What a follower has kept, and what Kubernetes and Airflow answer."""

    pods: list[dict[str, Any]] = field(default_factory=list)
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    tasks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    silent: bool = False

    def manifests(self) -> dict[str, dict[str, Any]]:
        return {str(pod["metadata"]["name"]): pod for pod in self.pods}

    def logs(self, pod: str) -> dict[str, tuple[str, ...]]:
        return {"base": self.said[pod]} if pod in self.said else {}

    def list(self, _kind: str, _namespace: str | None = None, /) -> list[dict[str, Any]]:
        if self.silent:
            raise EnvironmentFailed("the API server does not answer")
        return self.events

    def task_instances(self, _dag_id: str, _run_id: str) -> tuple[TaskInfo, ...]:
        if self.silent:
            raise EnvironmentFailed("Airflow does not answer")
        states = {task: state for task, (state, *_) in self.tasks.items()}
        return tuple(TaskInfo(task, -1, state, 2, None, None) for task, state in states.items())

    def task_logs(
        self, _dag: str, _run: str, task: str, *, try_number: int = 1, map_index: int = -1
    ) -> tuple[str, ...]:
        assert (try_number, map_index) == (2, -1), "the last try"
        return self.tasks[task][1:]


def codes(seen: Seen, said: str = SAID, *blocked: BlockedEgress) -> list[str]:
    return [found.code for found in causes(verdict(said), RUN, seen, kube=seen, api=seen, blocked=blocked)]


def test_a_run_whose_tasks_succeeded_has_no_cause_whatever_else_is_red() -> None:
    seen = Seen(pods=[pod(reason="OOMKilled")])
    assert causes(verdict(failed=False), RUN, seen, kube=seen, api=seen) == ()


def test_a_failed_pod_tells_by_its_state_and_by_the_log_that_was_followed() -> None:
    assert codes(Seen(pods=[pod(reason="OOMKilled")])) == ["OUT_OF_MEMORY"]
    assert codes(Seen(pods=[pod()], said={"dvc-push-1": ("all is well", AUTH)})) == ["GIT_AUTH"]


def test_the_executors_pod_of_a_failed_task_tells_though_it_succeeded_itself() -> None:
    """Airflow gives no log of a pod that has ended, and this one ends well whatever becomes of its task."""
    frames = '"error_detail":[{"exc_type":"UndefinedError","exc_value":"\'ds\' is undefined","frames":[]}]'
    said = {"pull-1": ('{"event":"Task failed with exception","level":"error",' + frames + "}",)}
    seen = Seen(pods=[pod("pull-1", phase="Succeeded")], said=said)

    def found(state: str, role: str) -> list[str]:
        outcome = DagRunOutcome("d", "r1", "failed", {"pull_data": TaskOutcome("pull_data", state, 1, 2.0)})
        mine = PodEvidence("pull-1", "pull_data", role, "Succeeded", "image", "")
        run = replace(RUN, outcome=outcome, pods={"pull-1": mine})
        return [one.code for one in causes(verdict(), run, seen, kube=seen, api=seen)]

    assert found("failed", "executor") == ["TEMPLATE_ERROR"]
    assert found("success", "executor") == []
    assert found("failed", "task") == []


def test_a_failed_task_tells_by_the_log_of_its_last_try() -> None:
    assert codes(Seen(tasks={"push_data": ("failed", AUTH)})) == ["GIT_AUTH"]


def test_what_is_not_about_a_failed_task_is_not_the_cause() -> None:
    assert codes(Seen(pods=[pod(phase="Succeeded")], said={"dvc-push-1": (AUTH,)})) == []
    assert codes(Seen(tasks={"pull_data": ("success", AUTH)})) == []


def test_what_the_verdict_says_of_a_pod_that_is_gone_is_enough() -> None:
    said = "the DAG run r1 ended as failed; task pull_data is failed (pod airflow/gone: ErrImagePull: x)"
    assert codes(Seen(), said) == ["IMAGE_PULL"]
    about = {"kind": "Pod", "namespace": "airflow", "name": "gone"}
    no_key = "Error: couldn't find key USER in Secret airflow/x"
    warned = {"type": "Warning", "reason": "Failed", "message": no_key, "involvedObject": about}
    assert "SECRET_KEY_MISSING" in codes(Seen(events=[warned]), said)
    assert "SECRET_KEY_MISSING" not in codes(Seen(events=[warned]))


def test_a_blocked_attempt_of_the_pod_that_failed_is_the_cause_where_nothing_else_says_more() -> None:
    mine = BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 2, "airflow/dvc-push-1")
    other = BlockedEgress("10.244.0.6", "192.0.2.1", "tcp", 443, 2, "airflow/dvc-pull-1")
    failed = Seen(pods=[pod(), pod("dvc-pull-1", phase="Succeeded")], said={"dvc-push-1": (AUTH,)})
    assert codes(failed, SAID, mine) == ["GIT_AUTH", "EGRESS_BLOCKED"]
    assert codes(failed, SAID, other) == ["GIT_AUTH"]
    silent = replace(failed, said={})
    assert codes(silent, SAID, mine) == ["EGRESS_BLOCKED"]
    assert codes(silent, f"{SAID} (the last line of its pod: {AUTH})", mine) == ["GIT_AUTH", "EGRESS_BLOCKED"]


def test_a_blocked_attempt_that_the_pod_itself_complains_of_is_the_cause() -> None:
    mine = BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 2, "airflow/dvc-push-1")
    words = (
        "fatal: unable to access 'https://192.0.2.1/': No route to host",
        "Could not resolve host: x",
        "NoSuchBucket",
    )
    failed = Seen(pods=[pod()], said={"dvc-push-1": words})
    found = causes(verdict(), RUN, failed, kube=failed, api=failed, blocked=[mine])
    assert [one.code for one in found] == ["S3_BUCKET_MISSING", "DNS", "EGRESS_BLOCKED"]
    assert "192.0.2.1:443 (tcp)" in found[2].what
    crashing = pod()
    crashing["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    looping = Seen(pods=[crashing])
    assert codes(looping, SAID, mine) == ["EGRESS_BLOCKED", "CRASH_LOOP"]


def test_a_pod_that_was_kept_from_asking_for_credentials_has_none() -> None:
    asked = BlockedEgress("10.244.0.5", "169.254.169.254", "tcp", 80, 2, "airflow/dvc-push-1")
    assert codes(Seen(pods=[pod()]), SAID, asked) == ["S3_CREDENTIALS"]


def test_the_likeliest_three_are_enough() -> None:
    words = (AUTH, "NoSuchBucket", "Could not resolve host: x", "No space left on device")
    assert len(codes(Seen(pods=[pod()], said={"dvc-push-1": words}))) == 3


def test_where_neither_cluster_nor_airflow_answers_what_was_followed_is_enough() -> None:
    assert codes(Seen(pods=[pod(reason="OOMKilled")], silent=True)) == ["OUT_OF_MEMORY"]


def test_events_of_a_second_pod_of_one_name_are_asked_for_by_the_name_that_the_cluster_knows() -> None:
    said = "the DAG run r1 ended as failed"
    about = {"kind": "Pod", "namespace": "airflow", "name": "dvc-push-1"}
    message = "Error: couldn't find key USER in Secret airflow/x"
    warned = {"type": "Warning", "reason": "Failed", "message": message, "involvedObject": about}
    pods = {"dvc-push-1": pod(phase="Succeeded"), "dvc-push-1~2": pod()}
    evidence = of_failed_pods(said, pods=pods, logs=lambda _name: {}, events=[warned])
    assert evidence.events == [warned]
