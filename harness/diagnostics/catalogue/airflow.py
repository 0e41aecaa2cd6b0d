"""Airflow: its chart, its database, the DAG."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import ERROR
from harness.diagnostics.causes import Cause, Sign, said

_SERVER: Final = r"container (?:api-server|scheduler|dag-processor|triggerer)\b"
_REFUSED: Final = r"signature has expired|signature verification failed"

AIRFLOW: Final = (
    Cause(
        code="PROVIDER_MISSING",
        what="this environment lacks a provider that the DAG imports; that says nothing about the DAG",
        do="use an image that has the provider, or `--supply registry` for the official image",
        signs=(
            said(r"the environment lacks provider"),
            said(r"modulenotfounderror: no module named '?airflow\.providers\."),
        ),
    ),
    Cause(
        code="TEMPLATE_ERROR",
        what="a template of the DAG cannot be rendered",
        do="`ds` and its like need a run with a logical date (or use `run_id`); keep scripts with `{#` or `{%` out of "
        "templated arguments",
        signs=(
            said(r"undefinederror: '[^']+' is undefined"),
            said(r"jinja2\.exceptions\.\w+|templatesyntaxerror|templatenotfound"),
        ),
    ),
    Cause(
        code="DAG_IMPORT",
        what="the DAG's file does not import",
        do="correct the file: its traceback is with the evidence; `python FILE` shows the same without a cluster",
        signs=(
            said(r"\.py does not import: |files of the dag folder do not import|broken dag:"),
            said(r"dag has import errors|failed to import: \S+\.py"),
        ),
    ),
    Cause(
        code="DAG_MISSING",
        what="Airflow knows no DAG of that id",
        do="correct the id in the settings (dag_id) or in the file; the file must lie in the synced DAG folder",
        signs=(
            said(r"airflow knows no dag |parsed,? and define [\w., -]+ instead"),
            said(r"dag with id: [`'\"]?[\w.-]+[`'\"]? was not found|dag not found|dagnotfound"),
        ),
    ),
    Cause(
        code="DAG_NOT_PARSED",
        what="the commit is there, and Airflow has not parsed the DAG from it in time",
        do="see whether .airflowignore names the file, then the DAG processor's log; on a slow machine `--patience 2`",
        signs=(
            said(r"commit is there, (?:not parsed since|the DAG is (?:not known yet|marked stale))", sources=ERROR),
        ),
        symptom=True,
    ),
    Cause(
        code="DAG_NOT_SYNCED",
        what="git-sync has not brought the commit in time",
        do="see git-sync's log at the DAG processor, and that the Git server answers; slow machine: `--patience 2`",
        signs=(said(r"the DAG processor has (?:no commit yet|[0-9a-f]{12})", sources=ERROR),),
        symptom=True,
    ),
    Cause(
        code="AIRFLOW_CONFIG",
        what="Airflow cannot use a value of its configuration",
        do="correct the key under `config` in the values, or the variable AIRFLOW__SECTION__KEY",
        signs=(
            said(r"airflowconfigexception: |failed to convert value to (?:int|float|bool)"),
            said(r"cannot use relative path: `[^`]+` to connect to sqlite"),
        ),
    ),
    Cause(
        code="MIGRATION_FAILED",
        what="Airflow's database could not be prepared",
        do="see the log of the migration job; a Postgres made without UTF-8 (SQL_ASCII) is one reason",
        signs=(
            said(r"cannot use a string pattern on a bytes-like object"),
            said(r"there are still unapplied migrations|alembic\.util\.exc\.commanderror"),
            said(r"sqlalchemy\.exc\.|psycopg2?\.(?:operational|programming)error|traceback", where=r"migrat"),
            Sign(said=r"job \S*migrat\S*: failed|backofflimitexceeded", where=r"migrat"),
            Sign(reasons=frozenset({"BackoffLimitExceeded"}), where=r"migrat"),
        ),
    ),
    Cause(
        code="TASK_TOKEN",
        what="Airflow's components do not accept each other's tokens",
        do="restart API server and scheduler after a change of keys; on a slow machine the token may have expired",
        # A DAG may have tokens of its own: what PyJWT says of any counts in Airflow's parts only. The API server's
        # answer to a task stands in the task's log.
        signs=(
            said(rf"{_REFUSED}|invalid auth token", where=rf", {_SERVER}"),
            said(rf"\b{_SERVER}[^\n]*(?:{_REFUSED}|invalid auth token)", sources=ERROR),
            said(r"invalid auth token: \S"),
        ),
    ),
)
