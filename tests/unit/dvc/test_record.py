from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest

from harness.dvc import (
    Evidence,
    Expectation,
    ImageFacts,
    Reproduction,
    RunFacts,
    judge,
    verdict_document,
    verdict_schema,
    write_verdict,
)
from harness.model import BlockedEgress, Diagnosis, StandIn
from harness.redaction import MASK, Redactor

GreenFacts = Callable[..., tuple[Expectation, Evidence]]
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FACTS = RunFacts(
    run_id="r1",
    dag_id="dataset_pipeline",
    target="kind",
    supply="packages",
    s3_backend="localstack 4.14.0",
    airflow="3.3.2",
    kubernetes="v1.34.4",
    chart="airflow 1.22.0 (official)",
    values_digest="0" * 64,
    images={"worker": ImageFacts("airflow-dvc-worker:2.0.0", f"sha256:{'1' * 64}")},
    seed_sha="a" * 40,
    branch="main",
    remote="s3://bucket/runs/r1",
    stand_ins=(StandIn("git-sync stand-in", "git-sync v4.4.2", "no registry"),),
    added={"task": ("base: env AWS_REGION",), "executor": ()},
    blocked=(
        BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 3, "airflow/dvc-pull-1"),
        BlockedEgress("10.244.0.6", "192.0.2.1", "icmp", None, 1),
    ),
    started=START,
    finished=START + timedelta(seconds=35.50049),
)


@pytest.mark.parametrize("changes", [True, False])
def test_the_file_follows_its_schema(changes: bool, green_facts: GreenFacts, tmp_path: Path) -> None:  # noqa: FBT001
    path = tmp_path / "evidence" / "r1" / "verdict.json"
    write_verdict(path, judge(*green_facts(changes=changes)), FACTS, Redactor())
    document = json.loads(path.read_text())
    schema = verdict_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
    assert document["green"] is True
    assert document["run"]["seconds"] == 35.5
    assert document["run"]["started"] == "2026-01-02T03:04:05.000+00:00"
    assert document["code"]["commit_sha"] == ("b" * 40 if changes else None)
    assert document["environment"]["added_to_pods"] == {"executor": [], "task": ["base: env AWS_REGION"]}
    assert document["environment"]["blocked_egress"] == [
        {"pod": "airflow/dvc-pull-1", "destination": "192.0.2.1", "protocol": "tcp", "port": 443, "packets": 3},
        {"pod": "10.244.0.6", "destination": "192.0.2.1", "protocol": "icmp", "port": None, "packets": 1},
    ]
    assert [entry.name for entry in path.parent.iterdir()] == ["verdict.json"]


def test_why_tasks_failed_stands_in_the_file_and_follows_the_schema(green_facts: GreenFacts, tmp_path: Path) -> None:
    expectation, evidence = green_facts()
    found = Diagnosis("DNS", "a name cannot be resolved: horse-battery", "task pull_data", "see CoreDNS")
    verdict = replace(judge(expectation, evidence), diagnoses=(found,))
    redactor = Redactor()
    redactor.learn("horse-battery")
    write_verdict(tmp_path / "verdict.json", verdict, FACTS, redactor)
    document = json.loads((tmp_path / "verdict.json").read_text())
    jsonschema.validate(document, verdict_schema())
    (written,) = document["diagnoses"]
    assert (written["code"], written["where"], written["do"]) == ("DNS", "task pull_data", "see CoreDNS")
    assert written["what"] == f"a name cannot be resolved: {MASK}"


def test_a_red_verdict_follows_the_schema_too(green_facts: GreenFacts, tmp_path: Path) -> None:
    expectation, evidence = green_facts()
    write_verdict(tmp_path / "v.json", judge(expectation, replace(evidence, grew=False, commits=())), FACTS, Redactor())
    document = json.loads((tmp_path / "v.json").read_text())
    jsonschema.validate(document, verdict_schema())
    assert document["green"] is False
    assert (document["red_expected"], document["must_fail"]) == (False, "")
    assert document["headline"].startswith("red: history.grew: ")


def test_what_became_of_each_check_stands_in_the_file(green_facts: GreenFacts) -> None:
    expectation, evidence = green_facts()
    unread = tuple(replace(pod, unread=("base: gone with its pod",)) for pod in evidence.pods)
    verdict = judge(replace(expectation, traffic_watched=False), replace(evidence, pods=unread, listing={}, digests={}))
    document = verdict_document(verdict, replace(FACTS, blocked=None), Redactor())
    jsonschema.validate(document, verdict_schema())
    found = {check["id"]: (check["outcome"], check["passed"], check["evaluated"]) for check in document["checks"]}
    assert found["history.grew"] == ("passed", True, True)
    assert found["object.present"] == ("failed", False, True)
    assert found["object.bytes"] == ("not evaluated", False, False)
    assert found["logs.no-secrets"] == ("not established", False, False)
    assert found["traffic.none-outside"] == ("not asked", False, False)
    assert document["environment"]["egress_watched"] is False


def test_which_check_was_declared_to_fail_stands_in_the_file(green_facts: GreenFacts) -> None:
    verdict = replace(judge(*green_facts()), red_expected=True, must_fail="object.present")
    document = verdict_document(verdict, FACTS, Redactor())
    jsonschema.validate(document, verdict_schema())
    assert (document["red_expected"], document["must_fail"]) == (True, "object.present")


def test_no_secret_reaches_the_file(green_facts: GreenFacts, tmp_path: Path) -> None:
    expectation, evidence = green_facts()
    redactor = Redactor()
    redactor.learn("correct horse battery")
    leaky = replace(evidence, reproduction=Reproduction(1, 'denied: "correct horse battery"', {}))
    write_verdict(tmp_path / "v.json", judge(expectation, leaky), FACTS, redactor)
    assert "correct horse battery" not in (tmp_path / "v.json").read_text()


def test_a_time_without_a_zone_is_refused(green_facts: GreenFacts, tmp_path: Path) -> None:
    naive = replace(FACTS, started=START.replace(tzinfo=None), finished=START.replace(tzinfo=None))
    verdict = judge(*green_facts())
    with pytest.raises(ValueError, match=r"^a verdict's times need a time zone$"):
        write_verdict(tmp_path / "v.json", verdict, naive, Redactor())


@pytest.fixture
def machine_in_another_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_in_another_zone")
def test_times_are_written_in_utc_whatever_the_zone_of_clock_and_machine(green_facts: GreenFacts) -> None:
    west = replace(FACTS, started=START.astimezone(timezone(timedelta(hours=-3))))
    document = verdict_document(judge(*green_facts()), west, Redactor())
    assert document["run"]["started"] == "2026-01-02T03:04:05.000+00:00"


def test_the_file_is_laid_out_for_readers(green_facts: GreenFacts, tmp_path: Path) -> None:
    facts = replace(FACTS, target="Grünau")
    write_verdict(tmp_path / "v.json", judge(*green_facts()), facts, Redactor())
    lines = (tmp_path / "v.json").read_bytes().decode().split("\n")
    assert lines[1] == '  "schema_version": 1,'
    assert '    "target": "Grünau",' in lines
    assert lines[-2:] == ["}", ""]
