"""On a kept cluster, what only tells of the time before this run is no cause of its failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from harness.diagnostics.diagnose import diagnose
from harness.diagnostics.evidence import Evidence
from harness.errors import WaitFailed, WaitTimeout

Make = Callable[..., dict[str, Any]]
# The pods and events of conftest.py are of 12:00:00 and 12:00:05.
LATER = datetime(2026, 1, 31, 13, 0, 0, 400_000, tzinfo=UTC)
MEANWHILE = datetime(2026, 1, 31, 12, 0, 0, 400_000, tzinfo=UTC)
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
AUTH = "fatal: Authentication failed for 'https://git.example/'"
SYNC = "pod airflow/airflow-dag-processor-1, container git-sync"


def code(evidence: Evidence, since: datetime) -> str:
    return diagnose(evidence.since(since))[0].code


def of_a_dag_run(pod: dict[str, Any]) -> dict[str, Any]:
    pod["metadata"]["labels"] = {"run_id": "r1"}
    return pod


def test_the_pod_of_an_earlier_dag_run_is_history_with_all_that_is_about_it(make_pod: Make, make_event: Make) -> None:
    pod = of_a_dag_run(make_pod(state=KILLED, phase="Failed"))
    event = make_event("Failed", 'Error: secret "x" not found', time="2026-01-31T13:00:05Z")
    evidence = Evidence(pods=[pod], events=[event], logs={"pod airflow/dvc-push-x1, container base": AUTH})
    assert code(evidence, MEANWHILE) == "OUT_OF_MEMORY", "in whole seconds it was made as the run began"
    assert code(evidence, LATER) == "UNKNOWN"


def test_a_component_that_does_not_work_may_have_said_why_long_ago(make_pod: Make) -> None:
    looping = make_pod(
        "airflow-dag-processor-1", container="git-sync", state={"waiting": {"reason": "CrashLoopBackOff"}}
    )
    evidence = Evidence(pods=[looping], logs={SYNC: f"2026-01-31T12:00:00Z {AUTH}\n"})
    assert code(evidence, LATER) == "GITSYNC_AUTH"


def test_of_a_component_that_works_only_what_it_said_since_counts(make_pod: Make) -> None:
    well = make_pod("airflow-dag-processor-1", container="git-sync", phase="Running")
    log = f"2026-01-31T12:00:00.123456789Z {AUTH}\n  and more of it\n2026-01-31T13:00:01.5Z all is well\n"
    assert code(Evidence(pods=[well], logs={SYNC: log}), LATER) == "UNKNOWN"
    assert code(Evidence(pods=[well], logs={SYNC: log}), MEANWHILE) == "GITSYNC_AUTH"
    assert code(Evidence(pods=[well], logs={SYNC: AUTH}), LATER) == "GITSYNC_AUTH", "a line without a time may be new"


def test_what_kubernetes_own_parts_complain_of_counts_only_where_they_do_not_work(make_pod: Make) -> None:
    """Seen: the API server could not call the adapter's webhook through a proxy, then did without it."""
    said = {"pod kube-system/kube-apiserver, container kube-apiserver": "tls: x509: certificate is valid for another"}
    works = make_pod("kube-apiserver", namespace="kube-system", phase="Running")
    ends = make_pod("kube-apiserver", namespace="kube-system", state={"waiting": {"reason": "CrashLoopBackOff"}})
    assert code(Evidence(pods=[works], logs=said), MEANWHILE) == "UNKNOWN"
    assert code(Evidence(pods=[ends], logs=said), MEANWHILE) == "TLS"


def test_what_stands_in_the_log_of_a_part_that_works_does_not_hide_what_ended_the_run(make_pod: Make) -> None:
    """Seen: the API server cannot ask a pod that is gone for its log, and says that its name cannot be resolved."""
    logs = {"pod airflow/api-1, container api-server": "socket.gaierror: [Errno -2] Name or service not known"}
    late = WaitTimeout(what="DAG 'd' of commit 1f2e", seconds=30, last_state="commit is there, not parsed since")
    works = Evidence(error=late, pods=[make_pod("api-1", phase="Running")], logs=logs)
    assert [found.code for found in diagnose(works)] == ["DAG_NOT_PARSED", "DNS"]
    ends = replace(works, pods=[make_pod("api-1", state={"waiting": {"reason": "CrashLoopBackOff"}})])
    assert [found.code for found in diagnose(ends)] == ["DNS", "DAG_NOT_PARSED", "CRASH_LOOP"]


def test_a_part_that_the_error_says_ends_again_and_again_does_not_work_though_it_is_up_at_this_moment(
    make_pod: Make,
) -> None:
    """Seen: a container without a probe is ready as soon as it runs, so it was when the pods were looked at."""
    pod = "airflow/airflow-dag-processor-1"
    state = f"pod {pod}, container dag-processor: CrashLoopBackOff: back-off 10s restarting failed container"
    config = 'AirflowConfigException: Failed to convert value to int. Please check "x" key in "dag_processor" section.'
    up_again = make_pod("airflow-dag-processor-1", container="dag-processor", phase="Running")
    evidence = Evidence(
        error=WaitFailed(what="DAG 'd'", reason=state),
        pods=[up_again],
        logs={f"pod {pod}, container dag-processor": f"2026-01-31T12:00:01Z {config}\n"},
    )
    assert [found.code for found in diagnose(evidence.since(MEANWHILE))] == ["AIRFLOW_CONFIG", "CRASH_LOOP"]


def test_an_event_of_before_counts_only_for_a_pod_that_does_not_work(make_pod: Make, make_event: Make) -> None:
    event = make_event("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.")
    assert code(Evidence(events=[event]), LATER) == "UNKNOWN"
    assert code(Evidence(events=[event]), MEANWHILE) == "UNSCHEDULABLE"
    assert code(Evidence(events=[event], pods=[make_pod(state={"waiting": {}})]), LATER) == "UNSCHEDULABLE"
