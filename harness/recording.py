"""What is kept of every run besides its evidence: what it takes to run the same again, and a line of history."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from harness.diagnostics.catalogue import UNKNOWN
from harness.diagnostics.values import masked
from harness.environment import Environment
from harness.errors import ExitCode, HarnessError
from harness.pipeline.inputs import Inputs
from harness.redaction import Redactor
from harness.report import history, repro
from harness.report.copies import Suspicious, keep
from harness.report.files import redacted
from harness.report.history import UP
from harness.report.model import Report
from harness.report.protocols import as_declared
from harness.settings import Settings
from harness.surroundings import commit_of, surroundings
from harness.versions import harness_version

Verb = Literal["run", "up", "pytest"]
INPUTS: Final = "inputs"
# What `Diagnosis` begins with in its one line.


class Recorder:
    """Takes note of one run.

    Nothing that goes wrong here is the run's own: it is told (`problems`), and the run goes on.

    Args:
        environment: Of the run.
        verb: What drives it.
        rerun_of: Id of the run that it repeats; empty where it repeats none.
    """

    def __init__(self, environment: Environment, *, verb: Verb, rerun_of: str = "") -> None:
        self._environment = environment
        self._verb: Verb = verb
        self._rerun_of = rerun_of
        self._began = datetime.now(UTC)
        self._inputs: dict[str, Any] = {"dags": None, "data": None, "repository": None, "chart": None, "values": []}
        self._dag_commit = ""
        self._surroundings: dict[str, Any] | None = None
        self.problems: list[str] = []

    def take(self, inputs: Inputs) -> None:
        """Copy what the run starts from, before it can change, and write down what is known by now."""
        environment = self._environment
        try:
            self._inputs = kept_inputs(environment.settings, inputs, environment.evidence, environment.redactor)
            self._dag_commit = commit_of(inputs.dags, environment.runner)
            repro.write(environment.evidence, self._document(None, ""))
        except (OSError, ValueError) as error:
            self.problems.append(f"what this run starts from was not copied: {error}")

    def conclude(self, report: Report, error: BaseException | None, *, paused: float) -> Mapping[str, Any] | None:
        """Write `repro.json` and the line of history.

        Args:
            report: Of the run that is over.
            error: What ended it, if something did.
            paused: Seconds that it waited for its reader.

        Returns:
            What stands in `repro.json`; None where it could not be made or written.
        """
        environment = self._environment
        code = cause(report, error)
        document = None
        try:
            document = self._document(report, code)
            repro.write(environment.evidence, document)
        except (OSError, ValueError, LookupError, TypeError) as problem:
            self.problems.append(f"repro.json was not written: {problem}")
        if report.code is not ExitCode.USAGE:  # else nothing was run
            try:
                history.append(environment.settings.evidence_dir / history.FILE, self._line(report, code, paused))
            except OSError as problem:
                self.problems.append(f"this run is not in the history: {problem}")
        return document

    def _line(self, report: Report, code: str, paused: float) -> history.Line:
        environment, hide = self._environment, self._environment.redactor.text
        settings = environment.settings
        times: dict[str, float] = {}
        for phase in report.phases:
            if phase.seconds is not None:
                times[hide(phase.name)] = round(times.get(hide(phase.name), 0.0) + phase.seconds, 2)
        up = self._verb == "up" and report.code is ExitCode.GREEN
        return history.Line(
            run=environment.run_id,
            at=self._began.isoformat(timespec="seconds"),
            verb=self._verb,
            outcome=UP if up else history.OUTCOMES[report.code],
            exit_code=int(report.code),
            code=hide(code),
            seconds=round(max(report.seconds - paused, 0.0), 2),
            phases=times,
            dag_id=hide(settings.dag_id),
            dag_sha=self._dag_commit,
            target=str(settings.target),
            supply=_supply(environment),
            harness=harness_version(),
        )

    def _document(self, report: Report | None, code: str) -> dict[str, Any]:
        environment = self._environment
        self._surroundings = self._surroundings or surroundings(environment.given)
        document = {
            "schema_version": repro.SCHEMA_VERSION,
            "run": {
                "id": environment.run_id,
                "verb": self._verb,
                "arguments": list(sys.argv[1:]),
                "started": self._began.isoformat(timespec="seconds"),
                "outcome": "RUNNING" if report is None else report.outcome,
                "exit_code": None if report is None else int(report.code),
                "code": code,
                "seconds": None if report is None else round(report.seconds, 2),
                "rerun_of": self._rerun_of,
            },
            **self._surroundings,
            "inputs": self._inputs,
            "dag_commit": self._dag_commit,
            "environment": environment_facts(environment),
            "proofs": proofs(environment.evidence),
        }
        hidden: dict[str, Any] = redacted(document, environment.redactor)
        return hidden


def kept_inputs(settings: Settings, inputs: Inputs, evidence: Path, redactor: Redactor) -> dict[str, Any]:
    """Copy what a run starts from into its evidence folder.

    Raises:
        OSError: Something cannot be read or written.
    """

    def suspicious(raw: bytes) -> bool:
        text = raw.decode("utf-8", "replace")
        return redactor.text(text) != text

    def kept(
        path: Path, name: str, *, shipped: bool = False, why_not: str = "", looks: Suspicious | None = suspicious
    ) -> dict[str, Any]:
        return keep(
            path, beside=evidence, name=f"{INPUTS}/{name}", suspicious=looks, shipped=shipped, why_not=why_not
        ).to_json()

    own_repository = settings.repository is not None
    chart = Path(settings.airflow_chart) if settings.airflow_chart else None
    return {
        "dags": kept(inputs.dags, "dags", shipped=settings.dags is None and not own_repository),
        "data": kept(
            inputs.data, f"data/{inputs.data.name}", shipped=settings.data is None and not own_repository, looks=None
        ),
        "repository": kept(inputs.template, "repository", shipped=not own_repository),
        "chart": kept(chart, f"chart/{chart.name or 'chart'}") if chart is not None and chart.exists() else None,
        "values": [
            kept(path, f"values/{number:02}-{path.name}", why_not=_secrets_in(path))
            for number, path in enumerate(settings.values)
        ],
    }


def _secrets_in(values: Path) -> str:
    """Why a values file is not copied: what its keys call a secret is known by name, not by its looks."""
    try:
        text = values.read_text(encoding="utf-8")
        plain = yaml.safe_load(masked(text)) == yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        return "it is not YAML"
    return "" if plain else "it holds what its keys call a secret"


def environment_facts(environment: Environment) -> dict[str, Any]:
    """What a run stood on, as far as it came."""
    toolchain, ready = environment.toolchain, environment.ready
    facts: dict[str, Any] = {
        "supply": toolchain.supply if toolchain is not None else "",
        "supply_note": environment.supply_note,
        "engine": "",
        "node_image": "",
        "kubernetes": "",
        "chart": "",
        "values_digest": "",
        "airflow": "",
        "s3": "",
        "cluster": environment.cluster_name,
        "images": {},
        "stand_ins": [part.name for part in environment.stand_ins],
    }
    if toolchain is not None:
        facts |= {
            "engine": f"Docker {toolchain.engine.version}",
            "node_image": toolchain.node_image,
            "kubernetes": toolchain.kubernetes_version,
            "images": {
                str(name): {"reference": reference, "id": (toolchain.image_digests.get(name) or ("",))[-1]}
                for name, reference in toolchain.images.items()
            },
        }
    if ready is not None:
        facts |= {
            "kubernetes": ready.cluster.kubernetes_version,
            "chart": ready.release.chart,
            "values_digest": ready.release.values_digest,
            "airflow": ready.release.version,
            "s3": ready.services.s3.backend,
        }
    return facts


def proofs(evidence: Path) -> list[dict[str, Any]]:
    """Each judged run of the DAG, from the verdicts that stand in the evidence folder."""
    found = []
    for path in sorted(evidence.glob("verdict*.json"), key=lambda path: (len(path.name), path.name)):
        verdict = json.loads(path.read_bytes())
        found.append(
            {
                "verdict": path.name,
                "dag_run": verdict["run"]["id"],
                "seed_sha": verdict["code"]["seed_sha"],
                "remote": verdict["remote"],
                "green": verdict["green"],
                "red_expected": verdict["red_expected"],
                "failed": [check["id"] for check in verdict["checks"] if not check["passed"] and check["evaluated"]],
            }
        )
    return found


def cause(report: Report, error: BaseException | None) -> str:
    """One stable word for why a run ended as it did; empty where nothing is the matter, or nobody knows.

    The diagnosis' code, or else the first check that failed, or else the kind of the error.
    """
    if report.code in {ExitCode.GREEN, ExitCode.INTERRUPTED, ExitCode.NOTHING_PROVEN}:
        return ""
    red, verdict = report.code is ExitCode.VERDICT_RED, report.verdict
    # Of a red run beside which something else went wrong, the report's diagnoses are of that.
    diagnoses = verdict.diagnoses if red and error is not None and verdict is not None else report.diagnoses
    if diagnoses and (code := diagnoses[0].code) != UNKNOWN:
        return code
    if red:
        if verdict is None or as_declared(verdict):
            return "test-failed"
        if verdict.green:
            return "declared-red-is-green"
        return next((check.id for check in verdict.checks if not check.passed and check.evaluated), "")
    return type(error).__name__ if isinstance(error, HarnessError) else "HARNESS_FAULT"


def _supply(environment: Environment) -> str:
    return environment.toolchain.supply if environment.toolchain is not None else str(environment.settings.supply)
