"""What an import error of a DAG file means: a mistake in the DAG, or a provider that this environment has not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

_MISSING: Final = re.compile(r"ModuleNotFoundError: No module named '(airflow\.providers\.[\w.]+)'")
_IMPORT: Final = re.compile(r"\b(?:from|import)\s+(airflow\.providers\.[\w.]+)")
# Packages that only group providers: their provider's name has two parts (apache/airflow, folder providers/).
_GROUPS: Final = frozenset({"apache", "atlassian", "cncf", "common", "dbt", "ibm", "microsoft"})


def lacking_provider(stack_trace: str) -> str | None:
    """The distribution of the provider whose absence the trace shows, such as `apache-airflow-providers-amazon`.

    None where something else failed, and where the provider is there but has no such module: then the DAG was
    written for another version of it, and is at fault.
    """
    missing = [found[1] for found in _MISSING.finditer(stack_trace)]
    if not missing:
        return None
    absent = missing[-1].split(".")[2:]
    grouped = absent[0] in _GROUPS
    if len(absent) > (2 if grouped else 1):
        return None
    if grouped and len(absent) == 1:
        # The whole group is absent; the statement that failed names the provider.
        wanted = [found[1].split(".")[2:] for found in _IMPORT.finditer(stack_trace)]
        absent = next((name[:2] for name in reversed(wanted) if name[0] == absent[0] and len(name) > 1), absent)
    return "apache-airflow-providers-" + "-".join(absent)


def same_file(recorded: str, wanted: Iterable[str]) -> bool:
    """Whether a file that Airflow recorded (relative to its bundle, or absolute) is one of the wanted ones."""
    parts = PurePosixPath(recorded).parts
    return any(parts[-len(names) :] == names for names in (PurePosixPath(path).parts for path in wanted) if names)
