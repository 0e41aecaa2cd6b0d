"""What goes into the JUnit file besides the tests: name and value pairs for pytest's `record_testsuite_property`."""

from __future__ import annotations

from harness.redaction import Redactor
from harness.report.model import Report
from harness.report.protocols import VerdictResult


def properties(report: Report, *, redactor: Redactor) -> list[tuple[str, str]]:
    """The properties of the test suite, in a stable order.

    `harness.run`, `.outcome`, `.exit-code`, `.seconds`, `.target`, `.supply`, `.chart`, `.airflow`, `.s3`,
    `.evidence`; `.memory` and `.caches` in bytes where they are known; `.stand-in` and `.unpinned` once for each;
    `.verdict` ("green" or "red") and `.check.<id>` ("pass", "fail" or why neither, as in
    `verdict.json`) of the verdict that the report shows in full (the
    first that is not as declared, or else the first); `.further-verdict` once for each other, as a line;
    `.phase.<name>` in seconds, with a number behind the name from its second time on; `.diagnosis` and
    `.diagnosis-code` once for each, the likeliest first.
    """
    facts = report.facts
    pairs = [
        ("run", facts.run_id),
        ("outcome", report.outcome),
        ("exit-code", str(int(report.code))),
        ("seconds", f"{report.seconds:.1f}"),
        ("target", facts.target),
        ("supply", facts.supply),
        ("chart", facts.chart),
        ("airflow", facts.airflow),
        ("s3", facts.s3),
        ("evidence", str(report.evidence)),
    ]
    for name, value in (("memory", report.resources.memory), ("caches", report.resources.caches)):
        if value is not None:
            pairs.append((name, str(value)))
    pairs += [("stand-in", f"{part.name} for {part.replaces}: {part.because}") for part in facts.stand_ins or ()]
    pairs += [("unpinned", image) for image in facts.unpinned]
    if report.verdict is not None:
        pairs.append(("verdict", "green" if report.verdict.green else "red"))
        pairs += [
            (f"check.{check.id}", "pass" if check.passed else "fail" if check.evaluated else check.outcome)
            for check in report.verdict.checks
        ]
    pairs += [("further-verdict", line) for line in report.others()]
    times: dict[str, int] = {}
    for phase in report.phases:
        if phase.seconds is None:
            continue
        times[phase.name] = times.get(phase.name, 0) + 1
        nth = f".{times[phase.name]}" if times[phase.name] > 1 else ""
        pairs.append((f"phase.{phase.name.replace(' ', '-')}{nth}", f"{phase.seconds:.1f}"))
    pairs += [("diagnosis", str(found)) for found in report.diagnoses]
    pairs += [("diagnosis-code", found.code) for found in report.diagnoses]
    return [(f"harness.{name}", redactor.text(value)) for name, value in pairs]


def verdict_properties(verdict: VerdictResult, *, redactor: Redactor) -> list[tuple[str, str]]:
    """The properties of a test that judged a run.

    `harness.verdict`, `harness.red-expected` ("true") where the test has declared it, `harness.failed-check` once for
    each; `harness.diagnosis` and `harness.diagnosis-code` of the likeliest cause, where tasks failed.
    """
    pairs = [("verdict", "green" if verdict.green else "red")]
    if verdict.red_expected:
        pairs.append(("red-expected", "true"))
    pairs += [("failed-check", check.id) for check in verdict.checks if not check.passed and check.evaluated]
    for found in verdict.diagnoses[:1]:
        pairs += [("diagnosis", str(found)), ("diagnosis-code", found.code)]
    return [(f"harness.{name}", redactor.text(value)) for name, value in pairs]
