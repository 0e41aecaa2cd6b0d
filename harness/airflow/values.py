"""What the API says, as small frozen values, and how they are read from its answers.

The generated models of apache-airflow-client are strict: an enum or a field that a newer server adds fails the
whole answer (airflow-client-python #137). So they are asked first, and where they refuse an answer that still has
what is needed, that is taken and the difference is noted (`Reader.drift`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from harness.errors import EnvironmentFailed

_log = logging.getLogger(__name__)
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DagInfo:
    """What Airflow knows of a DAG.

    Attributes:
        dag_id: Its id.
        is_paused: Paused DAGs accept runs, which then stay queued.
        is_stale: No longer in the DAG folder, or its file no longer imports.
        has_import_errors: Its file did not import when it was last parsed.
        last_parsed_time: When the result of the last parse was written; None before the first.
        last_parse_duration: How long that parse took; None where the server does not say.
        file: Path of its file, relative to the bundle.
        bundle: The bundle that it is in.
    """

    dag_id: str
    is_paused: bool
    is_stale: bool
    has_import_errors: bool
    last_parsed_time: datetime | None
    last_parse_duration: timedelta | None
    file: str
    bundle: str

    @property
    def last_parse_began(self) -> datetime | None:
        """No later than this, and hardly earlier, the last parse read the file; None where it cannot be said.

        `last_parsed_time` is set when the result is written (apache-airflow-core 3.3,
        dag_processing/collection.py, `update_dags`), which may be after a change of the file that the parse,
        begun before, has not seen.
        """
        if self.last_parsed_time is None or self.last_parse_duration is None:
            return None
        return self.last_parsed_time - self.last_parse_duration


@dataclass(frozen=True, slots=True)
class DagImportError:
    """A file of the DAG folder that does not import.

    Attributes:
        file: Its path, relative to the bundle.
        bundle: The bundle.
        stack_trace: As Airflow recorded it.
        at: When it was recorded.
    """

    file: str
    bundle: str
    stack_trace: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A DAG run.

    Attributes:
        dag_id: Of the DAG.
        run_id: Unique within the DAG.
        run_type: Who made it: "manual", "scheduled", "backfill", "asset_triggered" and the like.
        state: "queued", "running", "success" or "failed".
        started: Whether it has left the queue.
    """

    dag_id: str
    run_id: str
    run_type: str
    state: str
    started: bool

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.run_id} ({self.run_type}, {self.state})"


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task instance.

    Attributes:
        task_id: Of the task.
        map_index: -1 for a task that is not mapped.
        state: Airflow's word, such as "running"; "none" before it is scheduled.
        try_number: From 1 once it has run; 0 before.
        seconds: Duration of the last try; None if it never ran.
        queued_at: When it was last queued; None if it never was.
        queued: Whether it was ever handed to an executor, or may have been where the server does not say.
    """

    task_id: str
    map_index: int
    state: str
    try_number: int
    seconds: float | None
    queued_at: datetime | None
    queued: bool = True


# Operators whose task is a pod of its own. A team's subclass is recognised by its name's ending; the decorators'
# classes are apache-airflow-providers-cncf-kubernetes 10.25.0, decorators/kubernetes.py and kubernetes_cmd.py.
_POD_OPERATOR: Final = "PodOperator"
_POD_DECORATORS: Final = frozenset({"_KubernetesDecoratedOperator", "_KubernetesCmdDecoratedOperator"})
# The scheduler itself marks these as done; no executor ever sees them. Those of a subclass have a try all the same, and
# are known by `TaskInfo.queued`.
_NO_WORK: Final = frozenset({"EmptyOperator"})


@dataclass(frozen=True, slots=True)
class DagTask:
    """A task as the DAG defines it.

    Attributes:
        task_id: Its id.
        operator: Name of its operator's class, such as "KubernetesPodOperator".
    """

    task_id: str
    operator: str

    @property
    def runs(self) -> bool:
        """Whether an executor runs it."""
        return self.operator not in _NO_WORK

    @property
    def has_pod(self) -> bool:
        """Whether its work is done in a pod of its own, besides the executor's."""
        return self.operator.endswith(_POD_OPERATOR) or self.operator in _POD_DECORATORS


@dataclass(frozen=True, slots=True)
class Health:
    """The state of Airflow's parts: "healthy", "unhealthy", or "absent" where a part is not installed.

    Attributes:
        metadatabase: The database.
        scheduler: The scheduler, by its heartbeat.
        dag_processor: The DAG processor, by its heartbeat.
    """

    metadatabase: str
    scheduler: str
    dag_processor: str

    @property
    def healthy(self) -> bool:
        """Whether everything a DAG run needs is healthy."""
        return self.metadatabase == self.scheduler == self.dag_processor == "healthy"


@dataclass(slots=True)
class Reader:
    """Reads answers of the API.

    Attributes:
        client_version: Of apache-airflow-client.
        server_version: What the server calls itself; set once known.
        drift: Models that refused an answer, with why, in one line each.
    """

    client_version: str
    server_version: str = "unknown"
    drift: dict[str, str] = field(default_factory=dict)

    def document(self, what: str, body: bytes, model: Any) -> Document:
        """The answer as a JSON object, checked against the client's model.

        Raises:
            EnvironmentFailed: It is no JSON object.
        """
        try:
            document = json.loads(body)
        except ValueError as error:
            raise self.unreadable(what, f"it is not JSON: {_start(body)}") from error
        if not isinstance(document, dict):
            raise self.unreadable(what, f"it is not a JSON object: {_start(body)}")
        try:
            model.from_dict(document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            name = str(getattr(model, "__name__", model))
            if name not in self.drift:
                self.drift[name] = " ".join(str(error).split())[:300]
                _log.warning("%s differs between client and server: %s", name, self.drift[name])
        return document

    def unreadable(self, what: str, why: str) -> EnvironmentFailed:
        """The error for an answer without what is needed."""
        return EnvironmentFailed(
            f"the answer to {what} cannot be read: {why}",
            next_step="use the apache-airflow-client of the server's minor version",
            evidence={
                "apache-airflow-client": self.client_version,
                "Airflow server": self.server_version,
                **{f"model {name}": text for name, text in self.drift.items()},
            },
        )

    def text(self, what: str, document: Document, key: str) -> str:
        """A required text.

        Raises:
            EnvironmentFailed: It is missing or no text.
        """
        value = document.get(key)
        if not isinstance(value, str):
            raise self.unreadable(what, f"{key!r} is {value!r}, expected a text")
        return value

    def flag(self, what: str, document: Document, key: str) -> bool:
        """A required truth value; errors as `text`."""
        value = document.get(key)
        if not isinstance(value, bool):
            raise self.unreadable(what, f"{key!r} is {value!r}, expected true or false")
        return value

    def time(self, what: str, document: Document, key: str) -> datetime | None:
        """A time, or None where the answer has none; errors as `text`."""
        value = document.get(key)
        if value is None:
            return None
        try:
            parsed = datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise self.unreadable(what, f"{key!r} is {value!r}, expected a time") from error
        return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)

    def number(self, what: str, document: Document, key: str) -> float | None:
        """A number, or None where the answer has none; errors as `text`."""
        value = document.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.unreadable(what, f"{key!r} is {value!r}, expected a number")
        return float(value)

    def items(self, what: str, document: Document, key: str) -> list[Document]:
        """A required list of objects; errors as `text`."""
        value = document.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.unreadable(what, f"{key!r} is no list of objects")
        return list(value)

    def dag(self, what: str, document: Document) -> DagInfo:
        """A `DAGResponse`; errors as `text`."""
        duration = self.number(what, document, "last_parse_duration")
        return DagInfo(
            dag_id=self.text(what, document, "dag_id"),
            is_paused=self.flag(what, document, "is_paused"),
            is_stale=self.flag(what, document, "is_stale"),
            has_import_errors=self.flag(what, document, "has_import_errors"),
            last_parsed_time=self.time(what, document, "last_parsed_time"),
            last_parse_duration=None if duration is None else timedelta(seconds=duration),
            file=str(document.get("relative_fileloc") or document.get("fileloc") or ""),
            bundle=str(document.get("bundle_name") or ""),
        )

    def import_error(self, what: str, document: Document) -> DagImportError:
        """An `ImportErrorResponse`; errors as `text`."""
        at = self.time(what, document, "timestamp")
        if at is None:
            raise self.unreadable(what, "'timestamp' is missing")
        return DagImportError(
            file=self.text(what, document, "filename"),
            bundle=str(document.get("bundle_name") or ""),
            stack_trace=self.text(what, document, "stack_trace"),
            at=at,
        )

    def run(self, what: str, document: Document) -> RunInfo:
        """A `DAGRunResponse`; errors as `text`."""
        return RunInfo(
            dag_id=self.text(what, document, "dag_id"),
            run_id=self.text(what, document, "dag_run_id"),
            run_type=self.text(what, document, "run_type"),
            state=self.text(what, document, "state"),
            started=self.time(what, document, "start_date") is not None,
        )

    def dag_task(self, what: str, document: Document) -> DagTask:
        """A `TaskResponse`; errors as `text`."""
        reference = document.get("class_ref")
        name = reference.get("class_name") if isinstance(reference, Mapping) else None
        operator = str(name or document.get("operator_name") or "")
        return DagTask(task_id=self.text(what, document, "task_id"), operator=operator)

    def task(self, what: str, document: Document) -> TaskInfo:
        """A `TaskInstanceResponse`; errors as `text`."""
        state = document.get("state")
        queued_at = self.time(what, document, "queued_when")
        return TaskInfo(
            task_id=self.text(what, document, "task_id"),
            map_index=int(self.number(what, document, "map_index") or 0) if "map_index" in document else -1,
            state="none" if state is None else str(state),
            try_number=int(self.number(what, document, "try_number") or 0),
            seconds=self.number(what, document, "duration"),
            queued_at=queued_at,
            queued=queued_at is not None or "queued_when" not in document,
        )


def _start(body: bytes) -> str:
    return repr(body[:120].decode("utf-8", errors="replace"))
