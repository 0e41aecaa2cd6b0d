"""`repro.json`: everything that is needed to run the same again, in a versioned format; no secrets.

The format is `repro.schema.json` beside this module. A new version is made only when a field is removed or changes its
meaning. Digests and paths stand there as they are; the inputs themselves lie in `inputs/` beside the file, or are said
to be withheld and why (`copies.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jsonschema

from harness.errors import UsageError
from harness.report.bundles import RECORD

SCHEMA_VERSION: Final = 1
_LARGEST: Final = 10_000_000
# What is compared, by the reader's word for it, and where it stands.
_COMPARED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("harness version", ("harness", "version")),
    ("harness commit", ("harness", "commit")),
    ("harness code", ("harness", "digest")),
    ("Python", ("harness", "python")),
    ("host system", ("host", "system")),
    ("host distribution", ("host", "distribution")),
    ("host machine", ("host", "machine")),
    ("host processors", ("host", "processors")),
    ("host memory", ("host", "memory_bytes")),
    ("supply", ("environment", "supply")),
    ("engine", ("environment", "engine")),
    ("Kubernetes", ("environment", "kubernetes")),
    ("node image", ("environment", "node_image")),
    ("chart", ("environment", "chart")),
    ("values", ("environment", "values_digest")),
    ("Airflow", ("environment", "airflow")),
    ("S3", ("environment", "s3")),
    ("DAG folder", ("inputs", "dags", "sha256")),
    ("data set", ("inputs", "data", "sha256")),
    ("repository", ("inputs", "repository", "sha256")),
    ("chart files", ("inputs", "chart", "sha256")),
)
# Digests are cut to what can be told apart at a glance.
_SHOWN: Final = 24


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as it was in the recorded run.

    Attributes:
        what: The thing, for the reader.
        recorded: As it was.
        now: As it is.
    """

    what: str
    recorded: str
    now: str

    def __str__(self) -> str:
        """Such as "chart: was airflow 1.22.0 (official), is airflow-embedded 0.1.0 (embedded)"."""
        return f"{self.what}: was {self.recorded}, is {self.now}"


def write(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write `repro.json`, whole or not at all; the document is redacted already.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{RECORD}.{os.getpid()}"
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return draft.replace(folder / RECORD)


def read(folder: Path) -> dict[str, Any]:
    """The recorded run in a folder.

    Raises:
        UsageError: It cannot be read, or is of another version, or damaged.
    """
    path = folder / RECORD
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is not taken: it is a link, or larger than {_LARGEST // 10**6} MB")
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", next_step="name another run's evidence folder, or an archive of it"
        ) from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise UsageError(
            f"{path} is of schema version {version!r}, and this harness reads {SCHEMA_VERSION}",
            next_step="use the harness version that recorded it",
        )
    problem = next(iter(jsonschema.Draft202012Validator(schema()).iter_errors(document)), None)
    if problem is not None:
        where = "/".join(map(str, problem.absolute_path)) or "its top"
        raise UsageError(f"{path} is damaged at {where}: {problem.message[:200]}")
    return dict(document)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `repro.json`."""
    found: dict[str, Any] = json.loads(resources.files("harness.report").joinpath("repro.schema.json").read_bytes())
    return found


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What differs between two recorded runs; what one of them did not come to know is not compared."""
    pairs: list[tuple[str, Any, Any]] = [(what, _at(recorded, path), _at(now, path)) for what, path in _COMPARED]
    was, is_ = (_at(one, ("environment", "images")) or {} for one in (recorded, now))
    pairs += [(f"image {name}", (was.get(name) or {}).get("id"), (is_.get(name) or {}).get("id")) for name in was]
    before, after = (_at(one, ("inputs", "values")) or [] for one in (recorded, now))
    pairs.append(("values files", [one.get("sha256") for one in before], [one.get("sha256") for one in after]))
    old, new = (_at(one, ("settings",)) or {} for one in (recorded, now))
    pairs += [(f"setting {name}", old[name], new.get(name)) for name in old if name not in _OF_INPUTS]
    return tuple(
        Difference(what, _shown(before), _shown(after))
        for what, before, after in pairs
        if before not in (None, "") and after not in (None, "") and before != after
    )


# Their paths are others in every run; what they hold is compared by digest.
_OF_INPUTS: Final = frozenset(
    {"dags", "data", "repository", "values", "airflow_chart", "keep", "supply", "cluster_name"}
)


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}..."
