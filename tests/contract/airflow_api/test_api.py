"""The seam over apache-airflow-client, over HTTP; see conftest.py for what answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from harness.airflow import generated
from harness.airflow.api import AirflowApi, AirflowUnavailable, ApiRefused, RunInfo
from harness.errors import EnvironmentFailed, UsageError, WaitFailed
from harness.wait import Waiter
from tests.fakes import Clock

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
DAG, RUN = "dataset_pipeline", "harness-20260131T120000-abcd"
DAGS, DAG_PATH = "/api/v2/dags", f"/api/v2/dags/{DAG}"
RUNS, RUN_PATH = f"{DAG_PATH}/dagRuns", f"{DAG_PATH}/dagRuns/{RUN}"
ERRORS = "/api/v2/importErrors"


def body(model: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(model.to_json())
    return plain


def dag(**changes: Any) -> dict[str, Any]:
    made = generated.DAGResponse(
        dag_display_name=DAG,
        dag_id=DAG,
        description=None,
        file_token="t",
        fileloc="/opt/airflow/dags/repo/dags/dataset_pipeline.py",
        relative_fileloc="dataset_pipeline.py",
        bundle_name="dags-folder",
        has_import_errors=False,
        has_task_concurrency_limits=False,
        is_backfillable=False,
        is_paused=True,
        is_stale=False,
        last_parsed_time=NOW,
        last_parse_duration=0.25,
        max_active_tasks=16,
        max_consecutive_failed_dag_runs=0,
        owners=["airflow"],
        tags=[],
        timetable_partitioned=False,
        timetable_periodic=False,
    )
    # The model does not write what only a server may set.
    return {**body(made), "file_token": "t", "is_backfillable": False, **changes}


def run(**changes: Any) -> dict[str, Any]:
    made = generated.DAGRunResponse(
        dag_display_name=DAG,
        dag_id=DAG,
        dag_run_id=RUN,
        dag_versions=[],
        run_after=NOW,
        run_type="manual",
        state="running",
    )
    return {**body(made), **changes}


def task(task_id: str, **changes: Any) -> dict[str, Any]:
    made = generated.TaskInstanceResponse(
        dag_display_name=DAG,
        dag_id=DAG,
        dag_run_id=RUN,
        executor_config="{}",
        id=UUID(int=1),
        map_index=-1,
        max_tries=0,
        pool="default_pool",
        pool_slots=1,
        run_after=NOW,
        task_display_name=task_id,
        task_id=task_id,
        try_number=1,
        state="running",
        duration=1.5,
        queued_when=NOW,
    )
    return {**body(made), **changes}


def import_error(number: int = 1, filename: str = "broken.py") -> dict[str, Any]:
    return body(
        generated.ImportErrorResponse(
            bundle_name="dags-folder",
            filename=filename,
            import_error_id=number,
            stack_trace='Traceback:\n  File "broken.py"\nSyntaxError: no',
            timestamp=NOW,
        )
    )


def listed(key: str, *items: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    return {key: list(items), "total_entries": len(items) if total is None else total}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(server: Any, clock: Clock) -> Iterator[AirflowApi]:
    with AirflowApi(server.url, "admin", SecretStr(server.password), waiter=Waiter(clock), timeout=5.0) as made:
        yield made


# Tokens


def test_a_token_is_fetched_once_and_sent_with_every_call(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", DAG_PATH, answer(200, dag()))
    api.dag(DAG)
    api.dag(DAG)
    assert len(server.asked("POST", "/auth/token")) == 1
    assert all(r.headers["authorization"].startswith("Bearer head.") for r in server.asked("GET", DAG_PATH))


def test_a_token_is_renewed_before_it_expires(api: AirflowApi, server: Any, answer: Any, clock: Clock) -> None:
    server.on("GET", DAG_PATH, answer(200, dag()))
    api.dag(DAG)
    clock.seconds = server.lifetime - 61.0
    api.dag(DAG)
    assert server.issued == 1
    clock.seconds = server.lifetime - 59.0
    api.dag(DAG)
    assert server.issued == 2


def test_a_rejected_token_is_renewed_once_and_the_call_made_again(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", DAG_PATH, answer(200, dag()))
    api.dag(DAG)
    server.accepted.clear()  # as after a restart of the API server with another secret
    assert api.dag(DAG) is not None
    assert server.issued == 2


def test_a_token_that_is_rejected_even_when_new_is_an_error(api: AirflowApi, server: Any, answer: Any) -> None:
    server.honour_tokens = False
    server.on("GET", DAG_PATH, answer(200, dag()))
    with pytest.raises(ApiRefused, match="HTTP 401") as caught:
        api.dag(DAG)
    assert "JWT secret" in caught.value.next_step
    assert server.issued == 2


def test_wrong_credentials_are_named_without_the_password(server: Any, clock: Clock) -> None:
    with (
        AirflowApi(server.url, "admin", SecretStr("battery staple"), waiter=Waiter(clock)) as api,
        pytest.raises(EnvironmentFailed, match="does not accept the user name and password of 'admin'") as caught,
    ):
        api.dags()
    assert "battery staple" not in str(caught.value)
    assert not clock.slept  # asking again would not help


def test_a_login_that_fails_passingly_is_asked_again(api: AirflowApi, server: Any, answer: Any) -> None:
    token = server.answer  # keep the real login for the second attempt
    attempts: list[int] = []

    def flaky(request: Any) -> Any:
        if request.path == "/auth/token" and not attempts:
            attempts.append(1)
            return answer(503, {"detail": "starting"})
        return token(request)

    server.answer = flaky
    server.on("GET", DAG_PATH, answer(200, dag()))
    assert api.dag(DAG) is not None


@pytest.mark.parametrize("reply", [{"jwt": "x"}, {"access_token": ""}, ["x"], b"<html>"])
def test_a_login_without_a_token_in_it_is_an_error(api: AirflowApi, server: Any, answer: Any, reply: object) -> None:
    server.on("POST", "/auth/token", answer(201, reply))
    with pytest.raises(EnvironmentFailed, match="without an access token"):
        api.dags()


def test_threads_share_one_renewal(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", DAG_PATH, answer(200, dag()))
    api.dag(DAG)
    server.accepted.clear()
    threads = [threading.Thread(target=api.dag, args=(DAG,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.issued == 2


# Reading


def test_the_version_needs_no_token(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", "/api/v2/version", answer(200, body(generated.VersionInfo(version="3.3.2"))))
    assert api.version() == "3.3.2"
    assert server.issued == 0


def test_health_tells_each_part(api: AirflowApi, server: Any, answer: Any) -> None:
    parts = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}, "triggerer": {}}
    server.on("GET", "/api/v2/monitor/health", answer(200, {**parts, "dag_processor": {"status": "healthy"}}))
    health = api.health()
    assert (health.metadatabase, health.scheduler, health.dag_processor) == ("healthy", "unhealthy", "healthy")
    assert not health.healthy


def test_a_dag_is_read_with_what_readiness_needs(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", DAG_PATH, answer(200, dag()))
    found = api.dag(DAG)
    assert found is not None
    assert (found.is_paused, found.is_stale, found.has_import_errors) == (True, False, False)
    assert (found.file, found.bundle) == ("dataset_pipeline.py", "dags-folder")
    assert found.last_parsed_time == NOW
    assert found.last_parse_began == NOW - timedelta(seconds=0.25)
    assert not api.drift


def test_a_dag_that_is_not_there_is_none(api: AirflowApi) -> None:
    assert api.dag(DAG) is None


def test_import_errors_keep_their_stack_trace_and_all_pages_are_read(api: AirflowApi, server: Any, answer: Any) -> None:
    first = listed("import_errors", import_error(1), total=2)
    second = listed("import_errors", import_error(2, "other.py"), total=2)
    server.on("GET", ERRORS, answer(200, first), answer(200, second))
    found = api.import_errors()
    assert [error.file for error in found] == ["broken.py", "other.py"]
    assert found[0].stack_trace == 'Traceback:\n  File "broken.py"\nSyntaxError: no'
    assert found[0].at == NOW
    assert [request.query["offset"] for request in server.asked("GET", ERRORS)] == [["0"], ["1"]]


def test_task_instances_are_read_before_and_after_they_ran(api: AirflowApi, server: Any, answer: Any) -> None:
    waiting = task("b", state=None, duration=None, try_number=0, queued_when=None)
    server.on("GET", f"{RUN_PATH}/taskInstances", answer(200, listed("task_instances", task("a"), waiting)))
    ran, none = api.task_instances(DAG, RUN)
    assert (ran.task_id, ran.state, ran.try_number, ran.seconds, ran.queued_at) == ("a", "running", 1, 1.5, NOW)
    assert (none.task_id, none.state, none.seconds, none.queued_at) == ("b", "none", None, None)
    assert (ran.queued, none.queued) == (True, False)


def test_where_a_server_does_not_say_whether_a_task_was_queued_it_counts_as_queued(
    api: AirflowApi, server: Any, answer: Any
) -> None:
    """What was queued needs a pod, what never was needs none: a lost field must not make a run green."""
    silent = {key: value for key, value in task("a").items() if key != "queued_when"}
    server.on("GET", f"{RUN_PATH}/taskInstances", answer(200, listed("task_instances", silent)))
    (found,) = api.task_instances(DAG, RUN)
    assert (found.queued, found.queued_at) == (True, None)


def test_a_state_that_the_client_does_not_know_is_still_read_and_noted(
    api: AirflowApi, server: Any, answer: Any
) -> None:
    server.on("GET", RUN_PATH, answer(200, run(state="pondering")))
    assert api.run_state(DAG, RUN) == "pondering"
    assert "pondering" in api.drift["DAGRunResponse"]


def test_a_field_that_is_missing_names_both_versions(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", "/api/v2/version", answer(200, {"version": "9.9.9"}))
    server.on("GET", RUN_PATH, answer(200, {key: value for key, value in run().items() if key != "state"}))
    api.version()
    with pytest.raises(EnvironmentFailed, match="'state' is None") as caught:
        api.run_state(DAG, RUN)
    assert caught.value.evidence["apache-airflow-client"] == generated.__version__
    assert caught.value.evidence["Airflow server"] == "9.9.9"


@pytest.mark.parametrize("reply", [b"<html>a proxy</html>", b"", b"[1]", b"\xff"])
def test_an_answer_that_is_no_json_object_is_an_error(api: AirflowApi, server: Any, answer: Any, reply: bytes) -> None:
    server.on("GET", DAG_PATH, answer(200, reply))
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        api.dag(DAG)


def test_an_unknown_run_is_an_error(api: AirflowApi) -> None:
    with pytest.raises(EnvironmentFailed, match="knows no run"):
        api.run_state(DAG, RUN)


# Passing failures


@pytest.mark.parametrize("status", [429, 500, 502, 503, None])
def test_a_passing_failure_is_asked_again(
    api: AirflowApi, server: Any, answer: Any, clock: Clock, status: int | None
) -> None:
    server.on("GET", DAG_PATH, answer(status, {"detail": "busy"}), answer(200, dag()))
    assert api.dag(DAG) is not None
    assert clock.slept == [0.5]


def test_a_retry_after_of_the_server_is_kept(api: AirflowApi, server: Any, answer: Any, clock: Clock) -> None:
    server.on("GET", DAG_PATH, answer(429, {"detail": "busy"}, {"Retry-After": "2"}), answer(200, dag()))
    api.dag(DAG)
    assert clock.slept == [2.0]


def test_a_failure_that_does_not_pass_is_an_error_after_bounded_attempts(
    api: AirflowApi, server: Any, answer: Any, clock: Clock
) -> None:
    server.on("GET", DAG_PATH, answer(503, {"detail": "database is down"}))
    with pytest.raises(AirflowUnavailable, match="database is down"):
        api.dag(DAG)
    assert len(server.asked("GET", DAG_PATH)) == 5
    assert sum(clock.slept) < 10


def test_nobody_listening_is_an_error(clock: Clock) -> None:
    with (
        AirflowApi("http://127.0.0.1:9", "admin", SecretStr("x"), waiter=Waiter(clock)) as api,
        pytest.raises(AirflowUnavailable),
    ):
        api.version()


def test_a_server_that_does_not_answer_in_time_is_a_passing_failure(server: Any, answer: Any, clock: Clock) -> None:
    release = threading.Event()
    real = server.answer

    def slow(request: Any) -> Any:
        if request.path == "/api/v2/version":
            release.wait(10)
        return real(request)

    server.answer = slow
    with AirflowApi(server.url, "admin", SecretStr("x"), waiter=Waiter(clock), timeout=0.1) as api:
        with pytest.raises(AirflowUnavailable):
            api.version()
        release.set()
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]


def test_a_refusal_is_told_in_the_servers_words_and_not_asked_again(
    api: AirflowApi, server: Any, answer: Any, clock: Clock
) -> None:
    server.on("GET", DAG_PATH, answer(403, {"detail": "Forbidden"}))
    with pytest.raises(ApiRefused, match="HTTP 403: Forbidden") as caught:
        api.dag(DAG)
    assert "Admin" in caught.value.next_step
    assert not clock.slept


# Triggering


def test_a_trigger_sends_run_id_logical_date_and_conf(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("POST", RUNS, answer(200, run(state="queued")))
    api.trigger(DAG, RUN, logical_date=NOW, conf={"a": 1})
    (request,) = server.asked("POST", RUNS)
    assert request.body == {"dag_run_id": RUN, "logical_date": NOW.isoformat(), "conf": {"a": 1}}


def test_a_run_without_a_logical_date_says_so(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("POST", RUNS, answer(200, run(state="queued")))
    api.trigger(DAG, RUN, logical_date=None)
    assert server.asked("POST", RUNS)[0].body == {"dag_run_id": RUN, "logical_date": None, "conf": {}}


def test_a_trigger_whose_answer_was_lost_is_found_by_its_own_run_id(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("POST", RUNS, answer(None), answer(409, {"detail": "already exists"}))
    server.on("GET", RUN_PATH, answer(200, run()))
    api.trigger(DAG, RUN, logical_date=NOW)
    assert len(server.asked("POST", RUNS)) == 2


def test_a_run_id_that_somebody_else_has_is_refused(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("POST", RUNS, answer(409, {"detail": "already exists"}))
    server.on("GET", RUN_PATH, answer(200, run()))
    with pytest.raises(ApiRefused, match="already exists") as caught:
        api.trigger(DAG, RUN, logical_date=NOW)
    assert "another run id" in caught.value.next_step


def test_a_logical_date_that_is_taken_is_not_mistaken_for_a_lost_answer(
    api: AirflowApi, server: Any, answer: Any
) -> None:
    server.on("POST", RUNS, answer(503, {"detail": "busy"}), answer(409, {"detail": "logical date exists"}))
    with pytest.raises(ApiRefused, match="logical date exists"):
        api.trigger(DAG, RUN, logical_date=NOW)


def test_a_body_that_the_server_does_not_take_is_explained(api: AirflowApi, server: Any, answer: Any) -> None:
    wrong = [{"loc": ["body", "conf"], "msg": "Input should be a valid dictionary", "type": "dict_type"}]
    server.on("POST", RUNS, answer(422, {"detail": wrong}))
    with pytest.raises(ApiRefused, match=r"HTTP 422: body\.conf: Input should be a valid dictionary"):
        api.trigger(DAG, RUN, logical_date=NOW)


def test_a_param_without_a_value_is_told_with_what_to_do(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("POST", RUNS, answer(400, {"detail": "Invalid input for param team: No value passed"}))
    with pytest.raises(ApiRefused, match="param team: No value passed") as told:
        api.trigger(DAG, RUN, logical_date=NOW)
    assert "default" in told.value.next_step


def test_a_run_id_that_pods_cannot_carry_is_refused_before_anything_is_sent(api: AirflowApi, server: Any) -> None:
    with pytest.raises(UsageError):
        api.trigger(DAG, "manual__2026-01-31T12:00:00+00:00", logical_date=NOW)
    assert not server.requests


def test_an_unknown_dag_names_the_dags_that_are_there(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", DAGS, answer(200, listed("dags", dag(dag_id="other"), dag(dag_id="third"))))
    server.on("GET", ERRORS, answer(200, listed("import_errors")))
    with pytest.raises(UsageError, match=DAG) as caught:
        api.trigger(DAG, RUN, logical_date=NOW)
    assert caught.value.evidence["DAGs that are there"] == "other, third"
    assert server.asked("GET", DAGS)[0].query["exclude_stale"] == ["true"]


def test_an_unknown_dag_with_import_errors_shows_their_tracebacks(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", DAGS, answer(200, listed("dags")))
    server.on("GET", ERRORS, answer(200, listed("import_errors", import_error())))
    with pytest.raises(WaitFailed) as caught:
        api.require_dag(DAG)
    assert "SyntaxError: no" in caught.value.evidence["broken.py"]
    assert caught.value.evidence["DAGs that are there"] == "none"


def test_pausing_and_unpausing_change_only_that(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("PATCH", DAG_PATH, answer(200, dag(is_paused=False)))
    api.unpause(DAG)
    api.pause(DAG)
    first, second = server.asked("PATCH", DAG_PATH)
    assert (first.body, first.query) == ({"is_paused": False}, {"update_mask": ["is_paused"]})
    assert (second.body, second.query) == ({"is_paused": True}, {"update_mask": ["is_paused"]})


# Following


LOG = f"{RUN_PATH}/taskInstances/pull_data/logs/1"


def test_a_log_keeps_the_keys_that_the_clients_model_drops(api: AirflowApi, server: Any, answer: Any) -> None:
    message = {"timestamp": "2026-01-31T12:00:00Z", "level": "error", "event": "no", "cause": "disk"}
    log = {"content": [message], "continuation_token": None}
    assert "disk" not in str(generated.TaskInstancesLogResponse.from_dict(log))  # else this detour can go
    server.on("GET", LOG, answer(200, log))
    assert api.task_logs(DAG, RUN, "pull_data") == ("2026-01-31T12:00:00Z ERROR no cause=disk",)


def test_a_log_is_read_to_its_last_page(api: AirflowApi, server: Any, answer: Any) -> None:
    pages = [{"content": ["one"], "continuation_token": "t1"}, {"content": ["two"], "continuation_token": None}]
    server.on("GET", LOG, *(answer(200, page) for page in pages))
    assert api.task_logs(DAG, RUN, "pull_data") == ("one", "two")
    assert server.asked("GET", LOG)[1].query["token"] == ["t1"]


def test_a_try_without_a_log_has_no_lines(api: AirflowApi) -> None:
    assert api.task_logs(DAG, RUN, "pull_data", try_number=7) == ()


def test_reading_a_log_renews_a_rejected_token_too(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", LOG, answer(503, b"busy"), answer(200, {"content": "one\ntwo"}))
    api.task_logs(DAG, RUN, "pull_data")
    server.accepted.clear()
    assert api.task_logs(DAG, RUN, "pull_data") == ("one", "two")


def test_a_client_that_was_handed_in_stays_open(server: Any, clock: Clock) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        AirflowApi(server.url, "admin", SecretStr(server.password), waiter=Waiter(clock), http=http).close()
        assert not http.is_closed


def test_the_environments_proxy_is_not_used_for_loopback(
    server: Any, answer: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.on("GET", DAG_PATH, answer(200, dag()))
    with AirflowApi(server.url, "admin", SecretStr(server.password), waiter=Waiter(clock)) as api:
        assert api.dag(DAG) is not None


# The DAG's tasks, and runs that are ended


def defined(task_id: str, operator: str) -> dict[str, Any]:
    made = generated.TaskResponse(
        class_ref={"module_path": "somewhere", "class_name": operator},
        depends_on_past=False,
        downstream_task_ids=[],
        extra_links=[],
        is_mapped=False,
        operator_name=operator,
        owner="airflow",
        params={},
        pool="default_pool",
        pool_slots=1,
        priority_weight=1,
        queue="default",
        retries=0,
        retry_exponential_backoff=0,
        task_display_name=task_id,
        task_id=task_id,
        template_fields=[],
        trigger_rule="all_success",
        ui_color="#fff",
        ui_fgcolor="#000",
        wait_for_downstream=False,
        weight_rule="downstream",
    )
    return {**body(made), "extra_links": []}


def test_the_tasks_of_a_dag_tell_which_have_a_pod_of_their_own(api: AirflowApi, server: Any, answer: Any) -> None:
    kinds = {
        "fetch": "KubernetesPodOperator",
        "own": "TeamPodOperator",
        "decorated": "_KubernetesDecoratedOperator",
        "plain": "PythonOperator",
        "start": "EmptyOperator",
    }
    server.on("GET", f"{DAG_PATH}/tasks", answer(200, listed("tasks", *(defined(*kind) for kind in kinds.items()))))
    found = {task.task_id: (task.runs, task.has_pod) for task in api.dag_tasks(DAG)}
    assert found == {
        "fetch": (True, True),
        "own": (True, True),
        "decorated": (True, True),
        "plain": (True, False),
        "start": (False, False),
    }
    assert not api.drift


def test_the_tasks_of_a_dag_that_is_not_there_name_those_that_are(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("GET", DAGS, answer(200, listed("dags", dag(dag_id="other"))))
    server.on("GET", ERRORS, answer(200, listed("import_errors")))
    with pytest.raises(UsageError, match=DAG) as caught:
        api.dag_tasks(DAG)
    assert caught.value.evidence["DAGs that are there"] == "other"


def test_unfinished_runs_are_asked_for_by_state(api: AirflowApi, server: Any, answer: Any) -> None:
    queued = run(dag_run_id="scheduled__x", state="queued", run_type="scheduled", start_date=None)
    server.on("GET", RUNS, answer(200, listed("dag_runs", run(start_date=NOW), queued)))
    assert api.runs(DAG, unfinished=True) == (
        RunInfo(DAG, RUN, "manual", "running", started=True),
        RunInfo(DAG, "scheduled__x", "scheduled", "queued", started=False),
    )
    (asked,) = server.asked("GET", RUNS)
    assert asked.query["state"] == ["queued", "running"]
    assert not api.drift


def test_runs_of_every_dag_are_asked_for_at_once_and_finished_ones_too(
    api: AirflowApi, server: Any, answer: Any
) -> None:
    server.on("GET", f"{DAGS}/~/dagRuns", answer(200, listed("dag_runs", run(dag_id="other", state="success"))))
    (found,) = api.runs()
    assert (found.dag_id, found.run_id, found.state) == ("other", RUN, "success")
    (asked,) = server.asked("GET", f"{DAGS}/~/dagRuns")
    assert "state" not in asked.query


def test_every_variable_is_deleted_and_one_that_is_gone_by_then_is_no_error(
    api: AirflowApi, server: Any, answer: Any
) -> None:
    variables = [{"key": key, "value": "1", "is_encrypted": False} for key in ("a", "b")]
    server.on("GET", "/api/v2/variables", answer(200, listed("variables", *variables)))
    server.on("DELETE", "/api/v2/variables/a", answer(204, b""))
    assert api.delete_variables() == ("a", "b")
    assert [len(server.asked("DELETE", f"/api/v2/variables/{key}")) for key in ("a", "b")] == [1, 1]
    assert not api.drift


def test_a_dag_that_airflow_does_not_know_has_no_runs(api: AirflowApi) -> None:
    assert api.runs(DAG) == ()


def test_a_run_is_marked_failed_and_nothing_else_of_it_is_touched(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("PATCH", RUN_PATH, answer(200, run(state="failed")))
    api.fail_run(DAG, RUN)
    (asked,) = server.asked("PATCH", RUN_PATH)
    assert asked.query["update_mask"] == ["state"]
    assert asked.body == {"state": "failed"}


def test_a_run_that_is_gone_is_none_to_fail(api: AirflowApi) -> None:
    api.fail_run(DAG, RUN)


def test_a_refusal_to_fail_a_run_is_told(api: AirflowApi, server: Any, answer: Any) -> None:
    server.on("PATCH", RUN_PATH, answer(403, {"detail": "Forbidden"}))
    with pytest.raises(ApiRefused, match="HTTP 403"):
        api.fail_run(DAG, RUN)
