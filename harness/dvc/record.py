"""`verdict.json`: the verdict and everything needed to know what it is about, in a versioned format.

The format is `verdict.schema.json` beside this module. A reader may rely on every field of one schema version; a new
version is made only when a field is removed or changes its meaning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from harness.dvc.rules import Check
from harness.dvc.verdict import Verdict
from harness.model import BlockedEgress, StandIn
from harness.redaction import Redactor

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image of the run.

    Attributes:
        reference: As pods name it.
        id: Its configuration digest, "sha256:..."; empty where it is not known.
    """

    reference: str
    id: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a verdict is about.

    Attributes:
        run_id: Of the DAG run.
        dag_id: Of the DAG.
        target: Where it ran, such as "kind".
        supply: Where the parts came from, such as "packages".
        s3_backend: What answered as S3, with its version.
        airflow: Airflow's version, as its API says.
        kubernetes: Kubernetes' version, as its API says.
        chart: Chart name and version with its kind.
        values_digest: sha256 over the effective Helm values, secrets left out.
        images: By logical name.
        seed_sha: The commit under test.
        branch: The branch that the pointer's commit lands on.
        remote: URL of the DVC remote.
        stand_ins: What replaced a real part.
        started: When the run was triggered; with a time zone.
        finished: When the verdict was reached; likewise.
        added: What the adapter added to the run's pods that the DAG does not ask for, by kind of pod.
        blocked: What pods tried to reach outside the cluster during the run, and were kept from; None where nobody
            watched.
    """

    run_id: str
    dag_id: str
    target: str
    supply: str
    s3_backend: str
    airflow: str
    kubernetes: str
    chart: str
    values_digest: str
    images: Mapping[str, ImageFacts]
    seed_sha: str
    branch: str
    remote: str
    stand_ins: tuple[StandIn, ...]
    started: datetime
    finished: datetime
    added: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    blocked: tuple[BlockedEgress, ...] | None = ()


def verdict_document(verdict: Verdict, facts: RunFacts, redactor: Redactor) -> dict[str, Any]:
    """The document as plain values, redacted, in the order in which it is written.

    Raises:
        ValueError: A time has no time zone.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "green": verdict.green,
        "headline": verdict.headline,
        "red_expected": verdict.red_expected,
        "must_fail": verdict.must_fail,
        "changes_expected": verdict.changes,
        "run": {
            "id": facts.run_id,
            "dag_id": facts.dag_id,
            "started": _timestamp(facts.started),
            "finished": _timestamp(facts.finished),
            "seconds": round((facts.finished - facts.started).total_seconds(), 3),
        },
        "environment": {
            "target": facts.target,
            "supply": facts.supply,
            "s3_backend": facts.s3_backend,
            "airflow": facts.airflow,
            "kubernetes": facts.kubernetes,
            "chart": facts.chart,
            "values_digest": facts.values_digest,
            "images": {name: asdict(image) for name, image in sorted(facts.images.items())},
            "stand_ins": [asdict(stand_in) for stand_in in facts.stand_ins],
            "egress_watched": facts.blocked is not None,
            "blocked_egress": [_blocked(entry) for entry in facts.blocked or ()],
            "added_to_pods": {role: list(entries) for role, entries in sorted(facts.added.items())},
        },
        "code": {"seed_sha": facts.seed_sha, "commit_sha": verdict.commit, "branch": facts.branch},
        "remote": facts.remote,
        "checks": [_check(check) for check in verdict.checks],
        "diagnoses": [asdict(found) for found in verdict.diagnoses],
    }
    return {key: _redacted(value, redactor) for key, value in document.items()}


def write_verdict(path: Path, verdict: Verdict, facts: RunFacts, redactor: Redactor) -> None:
    """Write `verdict.json`: whole or not at all, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(verdict_document(verdict, facts, redactor), indent=2, ensure_ascii=False)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(f"{text}\n".encode())
    draft.replace(path)


def verdict_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `verdict.json`."""
    schema: dict[str, Any] = json.loads(resources.files("harness.dvc").joinpath("verdict.schema.json").read_bytes())
    return schema


def _check(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "title": check.title,
        "outcome": str(check.outcome),
        "passed": check.passed,
        "expected": check.expected,
        "found": check.found,
        "explanation": check.explanation,
        "evaluated": check.evaluated,
    }


def _blocked(entry: BlockedEgress) -> dict[str, Any]:
    """As in the schema; the address stays where no pod is known by it."""
    return {
        "pod": entry.pod or entry.source,
        "destination": entry.destination,
        "protocol": entry.protocol,
        "port": entry.port,
        "packets": entry.packets,
    }


def _timestamp(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError("a verdict's times need a time zone")
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _redacted(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        return redactor.text(value)
    if isinstance(value, dict):
        return {key: _redacted(item, redactor) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, redactor) for item in value]
    return value
