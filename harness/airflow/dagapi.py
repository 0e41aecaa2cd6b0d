"""The half of Airflow's API that is about the server and the DAGs that it knows; that of runs is in `api.py`."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx
from pydantic import SecretStr

from harness.airflow import generated
from harness.airflow.connection import ApiRefused, Connection
from harness.airflow.values import DagImportError, DagInfo, DagTask, Health
from harness.errors import UsageError, WaitFailed
from harness.wait import Waiter

REQUEST_TIMEOUT: Final = 30.0
_NOT_FOUND: Final = 404


class DagApi:
    """The API of one Airflow, as one user, without its runs. Safe to share between threads.

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
        self._definitions: Any = generated.TaskApi(client)
        self._errors: Any = generated.ImportErrorApi(client)
        self._monitor: Any = generated.MonitorApi(client)
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
