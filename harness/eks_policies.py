"""The policies, as JSON files of their own: the one place that code, CloudFormation, Terraform and tests go by.

`fixtures/eks/policies/*.json`, with `${name}` where an account's own names go: what Terraform's `templatefile` fills
in, and Python's `string.Template`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from string import Template
from typing import Any, Final, Literal

from harness.assets import asset
from harness.errors import EnvironmentFailed

PolicyName = Literal[
    "dvc-s3",
    "dvc-trust",
    "dvc-trust-irsa",
    "prepare",
    "prepare-images",
    "prepare-irsa",
    "runner",
    "runner-images",
    "runner-trust",
    "sweep",
]
# What the repositories of ECR are below.
REPOSITORIES: Final = "airflow-dvc-harness"
# What a policy may say as one text or as a list of them, in any order, and mean the same.
_SETS: Final = frozenset({"Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"})


def document(name: PolicyName, values: Mapping[str, str]) -> dict[str, Any]:
    """A policy with an account's own names in it.

    Args:
        name: Of the file.
        values: By the names in it; more than it has may be given.

    Raises:
        EnvironmentFailed: The file names something that is not given.
    """
    path = asset("fixtures") / "eks" / "policies" / f"{name}.json"
    try:
        text = Template(path.read_text(encoding="utf-8")).substitute(values)
    except (KeyError, ValueError) as error:
        raise EnvironmentFailed(f"the policy {path} asks for what is not given: {error}") from None
    found: dict[str, Any] = json.loads(text)
    return found


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """How a policy differs from the one that it should be, as lines to read; nothing where both mean the same."""
    expected, there = (_lines(one) for one in (wanted, found))
    if expected == there:
        return []
    return [
        line
        for line in difflib.unified_diff(expected, there, "expected", "found", n=1, lineterm="")
        if not line.startswith("@@")
    ]


def _lines(policy: Mapping[str, Any]) -> list[str]:
    statements = policy.get("Statement", [])
    plain = [_plain(one) for one in (statements if isinstance(statements, list) else [statements])]
    ordered = sorted(plain, key=lambda one: json.dumps(one, sort_keys=True))
    return json.dumps({"Version": policy.get("Version"), "Statement": ordered}, indent=1, sort_keys=True).splitlines()


def _plain(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _set(value) if key in _SETS else value for key, value in statement.items() if key != "Sid"}


def _set(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _set(one) for key, one in value.items()}
    return sorted(str(one) for one in (value if isinstance(value, list) else [value]))
