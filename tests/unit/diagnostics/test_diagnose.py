"""Causes are recognised from the words that the real parts say."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.diagnostics.catalogue import CATALOGUE, UNKNOWN
from harness.diagnostics.causes import Cause, Sign, said
from harness.diagnostics.diagnose import diagnose
from harness.diagnostics.evidence import Evidence
from harness.errors import (
    CommandFailed,
    CommandTimeout,
    EngineError,
    EnvironmentFailed,
    HarnessError,
    UsageError,
    WaitFailed,
    WaitTimeout,
)
from harness.model import BlockedEgress
from harness.targets.eks.aws import AwsRefused

Make = Callable[..., dict[str, Any]]

PUSH = "task push_data"


def rows(table: str, *keys: str) -> list[tuple[str, ...]]:
    """The rows of one table of real evidence."""
    said_by_real_parts = tomllib.loads((Path(__file__).parent / "said.toml").read_text(encoding="utf-8"))
    return [tuple(row[key] for key in keys) for row in said_by_real_parts[table]]


LOGS = rows("log", "code", "where", "text")
WAITING = rows("waiting", "code", "reason", "message")
UNSCHEDULED = rows("unscheduled", "code", "message")
EVENTS = rows("event", "code", "reason", "message")
ERRORS: list[tuple[str, BaseException]] = [
    ("ENGINE_GONE", EngineError("no container engine answers, and installing one needs root")),
    (
        "ENGINE_GONE",
        CommandFailed(
            argv=["docker", "ps"],
            code=1,
            stdout="",
            stderr="Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        ),
    ),
    ("CAPABILITY_WITHHELD", CommandFailed(argv=["docker", "run"], code=126, stdout="",
        stderr="OCI runtime create failed: unable to apply caps: operation not permitted")),
    ("PORT_TAKEN", CommandFailed(argv=["kind", "create"], code=1, stdout="",
        stderr="Bind for 127.0.0.1:40123 failed: port is already allocated")),
    (
        "HELM_TIMEOUT",
        EnvironmentFailed(
            "Helm could not install airflow 1.22.0", evidence={"it said": "Error: timed out waiting for the condition"}
        ),
    ),
    ("HELM_TIMEOUT", CommandTimeout(argv=["helm", "upgrade"], seconds=330, output="")),
    ("HELM_LOCKED", CommandFailed(argv=["helm", "upgrade"], code=1, stdout="",
        stderr="Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress")),
    ("DAG_IMPORT", WaitFailed(what="DAG 'd'", reason="d.py does not import: SyntaxError: invalid syntax")),
    ("DAG_MISSING", UsageError("Airflow knows no DAG 'dataset_pipelin'")),
    ("DAG_MISSING", WaitFailed(what="DAG 'd' of commit 1f2e",
        reason="d.py: parsed, and define dataset_pipeline instead")),
    (
        "PROVIDER_MISSING",
        EnvironmentFailed(
            "the environment lacks provider apache-airflow-providers-amazon, which d.py imports",
            evidence={"import error": "ModuleNotFoundError: No module named 'airflow.providers.amazon'"},
        ),
    ),
    ("HELM_TIMEOUT", WaitTimeout(what="Deployment airflow/airflow-scheduler", seconds=30, last_state="1 of 2 ready")),
    (
        "DAG_NOT_PARSED",
        WaitTimeout(what="DAG 'd' of commit 1f2e", seconds=120, last_state="commit is there, not parsed since"),
    ),
    (
        "DAG_NOT_SYNCED",
        WaitTimeout(what="DAG 'd' of commit 1f2e", seconds=120, last_state="the DAG processor has 1f2e3d4c5b6a"),
    ),
    *(
        (code, WaitFailed(what="run r of DAG d", reason=f"pod airflow/x-1, container git-sync-init: git-sync: {words}"))
        for code, words in (
            ("GITSYNC_AUTH", "it refuses them: fatal: Authentication failed for 'https://x/' (see)"),
            ("GITSYNC_REF", "the repository has no such branch: fatal: couldn't find remote ref x (see --branch)"),
            ("GITSYNC_REPO", "the Git server has no such repository: fatal: repository 'x' not found (see)"),
            ("GITSYNC_TLS", "no trust: fatal: server certificate verification failed. CAfile: none CRLfile: none (x)"),
        )
    ),
    ("CLUSTER_GONE", EnvironmentFailed("list Pod: the API server at https://127.0.0.1:6443 does not answer: refused")),
    *(
        (code, AwsRefused(message, code="", next_step="see"))
        for code, message in (
            ("AWS_CREDENTIALS", "could not ask AWS who is calling: Unable to locate credentials"),
            ("AWS_CREDENTIALS", "could not describe the EKS cluster mlops: the AWS session is over"),
            ("AWS_CREDENTIALS", "could not list the roles: Error loading SSO Token: Token for x does not exist"),
            (
                "AWS_UNREACHABLE",
                'could not ask AWS who is calling: Could not connect to the endpoint URL: "http://172.17.0.1:34725/"',
            ),
            (
                "AWS_UNREACHABLE",
                'could not list s3://dvc/: Read timeout on endpoint URL: "https://dvc.s3.eu-central-1.amazonaws.com/"',
            ),
        )
    ),
    (
        "IMAGE_PULL",
        WaitFailed(
            what="Deployment airflow/airflow-scheduler",
            reason='pod airflow/s-1, container scheduler: ImagePullBackOff: Back-off pulling image "x" (see)',
        ),
    ),
]  # fmt: skip


def best(evidence: Evidence) -> str:
    return diagnose(evidence)[0].code


@pytest.mark.parametrize(("code", "where", "text"), LOGS)
def test_what_a_log_says_names_the_cause_and_the_place(code: str, where: str, text: str) -> None:
    noise = "2026-01-31T12:00:00Z INFO all is well\n"
    found = diagnose(Evidence(logs={"pod airflow/other, container base": noise, where: noise + text + "\n" + noise}))
    assert (found[0].code, found[0].where) == (code, where)


@pytest.mark.parametrize(("code", "reason", "message"), WAITING)
def test_what_a_container_waits_for_names_the_cause_and_the_container(
    make_pod: Make, code: str, reason: str, message: str
) -> None:
    found = diagnose(Evidence(pods=[make_pod(state={"waiting": {"reason": reason, "message": message}})]))
    assert (found[0].code, found[0].where) == (code, "pod airflow/dvc-push-x1, container base")
    assert message[:40] in found[0].what


@pytest.mark.parametrize(("code", "message"), UNSCHEDULED)
def test_what_the_scheduler_says_names_the_cause(make_pod: Make, code: str, message: str) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert best(Evidence(pods=[make_pod(state={"waiting": {}}, conditions=[condition])])) == code


@pytest.mark.parametrize(("code", "reason", "message"), EVENTS)
def test_what_an_event_says_names_the_cause(make_event: Make, code: str, reason: str, message: str) -> None:
    assert best(Evidence(events=[make_event(reason, message)])) == code


@pytest.mark.parametrize(("code", "error"), ERRORS)
def test_what_ended_the_run_names_the_cause(code: str, error: HarnessError) -> None:
    assert best(Evidence(error=error)) == code


def test_what_aws_says_to_this_machine_is_not_said_of_a_pods_store() -> None:
    refused = AwsRefused("could not ask AWS who is calling: Unable to locate credentials", code="", next_step="log in")
    assert [one.code for one in diagnose(Evidence(error=refused))] == ["AWS_CREDENTIALS"]
    both = diagnose(Evidence(error=refused, logs={PUSH: "Unable to locate credentials"}))
    assert [(one.code, one.where) for one in both] == [("AWS_CREDENTIALS", "the error"), ("S3_CREDENTIALS", PUSH)]


def test_a_container_killed_for_its_memory_is_named(make_pod: Make) -> None:
    killed = make_pod(state={"terminated": {"reason": "OOMKilled", "exitCode": 137}}, phase="Failed")
    assert best(Evidence(pods=[killed])) == "OUT_OF_MEMORY"


def test_why_a_migration_ended_is_told_by_its_log_and_that_it_ended_where_there_is_none(make_pod: Make) -> None:
    ended = make_pod(
        "m-1", container="run-airflow-migrations", state={"terminated": {"reason": "Error", "exitCode": 1}}
    )
    log = {
        "pod airflow/m-1, container run-airflow-migrations": 'x.OperationalError: (psycopg2.OperationalError) no "y"'
    }
    (told, *_) = diagnose(Evidence(pods=[ended], logs=log))
    assert (told.code, told.what.endswith('no "y"')) == ("MIGRATION_FAILED", True)
    (silent,) = diagnose(Evidence(pods=[ended]))
    assert silent.code == "MIGRATION_FAILED"


def test_an_evicted_pod_is_named_by_what_the_node_lacked(make_pod: Make) -> None:
    disk = make_pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage.")
    memory = make_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert best(Evidence(pods=[disk])) == "DISK_FULL"
    assert best(Evidence(pods=[memory])) == "OUT_OF_MEMORY"


def test_a_claim_that_a_pod_waits_for_is_named(make_pod: Make) -> None:
    claim = {"metadata": {"name": "shared", "namespace": "airflow"}, "status": {"phase": "Pending"}}
    pod = make_pod(state={"waiting": {}})
    pod["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "shared"}}]
    assert best(Evidence(pods=[pod], claims=[claim])) == "CLAIM_PENDING"
    assert best(Evidence(claims=[claim])) == UNKNOWN


def test_every_code_is_recognised_by_some_evidence_here() -> None:
    tables = (LOGS, WAITING, UNSCHEDULED, EVENTS, ERRORS)
    shown = {row[0] for table in tables for row in table}
    assert {cause.code for cause in CATALOGUE} - shown == set()


def test_every_cause_says_what_happened_and_what_to_do() -> None:
    for cause in CATALOGUE:
        assert cause.signs, cause.code
        assert cause.what, cause.code
        assert cause.do, cause.code
        assert "|" not in cause.what + cause.do, cause.code


def test_a_diagnosis_is_one_line_what_where_do_this() -> None:
    (found, *_rest) = diagnose(Evidence(logs={PUSH: "ERROR: unexpected error - Unable to locate credentials\nmore"}))
    line = str(found)
    assert "\n" not in line
    what, where, do = line.split(" | ")
    assert what.startswith("S3_CREDENTIALS: ")
    assert what.endswith("Unable to locate credentials")
    assert where == PUSH
    assert do == found.do


def test_a_cause_goes_before_the_symptoms_that_follow_from_it(make_pod: Make) -> None:
    timeout = EnvironmentFailed("Helm could not install", evidence={"it said": "timed out waiting for the condition"})
    pod = make_pod(state={"waiting": {"reason": "CrashLoopBackOff"}}, last={"reason": "OOMKilled", "exitCode": 137})
    codes = [found.code for found in diagnose(Evidence(error=timeout, pods=[pod]))]
    assert codes == ["OUT_OF_MEMORY", "HELM_TIMEOUT", "CRASH_LOOP"]


def test_what_was_blocked_of_a_pod_that_works_is_the_cause_only_where_nothing_else_is_known(make_pod: Make) -> None:
    def blocked(pod: str) -> list[BlockedEgress]:
        return [BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 2, f"airflow/{pod}")]

    pods = [make_pod("works", phase="Running"), make_pod("fails", state={"waiting": {"reason": "CrashLoopBackOff"}})]
    of_the_one, of_the_other = (
        [found.code for found in diagnose(Evidence(pods=pods, blocked=blocked(name)))] for name in ("works", "fails")
    )
    assert (of_the_one, of_the_other) == (["CRASH_LOOP", "EGRESS_BLOCKED"], ["EGRESS_BLOCKED", "CRASH_LOOP"])
    assert best(Evidence(pods=pods[:1], blocked=blocked("works"))) == "EGRESS_BLOCKED"
    assert best(Evidence(blocked=blocked("gone"))) == "EGRESS_BLOCKED"


def test_a_cause_is_ranked_by_the_closest_that_shows_it() -> None:
    logs = {
        "pod airflow/works, container base": "Unable to locate credentials",
        PUSH: "An error occurred (NoSuchBucket) when calling, Unable to locate credentials",
    }
    working = {"metadata": {"name": "works", "namespace": "airflow"}, "status": {"phase": "Succeeded"}}
    codes = [found.code for found in diagnose(Evidence(pods=[working], logs={**logs, "task x": "No route to host"}))]
    assert codes == ["S3_BUCKET_MISSING", "S3_CREDENTIALS", "EGRESS_BLOCKED"]


REJECTED = " ! [rejected]        main -> main (fetch first)\nSuccessfully rebased and updated refs/heads/main."
NO_BUCKET = "ERROR: failed to push data: An error occurred (NoSuchBucket) when calling the PutObject operation"


@pytest.mark.parametrize(
    ("logs", "code"),
    [
        ({PUSH: f"{REJECTED}\n{NO_BUCKET}"}, "S3_BUCKET_MISSING"),
        ({PUSH: f"{NO_BUCKET}\n{REJECTED}"}, "GIT_CONFLICT"),
        ({PUSH: REJECTED, "task pull_data": NO_BUCKET}, "GIT_CONFLICT"),
        ({PUSH: f"{REJECTED}\nnothing more that is known"}, "GIT_CONFLICT"),
    ],
    ids=["it went on", "it ended there", "another log", "nothing later"],
)
def test_a_conflict_that_a_task_has_mended_goes_behind_what_ended_it(logs: dict[str, str], code: str) -> None:
    found = [one.code for one in diagnose(Evidence(logs=logs))]
    assert found[0] == code
    assert "GIT_CONFLICT" in found


def test_what_ended_the_run_goes_before_what_merely_stands_in_a_log() -> None:
    error = WaitFailed(what="run r", reason="the run ended 'failed'")
    error.evidence["log of push_data"] = "fatal: Authentication failed for 'https://x/'"
    logs = {"task pull_data": "An error occurred (NoSuchBucket) when calling"}
    assert [found.code for found in diagnose(Evidence(error=error, logs=logs))] == ["GIT_AUTH", "S3_BUCKET_MISSING"]


def test_the_message_of_an_error_goes_before_what_else_it_carries() -> None:
    """git-sync's words lead such an error; that another pod has no room for now stands in its evidence."""
    error = WaitFailed(what="Job airflow/x", reason="pod airflow/p, container git-sync: Authentication failed for it")
    error.evidence["the pod"] = "pod airflow/x-1: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
    assert [found.code for found in diagnose(Evidence(error=error))] == ["GITSYNC_AUTH", "UNSCHEDULABLE"]


def test_evidence_of_an_error_is_placed_where_it_comes_from() -> None:
    error = WaitFailed(what="run r", reason="the run ended 'failed'")
    error.evidence["log of push_data"] = "fatal: Authentication failed for 'https://x/'"
    assert diagnose(Evidence(error=error))[0].where == "log of push_data"


def test_causes_of_an_error_are_looked_into() -> None:
    inner = CommandFailed(argv=["docker"], code=1, stdout="", stderr="write /x: no space left on device")
    outer = EnvironmentFailed("the node image could not be made")
    outer.__cause__ = inner
    assert best(Evidence(error=outer)) == "DISK_FULL"
    assert best(Evidence(error=BaseExceptionGroup("both", [ValueError("x"), outer]))) == "DISK_FULL"


def test_errors_that_cause_each_other_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert best(Evidence(error=first)) == UNKNOWN


def test_warnings_of_a_pod_that_came_to_work_are_history(make_pod: Make, make_event: Make) -> None:
    event = make_event("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.")
    assert best(Evidence(events=[event])) == "UNSCHEDULABLE"
    assert best(Evidence(events=[event], pods=[make_pod(phase="Running")])) == UNKNOWN


def test_normal_events_and_past_troubles_of_ready_containers_say_nothing(make_pod: Make, make_event: Make) -> None:
    normal = {**make_event("Failed", "Failed to pull image"), "type": "Normal"}
    healed = make_pod(phase="Running", last={"reason": "OOMKilled", "exitCode": 137}, restarts=1)
    assert best(Evidence(events=[normal], pods=[healed])) == UNKNOWN


def test_the_unknown_says_so_and_passes_on_the_errors_own_advice() -> None:
    (found,) = diagnose(Evidence(error=WaitTimeout(what="the moon", seconds=3, last_state="half")))
    assert found.code == UNKNOWN
    assert "the moon" in found.what
    advised = EnvironmentFailed("odd", next_step="do that")
    assert diagnose(Evidence(error=advised))[0].do == "do that"


def test_nothing_at_all_is_still_one_line() -> None:
    (found,) = diagnose(Evidence())
    assert found.code == UNKNOWN
    assert found.do


def test_a_new_cause_is_one_row() -> None:
    mine = Cause(code="COFFEE", what="no coffee", do="make some", signs=(said(r"out of beans"),))
    evidence = Evidence(logs={"kitchen": "OUT OF BEANS"})
    assert diagnose(evidence, catalogue=(*CATALOGUE, mine))[0].code == "COFFEE"
    late = replace(evidence, logs={**evidence.logs, PUSH: "Unable to locate credentials"})
    shown = [found.code for found in diagnose(late, catalogue=(replace(mine, symptom=True), *CATALOGUE))]
    assert shown == ["S3_CREDENTIALS", "COFFEE"]


def test_a_sign_that_fits_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="pattern or a reason"):
        Sign(where="git-sync")


def test_long_words_are_shortened() -> None:
    (found, *_) = diagnose(Evidence(logs={PUSH: "Unable to locate credentials " + "x" * 1000}))
    assert len(found.what) < 400


def test_the_time_that_the_kubelet_puts_before_a_line_is_left_out() -> None:
    (found, *_) = diagnose(Evidence(logs={PUSH: "2026-11-21T11:36:25.841610872Z Unable to locate credentials"}))
    assert found.what.endswith(": Unable to locate credentials")


def test_of_a_long_line_the_words_that_gave_the_cause_away_are_kept() -> None:
    line = f"{'before ' * 60}Could not resolve host: git.nowhere{' after' * 60}"
    (found, *_) = diagnose(Evidence(logs={PUSH: line}))
    words = found.what.partition(": ")[2]
    assert "Could not resolve host: git.nowhere" in words
    assert len(words) == 240
    assert words.startswith("...")
    assert words.endswith("...")
    (at_the_end, *_) = diagnose(Evidence(logs={PUSH: f"{'before ' * 60}Could not resolve host"}))
    assert at_the_end.what.endswith("Could not resolve host")


def test_that_airflow_cannot_ask_a_finished_pod_for_its_log_is_no_cause() -> None:
    """Seen in every task log that is read after its pod has gone."""
    gone = (
        "Could not read served logs: HTTPConnectionPool(host='pull-data-4bc1uys7', port=8793): Max retries exceeded "
        'with url: /log/x (Caused by NameResolutionError("Failed to resolve: [Errno -2] Name or service not known"))'
    )
    assert best(Evidence(logs={"task r/pull_data/try 1": f"{gone}\nall is well\n"})) == UNKNOWN
    assert best(Evidence(logs={"task r/pull_data/try 1": f"{gone}\nfatal: Could not resolve host: git\n"})) == "DNS"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('psycopg2.OperationalError: FATAL:  password authentication failed for user "airflow"', UNKNOWN),
        ("curl: (22) The requested URL returned error: 403", UNKNOWN),
        ("error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403", "GIT_AUTH"),
    ],
)
def test_what_a_database_or_a_download_refuses_is_not_laid_on_git(text: str, code: str) -> None:
    assert best(Evidence(logs={PUSH: text})) == code


def test_a_migration_that_may_not_log_in_is_no_matter_of_git() -> None:
    text = 'sqlalchemy.exc.OperationalError: FATAL:  password authentication failed for user "airflow"'
    where = "pod airflow/airflow-run-airflow-migrations-x, container run-airflow-migrations"
    assert best(Evidence(logs={where: text})) == "MIGRATION_FAILED"


@pytest.mark.parametrize(
    "text",
    [
        "smtplib.SMTPAuthenticationError: (535, b'5.7.8 Authentication failed for user reports@example.com')",
        "smtplib.SMTPAuthenticationError: (535, b'5.7.8 Error: invalid username or password')",
        "jwt.exceptions.ExpiredSignatureError: Signature has expired",
        "jwt.exceptions.InvalidSignatureError: Signature verification failed",
        "the partner's API answers: 401 invalid auth token",
        "OSError: [Errno 98] Address already in use",
        "An error occurred (InternalError) when calling the InvokeModel operation (reached max retries: 4): sorry",
        "An error occurred (ServiceUnavailable) when calling the PutRecord operation: Slow down.",
    ],
)
def test_a_tasks_own_trouble_is_not_laid_on_what_the_harness_set_up(text: str) -> None:
    error = WaitFailed(what="run r", reason=f"task push_data failed (the last line of its pod: {text})")
    error.evidence["log of push_data"] = text
    for evidence in (
        Evidence(logs={PUSH: text}),
        Evidence(logs={"pod airflow/dvc-push-x1, container base": text}),
        Evidence(error=error),
    ):
        assert best(evidence) == UNKNOWN


@pytest.mark.parametrize(
    ("where", "text", "code"),
    [
        (PUSH, "remote: Invalid username or token. Password authentication is not supported", "GIT_AUTH"),
        (PUSH, "ServerResponseError: Invalid auth token: Signature has expired", "TASK_TOKEN"),
        (
            "pod airflow/airflow-scheduler-x, container scheduler (previous)",
            "jwt.exceptions.InvalidSignatureError: Signature verification failed", "TASK_TOKEN",
        ),
        (PUSH, "ERROR: failed to transfer '60b7' - [Errno 16] Please reduce your request rate.", "S3_UNAVAILABLE"),
        *(
            (PUSH, f"An error occurred ({why}) when calling the {operation} operation: x", "S3_UNAVAILABLE")
            for why, operation in (
                ("InternalError", "ListObjectsV2"), ("503", "HeadObject"), ("SlowDown", "CreateMultipartUpload"),
                ("ServiceUnavailable", "UploadPart"), ("500", "GetBucketVersioning"),
            )
        ),
    ],
)  # fmt: skip
def test_the_same_trouble_of_the_pipelines_own_parts_is_known(where: str, text: str, code: str) -> None:
    assert best(Evidence(logs={where: text})) == code


def test_a_token_that_a_component_refuses_is_known_where_an_error_quotes_it() -> None:
    words = "pod airflow/s-1, container scheduler: Error: jwt.exceptions.ExpiredSignatureError: Signature has expired"
    assert best(Evidence(error=WaitFailed(what="Deployment airflow/s", reason=words))) == "TASK_TOKEN"


def test_a_port_that_the_engine_or_a_server_of_the_harness_cannot_have_is_known() -> None:
    said = {"its log": "failed to start daemon: listen tcp 127.0.0.1:2375: bind: address already in use"}
    found = diagnose(Evidence(error=EngineError("the engine ended", evidence=said)))
    assert [one.code for one in found] == ["ENGINE_GONE", "PORT_TAKEN"]
    outer = EnvironmentFailed("the look-alike could not be started")
    outer.__cause__ = OSError(98, "Address already in use")
    assert best(Evidence(error=outer)) == "PORT_TAKEN"
