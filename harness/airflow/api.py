"""Airflow's REST API, version 2: the one seam over apache-airflow-client.

Nothing else in the harness imports that client. Its quirks stay here: no tokens of its own, strict models
(`values.py`), logs that lose their keys (`logs.py`), calls without a timeout. Every call is bounded in time; calls
that may safely be made twice are, after a passing failure; an expired token is renewed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import airflow_client.client as generated
import httpx
from pydantic import SecretStr

from harness.airflow.connection import ApiRefused, Connection
from harness.airflow.logs import log_lines
from harness.airflow.runids import checked_run_id
from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagImportError, DagInfo, DagTask, Document, Health, RunInfo, TaskInfo
from harness.errors import EnvironmentFailed, UsageError, WaitFailed
from harness.wait import Waiter

__all__ = [
    "AirflowApi",
    "AirflowUnavailable",
    "ApiRefused",
    "DagImportError",
    "DagInfo",
    "DagTask",
    "Health",
    "RunInfo",
    "TaskInfo",
]

REQUEST_TIMEOUT: Final = 30.0
_MOST_LOG_PAGES: Final = 500
_BAD_REQUEST, _NOT_FOUND, _CONFLICT = 400, 404, 409
_ALL: Final = "~"  # where the API takes a DAG id and means every DAG (routes/public/dag_run.py, `get_dag_runs`)
_UNFINISHED: Final = ("queued", "running")


class AirflowApi:
    """The API of one Airflow, as one user. Safe to share between threads.

    Args:
        url: Root of Airflow, without `/api/v2`.
        username: Of a user who may do everything.
        password: Of that user.
        waiter: How patient to be, and on which clock.
        http: Client for what the generated one cannot do, with `url` as its base URL; closed by its owner. By
            default one is made and closed here.
        timeout: Seconds for each request.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: SecretStr,
        *,
        waiter: Waiter,
        http: httpx.Client | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self.url = url.rstrip("/")
        self._connection = Connection(self.url, username, password, clock=waiter.clock, http=http, timeout=timeout)
        self._reader = self._connection.reader
        client = self._connection.client
        self._dags: Any = generated.DAGApi(client)
        self._runs: Any = generated.DagRunApi(client)
        self._definitions: Any = generated.TaskApi(client)
        self._tasks: Any = generated.TaskInstanceApi(client)
        self._errors: Any = generated.ImportErrorApi(client)
        self._monitor: Any = generated.MonitorApi(client)
        self._variables: Any = generated.VariableApi(client)
        self._version: Any = generated.VersionApi(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    @property
    def drift(self) -> Mapping[str, str]:
        """Models of the client that refused an answer of this server so far, with why."""
        return dict(self._reader.drift)

    def version(self) -> str:
        """What the server calls itself, such as "3.3.2"; needs no token.

        Raises:
            AirflowUnavailable: It does not answer.
        """
        what = "GET version"
        body = self._connection.call(what, self._version.get_version_without_preload_content, anonymous=True)
        self._reader.server_version = self._reader.text(
            what, self._reader.document(what, body, generated.VersionInfo), "version"
        )
        return self._reader.server_version

    def health(self) -> Health:
        """The state of its parts; needs no token. Errors as `version`."""
        what = "GET monitor/health"
        body = self._connection.call(what, self._monitor.get_health_without_preload_content, anonymous=True)
        document = self._reader.document(what, body, generated.HealthInfoResponse)

        def part(name: str) -> str:
            value = document.get(name)
            return str(value.get("status") or "absent") if isinstance(value, dict) else "absent"

        return Health(
            metadatabase=part("metadatabase"), scheduler=part("scheduler"), dag_processor=part("dag_processor")
        )

    def dag(self, dag_id: str) -> DagInfo | None:
        """What Airflow knows of a DAG; None if it does not know it.

        Raises:
            AirflowUnavailable: It does not answer.
            EnvironmentFailed: It refused the call.
        """
        what = f"GET dags/{dag_id}"
        try:
            body = self._connection.call(what, lambda **o: self._dags.get_dag_without_preload_content(dag_id, **o))
        except ApiRefused as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return self._reader.dag(what, self._reader.document(what, body, generated.DAGResponse))

    def dags(self) -> tuple[DagInfo, ...]:
        """Every DAG that is not stale, by id. Errors as `dag`."""
        found = self._connection.pages(
            "GET dags",
            lambda **o: self._dags.get_dags_without_preload_content(exclude_stale=True, order_by=["dag_id"], **o),
            generated.DAGCollectionResponse,
            "dags",
        )
        return tuple(self._reader.dag("GET dags", item) for item in found)

    def dag_tasks(self, dag_id: str) -> tuple[DagTask, ...]:
        """The tasks of the DAG's newest version, by id. Errors as `require_dag`, and as `dag`."""
        what = f"GET dags/{dag_id}/tasks"
        try:
            body = self._connection.call(
                what, lambda **o: self._definitions.get_tasks_without_preload_content(dag_id, order_by="task_id", **o)
            )
        except ApiRefused as error:
            if error.status == _NOT_FOUND:
                raise self.no_such_dag(dag_id) from error
            raise
        document = self._reader.document(what, body, generated.TaskCollectionResponse)
        return tuple(self._reader.dag_task(what, item) for item in self._reader.items(what, document, "tasks"))

    def require_dag(self, dag_id: str) -> DagInfo:
        """What Airflow knows of a DAG that must be there.

        Raises:
            WaitFailed: It is not there and files of the DAG folder do not import; carries their tracebacks.
            UsageError: It is not there; names the DAGs that are.
        """
        info = self.dag(dag_id)
        if info is None:
            raise self.no_such_dag(dag_id)
        return info

    def no_such_dag(self, dag_id: str) -> UsageError | WaitFailed:
        """The error for a DAG id that Airflow does not know."""
        errors = self.import_errors()
        known = ", ".join(info.dag_id for info in self.dags()) or "none"
        if errors:
            failed = WaitFailed(
                what=f"DAG {dag_id!r}",
                reason="it is not there, and files of the DAG folder do not import",
                next_step="correct the import error",
            )
            failed.evidence.update({error.file: error.stack_trace for error in errors})
            failed.evidence["DAGs that are there"] = known
            return failed
        return UsageError(
            f"Airflow knows no DAG {dag_id!r}",
            next_step="give the id of one that is there, or see that its file is in the DAG folder",
            evidence={"DAGs that are there": known},
        )

    def import_errors(self) -> tuple[DagImportError, ...]:
        """Every file of the DAG folder that does not import, its stack trace as it is. Errors as `dag`."""
        what = "GET importErrors"
        found = self._connection.pages(
            what,
            lambda **o: self._errors.get_import_errors_without_preload_content(order_by=["id"], **o),
            generated.ImportErrorCollectionResponse,
            "import_errors",
        )
        return tuple(self._reader.import_error(what, item) for item in found)

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start. Errors as `dag`."""
        self._set_paused(dag_id, paused=False)

    def pause(self, dag_id: str) -> None:
        """Let no further run of the DAG start, and no further task of one that runs. Errors as `dag`."""
        self._set_paused(dag_id, paused=True)

    def _set_paused(self, dag_id: str, *, paused: bool) -> None:
        body = generated.DAGPatchBody(is_paused=paused)
        self._connection.call(
            f"PATCH dags/{dag_id}",
            lambda **o: self._dags.patch_dag_without_preload_content(dag_id, body, update_mask=["is_paused"], **o),
        )

    def trigger(
        self, dag_id: str, run_id: str, *, logical_date: datetime | None, conf: Mapping[str, Any] | None = None
    ) -> None:
        """Start a run. May be asked again after a lost answer: its own run id tells whether it was heard.

        Args:
            dag_id: Of the DAG.
            run_id: Unique, from `new_run_id`.
            logical_date: Unique for the DAG, with a time zone, from `new_logical_date`; None for a run without.
            conf: The run's configuration. Must hold no secrets: Airflow shows it.

        Raises:
            UsageError: The DAG or the run id cannot be used.
            WaitFailed: The DAG's file does not import.
            ApiRefused: Airflow refused it, such as for a run id or logical date that is taken.
            AirflowUnavailable: It does not answer.
        """
        body = generated.TriggerDAGRunPostBody(
            dag_run_id=checked_run_id(run_id), logical_date=logical_date, conf=dict(conf or {})
        )
        attempts: list[int] = []

        def post(**options: Any) -> Any:
            attempts.append(1)
            return self._runs.trigger_dag_run_without_preload_content(dag_id, body, **options)

        try:
            self._connection.call(f"POST dags/{dag_id}/dagRuns", post)
        except ApiRefused as error:
            if error.status == _CONFLICT and len(attempts) > 1 and self._run(dag_id, run_id) is not None:
                return  # the first request was heard, its answer was lost
            if error.status == _CONFLICT:
                error.next_step = "give another run id and another logical date; each may be used once for a DAG"
            if error.status == _BAD_REQUEST and "for param " in error.message:
                error.next_step = "give each param of the DAG a default, or its value by prove(conf=...) in a test"
            if error.status == _NOT_FOUND:
                raise self.no_such_dag(dag_id) from error
            raise

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a run: "queued", "running", "success" or "failed".

        Raises:
            EnvironmentFailed: There is no such run, or Airflow refused the call.
            AirflowUnavailable: It does not answer.
        """
        document = self._run(dag_id, run_id)
        if document is None:
            raise EnvironmentFailed(
                f"Airflow knows no run {run_id!r} of DAG {dag_id!r}",
                next_step="see whether somebody deleted it, or the database was reset",
            )
        return self._reader.text(f"GET dagRuns/{run_id}", document, "state")

    def runs(self, dag_id: str | None = None, *, unfinished: bool = False) -> tuple[RunInfo, ...]:
        """Runs of a DAG, or of every DAG, oldest first; none for a DAG that Airflow does not know.

        Args:
            dag_id: The DAG; None for all.
            unfinished: Only those that are queued or running.

        Errors as `dag`.
        """
        named = _ALL if dag_id is None else dag_id
        what = f"GET dags/{named}/dagRuns"
        wanted = {"state": list(_UNFINISHED)} if unfinished else {}
        try:
            found = self._connection.pages(
                what,
                lambda **o: self._runs.get_dag_runs_without_preload_content(named, order_by=["id"], **wanted, **o),
                generated.DAGRunCollectionResponse,
                "dag_runs",
            )
        except ApiRefused as error:
            if error.status == _NOT_FOUND:
                return ()
            raise
        return tuple(self._reader.run(what, item) for item in found)

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed: its tasks are told to stop. A run that is gone by now is none to fail.

        Errors as `dag`.
        """
        body = generated.DAGRunPatchBody(state="failed")
        try:
            self._connection.call(
                f"PATCH dags/{dag_id}/dagRuns/{run_id}",
                lambda **o: self._runs.patch_dag_run_without_preload_content(
                    dag_id, run_id, body, update_mask=["state"], **o
                ),
            )
        except ApiRefused as error:
            if error.status != _NOT_FOUND:
                raise

    def delete_variables(self) -> tuple[str, ...]:
        """Delete every Variable in Airflow's database; their keys. Those of the environment are not there.

        Errors as `dag`.
        """
        what = "GET variables"
        found = self._connection.pages(
            what,
            self._variables.get_variables_without_preload_content,
            generated.VariableCollectionResponse,
            "variables",
        )
        keys = tuple(self._reader.text(what, item, "key") for item in found)
        for key in keys:
            try:
                self._connection.call(
                    f"DELETE variables/{key}",
                    lambda key=key, **o: self._variables.delete_variable_without_preload_content(key, **o),
                )
            except ApiRefused as error:
                if error.status != _NOT_FOUND:
                    raise
        return keys

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInfo, ...]:
        """Every task instance of a run. Errors as `dag`."""
        what = f"GET dagRuns/{run_id}/taskInstances"
        found = self._connection.pages(
            what,
            lambda **o: self._tasks.get_task_instances_without_preload_content(dag_id, run_id, **o),
            generated.TaskInstanceCollectionResponse,
            "task_instances",
        )
        return tuple(self._reader.task(what, item) for item in found)

    def task_logs(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> tuple[str, ...]:
        """The log of one try, as lines; empty if there is none. Not redacted. Errors as `dag`."""
        run = f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"
        path = f"{run}/taskInstances/{quote(task_id, safe='')}/logs/{try_number}"
        lines: list[str] = []
        token: str | None = None
        for _ in range(_MOST_LOG_PAGES):
            query: dict[str, str | int] = {"full_content": "true", "map_index": map_index}
            if token:
                query["token"] = token
            answer = self._connection.plain_get(path, query)
            if answer is None:
                break
            lines.extend(log_lines(answer.get("content")))
            following = answer.get("continuation_token")
            if not following or following == token:
                break
            token = str(following)
        return tuple(lines)

    def _run(self, dag_id: str, run_id: str) -> Document | None:
        what = f"GET dagRuns/{run_id}"
        try:
            body = self._connection.call(
                what, lambda **o: self._runs.get_dag_run_without_preload_content(dag_id, run_id, **o)
            )
        except ApiRefused as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return self._reader.document(what, body, generated.DAGRunResponse)
