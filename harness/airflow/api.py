"""Airflow's REST API, version 2: the one seam over apache-airflow-client.

Nothing outside of this folder imports that client. Its quirks stay here: no tokens of its own, strict models
(`values.py`), logs that lose their keys (`logs.py`), calls without a timeout. Every call is bounded in time; calls
that may safely be made twice are, after a passing failure; an expired token is renewed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from harness.airflow import generated
from harness.airflow.connection import ApiRefused
from harness.airflow.dagapi import DagApi
from harness.airflow.logs import log_lines
from harness.airflow.runids import checked_run_id
from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagImportError, DagInfo, DagTask, Document, Health, RunInfo, TaskInfo
from harness.errors import EnvironmentFailed

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

_MOST_LOG_PAGES: Final = 500
_BAD_REQUEST, _NOT_FOUND, _CONFLICT = 400, 404, 409
_ALL: Final = "~"  # where the API takes a DAG id and means every DAG (routes/public/dag_run.py, `get_dag_runs`)
_UNFINISHED: Final = ("queued", "running")


class AirflowApi(DagApi):
    """The API of one Airflow, as one user. Safe to share between threads."""

    @cached_property
    def _runs(self) -> Any:
        return generated.DagRunApi(self._connection.client)

    @cached_property
    def _tasks(self) -> Any:
        return generated.TaskInstanceApi(self._connection.client)

    @cached_property
    def _variables(self) -> Any:
        return generated.VariableApi(self._connection.client)

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
