"""The report as files in the evidence folder: `timeline.json` for programs, `report.html` for people.

`verdict.json` is written where the verdict is made (`harness/dvc/`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.redaction import Redactor
from harness.report.bars import bars
from harness.report.model import Report, duration

TIMELINE_SCHEMA: Final = 1
_TEMPLATES = Path(__file__).parent / "templates"


def write(report: Report, *, redactor: Redactor, environment: Mapping[str, str] | None = None) -> list[Path]:
    """Write the files into `report.evidence`, which is made if need be; returns their paths.

    Args:
        report: What to write. The login of a kept cluster is left out.
        redactor: Applied to every text before it is laid out.
        environment: Further facts for the reader by name, such as versions and settings.

    Raises:
        OSError: The folder cannot be written.
    """
    report.evidence.mkdir(parents=True, exist_ok=True)
    timeline = report.evidence / "timeline.json"
    timeline.write_text(json.dumps(redacted(timeline_document(report), redactor), indent=1) + "\n", encoding="utf-8")
    page = report.evidence / "report.html"
    page.write_text(html(report, redactor=redactor, environment=environment or {}), encoding="utf-8")
    return [timeline, page]


def timeline_document(report: Report) -> dict[str, Any]:
    """The content of `timeline.json`; times in seconds since the run began.

    Keys: `schema` (1), `run`, `outcome`, `seconds`; `phases`, a list of `name`, `start`, `end` (null while it ran),
    `outcome` ("done", "failed", "running") and `note`; `diagnoses`, a list of `code`, `what`, `where` and `do`, the
    likeliest first; and `resources`, bytes or null: `node_memory` (highest, page
    cache included), `own_memory` (highest beside the cluster), `own_memory_before`, `caches`, `cache_limit`.
    """
    return {
        "schema": TIMELINE_SCHEMA,
        "run": report.facts.run_id,
        "outcome": report.outcome,
        "seconds": round(report.seconds, 2),
        "phases": [
            {
                "name": phase.name,
                "start": round(phase.start, 2),
                "end": None if phase.end is None else round(phase.end, 2),
                "outcome": phase.outcome,
                "note": phase.note,
            }
            for phase in report.phases
        ],
        "diagnoses": [asdict(found) for found in report.diagnoses],
        "resources": asdict(report.resources),
    }


def html(report: Report, *, redactor: Redactor, environment: Mapping[str, str]) -> str:
    """The report as one HTML page that needs nothing from anywhere else."""
    jinja = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Redacted before it is escaped: "&amp;" in a secret would hide it from the redactor.
    return jinja.get_template("report.html").render(redacted(_page(report, environment), redactor))


def redacted(value: Any, redactor: Redactor) -> Any:
    """The same JSON-like value with every text in it redacted; keys too."""
    if isinstance(value, str):
        return redactor.text(value)
    if isinstance(value, Mapping):
        return {redactor.text(str(key)): redacted(item, redactor) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item, redactor) for item in value]
    return value


def _files(report: Report) -> list[tuple[str, str]]:
    """(path beside the page, what it holds) of the evidence that is there."""
    known = {
        "verdict.json": "the verdict, check by check",
        "bundle": "pods, events, logs, Helm, Git and bucket as they were when the run failed",
        "logs": "the pods of each DAG run",
        "commands.log": "every program that was run",
        "timeline.json": "the phases",
        "parity.json": "the first proof, to be compared with one on another target: harness parity",
        "repro.json": "what it takes to run the same again: harness rerun",
    }
    return [(name, holds) for name, holds in known.items() if (report.evidence / name).exists()]


def _page(report: Report, environment: Mapping[str, str]) -> dict[str, Any]:
    checks = report.verdict.checks if report.verdict is not None else ()
    return {
        "outcome": report.outcome,
        "last_line": report.last_line,
        "facts": [*report.facts.rows(), *report.facts.reasons(), *report.resources.rows()],
        "next_step": report.next_step,
        "files": _files(report),
        "error": report.error,
        "diagnoses": [str(found) for found in report.diagnoses],
        "verdict": None if report.verdict is None else {"green": report.verdict.green, "title": report.title()},
        "others": report.others(),
        "checks": [
            {
                "id": check.id,
                "title": check.title,
                "passed": check.passed,
                "evaluated": check.evaluated,
                "outcome": check.outcome,
                "expected": check.expected,
                "found": check.found,
                "explanation": check.explanation,
            }
            for check in checks
        ],
        "bars": [
            {
                "name": bar.phase.name,
                "outcome": bar.phase.outcome,
                "note": bar.phase.note,
                "left": round(bar.left * 100, 2),
                "width": round(bar.width * 100, 2),
                "seconds": "" if bar.phase.seconds is None else duration(bar.phase.seconds),
            }
            for bar in bars(report.phases, total=report.seconds)
        ],
        "total": duration(report.seconds),
        "environment": dict(environment),
    }
