"""Helm values that follow from the settings, and what the values must agree on with the rest of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.airflow.chart_values import dotted
from harness.assets import asset
from harness.errors import ValuesError

TEMPLATE: Final = "branch.yaml.j2"


def write_overlay(template_folder: Path, path: Path, *, branch: str, repository: str = "") -> Path:
    """Write the values file that follows from the settings, and return its path."""
    templates = Environment(loader=FileSystemLoader(template_folder), undefined=StrictUndefined)  # noqa: S701 - YAML, not HTML; strings go through `tojson`
    path.write_text(templates.get_template(TEMPLATE).render(branch=branch, repository=repository), encoding="utf-8")
    return path


def values_files(
    folder: Path, *, target: str, branch: str, further: Sequence[Path], repository: str = ""
) -> tuple[Path, ...]:
    """Helm values in order: shared, what differs on the target, what the settings say, the user's.

    Args:
        folder: Where what follows from the settings is written.
        target: Name of the target; its own values are in the file of that name.
        branch: The branch under test.
        further: The user's.
        repository: Address of the repository, where it is not the harness's own.
    """
    helm = asset("helm")
    overlay = write_overlay(helm, folder / "branch.yaml", branch=branch, repository=repository)
    return (helm / "values.yaml", helm / f"{target}.yaml", overlay, *further)


def check_agreement(values: Mapping[str, Any], *, branch: str, repository: str, dags_path: str) -> None:
    """Refuse values with which Airflow would run other code than the run seeds and judges.

    Args:
        values: The effective values.
        branch: The branch under test.
        repository: The URL of the run's repository.
        dags_path: The DAG folder in it.

    Raises:
        ValuesError: The user's values name another branch, repository or folder; every difference is named.
    """
    wanted = {"branch": branch, "ref": branch, "repo": repository, "subPath": dags_path}
    synced = (values.get("dags") or {}).get("gitSync") or {}
    differing = {
        dotted(("dags", "gitSync", key)): f"is {synced.get(key)!r}, and this run needs {value!r}"
        for key, value in wanted.items()
        if synced.get(key) != value
    }
    if differing:
        raise ValuesError(
            "the values have Airflow take its DAGs from elsewhere than where the run puts them",
            evidence=differing,
            next_step="leave these keys out of your values; the branch is set with --branch (policy.branch)",
        )
