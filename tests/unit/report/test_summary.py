"""The report on the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import ExitCode
from harness.model import BlockedEgress, Diagnosis, StandIn
from harness.redaction import MASK, Redactor
from harness.report.console import ReportConsole
from harness.report.model import KeptCluster, Report, duration
from harness.report.summary import Summary
from harness.timeline import Phase

from .conftest import GREEN, PHASES, RED, Check, Verdict

PASSWORD = "the-airflow-password"


class Utf8(io.StringIO):
    encoding = "utf-8"


def shown(report: Report, *, terminal: bool = False, redactor: Redactor | None = None) -> str:
    stream = Utf8()
    console = Console(file=stream, force_terminal=terminal, width=120, color_system=None)
    Summary(console, redactor=redactor).report(report)
    return stream.getvalue()


def last_line(text: str) -> str:
    return text.rstrip().splitlines()[-1]


def test_the_last_line_says_how_it_ended_how_long_it_took_and_where_the_evidence_is(report: Report) -> None:
    assert last_line(shown(report)) == f"GREEN in 1 min 40 s, evidence in {report.evidence}"


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (ExitCode.VERDICT_RED, "RED"),
        (ExitCode.INTERRUPTED, "INTERRUPTED"),
        (ExitCode.ENVIRONMENT_FAILED, "ENVIRONMENT FAILED"),
        (ExitCode.USAGE, "USAGE ERROR"),
        (ExitCode.NOTHING_PROVEN, "NOTHING PROVEN"),
    ],
)
def test_every_end_has_a_word_of_its_own(report: Report, code: ExitCode, word: str) -> None:
    assert last_line(shown(replace(report, code=code, verdicts=()))).startswith(f"{word} in ")


def test_a_red_verdict_counts_what_failed(red_report: Report) -> None:
    assert last_line(shown(red_report)).startswith("RED (1 of 2 checks failed) in ")


def test_the_header_names_target_supply_chart_versions_and_stand_ins(report: Report) -> None:
    text = shown(report)
    for _name, value in report.facts.rows():
        assert value in text
    assert "stand-in git-sync stand-in for git-sync v4.4.2\n" in text


def test_all_stand_ins_are_named_in_one_line_and_each_has_its_reason_on_the_page(report: Report) -> None:
    two = (StandIn("a", "x", "it is published as an image only"), StandIn("b", "y", "it cannot be had"))
    facts = replace(report.facts, stand_ins=two)
    assert ("stand-in", "a for x; b for y") in facts.rows()
    assert "published as an image only" not in shown(replace(report, facts=facts))
    assert facts.reasons() == [("a", "for x: it is published as an image only"), ("b", "for y: it cannot be had")]


def test_why_a_supply_was_chosen_is_said_once(report: Report) -> None:
    supply = Phase("supply", 0.0, 1.0, "done", "packages supply (no image registry answers); about 10 min")
    assert shown(replace(report, phases=(supply,))).count("no image registry answers") == 1


def test_input_that_was_refused_before_anything_began_is_told_alone(report: Report) -> None:
    refused = replace(report, code=ExitCode.USAGE, verdicts=(), phases=(), error="no such key\n  next: mend it")
    assert shown(refused).splitlines() == ["no such key", "  next: mend it", "", refused.last_line]


@pytest.mark.parametrize("phases", [(), PHASES])
def test_a_dag_that_is_not_ready_is_not_called_an_environment_that_failed(
    report: Report, phases: tuple[Phase, ...]
) -> None:
    said = (
        Diagnosis("DAG_IMPORT", "the DAG's file does not import", "the run", "correct it"),
        Diagnosis("DISK_FULL", "x", "y", "z"),
    )
    not_ready = replace(
        report, code=ExitCode.ENVIRONMENT_FAILED, verdicts=(), phases=phases, error="m.py does not import: why",
        diagnoses=said, dag_not_ready=True,
    )  # fmt: skip
    text = shown(not_ready)
    assert last_line(text).startswith("THE DAG IS NOT READY in ")
    assert not any(str(line) in text for line in said), "the one is the error again, the other beside the point"
    assert all(str(line) in shown(replace(not_ready, dag_not_ready=False)) for line in said)


def test_a_run_that_airflow_calls_failed_has_no_tick(report: Report) -> None:
    failed = Phase("DAG run", 0.0, 54.0, "failed", "failed")
    (line,) = [line for line in shown(replace(report, phases=(failed,))).splitlines() if line.startswith("DAG run")]
    assert line.rstrip().endswith("54 s failed")


def test_without_a_terminal_a_report_is_as_wide_as_its_table_needs() -> None:
    assert ReportConsole(file=io.StringIO()).width >= 140
    assert ReportConsole(file=io.StringIO(), force_terminal=True, width=90).width == 90


OFFICIAL = "none: the images and the chart are the official ones"


def test_without_stand_ins_the_header_says_that_the_parts_are_the_official_ones(report: Report) -> None:
    official = replace(report.facts, stand_ins=(), chart="airflow 1.22.0 (official)")
    assert dict(official.rows())["stand-in"] == OFFICIAL


@pytest.mark.parametrize("chart", ["airflow-embedded 0.1.0 (embedded)", "the embedded chart"])
def test_no_part_is_called_official_above_the_embedded_chart(report: Report, chart: str) -> None:
    text = shown(replace(report, facts=replace(report.facts, stand_ins=(), chart=chart)))
    assert "stand-in the embedded chart for the official Airflow chart" in text
    assert OFFICIAL not in text


DECLARED, LATER = replace(RED, red_expected=True), replace(GREEN, red_expected=True)
BY_IT, BY_ANOTHER = replace(DECLARED, must_fail="commit.one"), replace(DECLARED, must_fail="object.present")


@pytest.mark.parametrize(
    ("verdicts", "code", "title", "others", "last"),
    [
        ((GREEN,), ExitCode.GREEN, "", [], "GREEN in "),
        ((RED,), ExitCode.VERDICT_RED, "", [], "RED (1 of 2 checks failed) in "),
        (
            (GREEN, GREEN), ExitCode.GREEN, "run 1 is green, 1 checks passed (verdict.json)",
            ["run 2 is green, 1 checks passed (verdict-2.json)"], "GREEN in ",
        ),
        (
            (GREEN, DECLARED), ExitCode.GREEN, "run 1 is green, 1 checks passed (verdict.json)",
            ["run 2 is red, as declared: commit.one (verdict-2.json)"], "GREEN (2 runs, 1 red as declared) in ",
        ),
        ((DECLARED,), ExitCode.GREEN, "", [], "GREEN (1 run, 1 red as declared) in "),
        (
            (GREEN, DECLARED, RED), ExitCode.VERDICT_RED, "run 3 is red, not declared: commit.one (verdict-3.json)",
            ["run 1 is green, 1 checks passed (verdict.json)",
             "run 2 is red, as declared: commit.one (verdict-2.json)"],
            "RED (1 of 2 checks of run 3 failed) in ",
        ),
        (
            (GREEN, LATER), ExitCode.VERDICT_RED,
            "run 2 is green, though declared red, 1 checks passed (verdict-2.json)",
            ["run 1 is green, 1 checks passed (verdict.json)"], "RED (a run declared red is green) in ",
        ),
        ((BY_IT,), ExitCode.GREEN, "", [], "GREEN (1 run, 1 red as declared) in "),
        (
            (BY_IT, BY_ANOTHER), ExitCode.VERDICT_RED,
            "run 2 is red, not by object.present as declared: commit.one (verdict-2.json)",
            ["run 1 is red, as declared: commit.one (verdict.json)"], "RED (1 of 2 checks of run 2 failed) in ",
        ),
    ],
    ids=["green", "red", "two", "declared", "only declared", "later red", "declared, but green",
         "declared by its check", "declared by another check"],
)  # fmt: skip
def test_the_first_verdict_that_is_not_as_declared_is_shown_and_every_other_has_a_line(
    report: Report, verdicts: tuple[Verdict, ...], code: ExitCode, title: str, others: list[str], last: str
) -> None:
    several = replace(report, verdicts=verdicts, code=code)
    text = shown(several)
    assert (several.title(), several.others()) == (title, others)
    lines = text.splitlines()
    assert all(line in lines for line in others)
    assert not title or title in lines
    assert last_line(text).startswith(last)


@pytest.mark.parametrize(
    ("verdicts", "advice"),
    [
        ((RED,), "begin with commit.one, the first check that failed; the pods' logs are in "),
        (
            (BY_ANOTHER,),
            (
                "a run that a test has declared red by object.present is red, and not by that: see above; "
                "the pods' logs are in "
            ),
        ),
        (
            (GREEN,),
            "every verdict is as declared, and a test failed all the same: see it above; the pods' logs are in ",
        ),
        ((), "every verdict is as declared, and a test failed all the same: see it above; the pods' logs are in "),
        ((LATER,), "a run that a test has declared red is green: look for what was to break it, and did not; "),
    ],
)
def test_after_a_red_end_the_reader_is_told_where_to_begin(
    report: Report, verdicts: tuple[Verdict, ...], advice: str
) -> None:
    red = replace(report, verdicts=verdicts, code=ExitCode.VERDICT_RED)
    assert red.next_step.startswith(advice)


def test_after_a_failed_task_the_reader_begins_with_it_and_not_with_what_follows_from_it(red_report: Report) -> None:
    tasks = Check("tasks.succeeded", "every task succeeded", False, "success", "failed", "modify_data is failed")
    red = replace(red_report, diagnoses=(), verdicts=(Verdict((*RED.checks, tasks)),))
    assert "next: begin with tasks.succeeded: what the other checks miss may only follow from it; " in shown(red)


def test_the_header_says_what_the_adapter_added_to_which_kind_of_pod(report: Report) -> None:
    added = {"executor": (), "task": ("base: env AWS_REGION", "base: pull policy P", "init: env AWS_REGION")}
    rows = replace(report.facts, added=added).rows()
    assert ("adapter", "added to executor pods: nothing") in rows
    assert ("adapter", "added to task pods: env AWS_REGION, pull policy P") in rows


def test_a_run_that_ended_before_the_parts_were_known_claims_nothing_of_them(report: Report) -> None:
    assert "stand-in" not in shown(replace(report, facts=replace(report.facts, stand_ins=None)))


def test_what_came_up_without_a_verdict_is_not_called_green(report: Report) -> None:
    assert last_line(shown(replace(report, verdicts=()))).startswith("UP in ")


def test_a_red_run_says_which_check_to_begin_with_and_where_the_logs_are(red_report: Report) -> None:
    text = shown(replace(red_report, diagnoses=()))
    assert (
        f"next: begin with commit.one, the first check that failed; the pods' logs are in {red_report.evidence}" in text
    )


def test_a_test_that_fails_beside_a_green_first_run_is_not_taken_for_a_failed_check(report: Report) -> None:
    text = shown(replace(report, code=ExitCode.VERDICT_RED))
    assert "next: every verdict is as declared, and a test failed all the same" in text


def test_a_run_without_a_verdict_says_that_nothing_is_known(report: Report) -> None:
    text = shown(replace(report, code=ExitCode.NOTHING_PROVEN, verdicts=()))
    assert "next: no run was judged, so nothing is known of the DAG" in text


def test_an_interrupted_run_names_the_cluster_that_it_leaves(report: Report, kept: KeptCluster) -> None:
    interrupted = replace(report, code=ExitCode.INTERRUPTED, verdicts=())
    assert "next: run again\n" in shown(interrupted)
    assert f"next: run again; {kept.delete} removes the cluster that is kept" in shown(replace(interrupted, kept=kept))


def test_a_cluster_without_airflow_is_shown_without_address_and_login(report: Report, kept: KeptCluster) -> None:
    text = shown(replace(report, kept=replace(kept, ui="")), terminal=True)
    assert "Airflow  did not come up" in text
    assert "login" not in text


def test_each_check_shows_expected_found_and_whether_it_passed(red_report: Report) -> None:
    lines = shown(red_report).splitlines()
    (passed,) = [line for line in lines if "the object is in the bucket" in line]
    (failed,) = [line for line in lines if "one new commit" in line]
    assert passed.split("  ")[-1].strip() == "pass"
    assert "1 commit" in failed
    assert "2 commits" in failed
    assert failed.rstrip().endswith("FAIL")
    assert "commit.one: the run committed twice" in lines


def test_text_from_outside_is_not_read_as_markup(red_report: Report) -> None:
    assert "2 commits <b>[red]" in shown(red_report)


def test_overlapping_phases_can_be_seen(report: Report) -> None:
    lines = shown(report).splitlines()
    cluster, git = (next(line for line in lines if line.startswith(name)) for name in ("kind cluster ", "git "))
    first, last = (cluster.index("━"), cluster.rindex("━"))
    assert first < git.index("━") < last
    assert "16 s" in cluster
    assert git.rstrip().endswith("4 s reused")


def test_diagnoses_stand_before_the_last_line(red_report: Report) -> None:
    lines = shown(red_report).rstrip().splitlines()
    assert "GIT_CONFLICT: a rival pushed first | task push_data | rebase" in lines[-4:]


def test_what_is_kept_comes_with_its_address_and_the_commands(report: Report, kept: KeptCluster) -> None:
    text = shown(replace(report, kept=kept))
    for part in (kept.name, kept.ui, kept.run, kept.enter, kept.inspect, kept.delete):
        assert part in text


@pytest.mark.parametrize("terminal", [True, False])
def test_the_login_is_shown_on_a_terminal_only(report: Report, kept: KeptCluster, terminal: bool) -> None:  # noqa: FBT001 - a pytest parameter
    redactor = Redactor()
    redactor.learn(PASSWORD)
    text = shown(replace(report, kept=kept), terminal=terminal, redactor=redactor)
    assert (f"admin / {PASSWORD}" in text) is terminal


def test_every_other_text_is_redacted(red_report: Report) -> None:
    redactor = Redactor()
    redactor.learn("correct-horse-battery")
    leaky = replace(
        red_report,
        error="clone of correct-horse-battery",
        diagnoses=(Diagnosis("X", "correct-horse-battery", "x", "y"),),
        evidence=Path("/correct-horse-battery"),
    )
    text = shown(leaky, redactor=redactor)
    assert "correct-horse" not in text
    assert text.count(MASK) == 3


def test_paths_and_commands_are_never_cut_in_two(report: Report, kept: KeptCluster) -> None:
    long = replace(kept, enter="harness shell " + "x" * 200)
    assert long.enter in shown(replace(report, kept=long))


def test_a_reader_who_went_away_does_not_end_the_run(report: Report) -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    console = ReportConsole(file=Gone(), width=100)
    Summary(console).report(report)
    assert console.quiet


def test_ascii_streams_get_the_whole_report(red_report: Report) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Summary(Console(file=stream, width=120)).report(red_report)
    stream.flush()
    assert b"====" in raw.getvalue()
    assert b"RED (1 of 2" in raw.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.44, "0.4 s"), (1, "1 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_check_that_could_not_be_asked_is_not_told_as_failed(report: Report) -> None:
    unasked = Check("object.bytes", "its bytes hash", False, "", "", "not evaluated because ...", evaluated=False)
    verdict = Verdict((*RED.checks, unasked))
    red = replace(report, verdicts=(verdict,), code=ExitCode.VERDICT_RED)
    assert last_line(shown(red)).startswith("RED (1 of 3 checks failed, 1 could not be evaluated) in ")
    assert "not evaluated because" not in shown(red)
    assert "not evaluated" in shown(red)
    declared = replace(red, verdicts=(GREEN, replace(verdict, red_expected=True)), code=ExitCode.GREEN)
    assert "run 2 is red, as declared: commit.one (1 could not be evaluated) (verdict-2.json)" in shown(declared)


def test_a_check_that_nobody_could_ask_is_told_as_such_and_not_counted(report: Report) -> None:
    unseen = Check("traffic.x", "it called nobody", False, "", "nobody looks", evaluated=False, counts=False)
    red = replace(report, verdicts=(Verdict((*RED.checks, unseen)),), code=ExitCode.VERDICT_RED)
    assert last_line(shown(red)).startswith("RED (1 of 2 checks failed) in ")
    assert "not asked" in shown(red)
    green = replace(report, verdicts=(GREEN, Verdict((*GREEN.checks, unseen))), code=ExitCode.GREEN)
    assert "run 2 is green, 1 checks passed (verdict-2.json)" in shown(green)


def test_the_header_names_who_was_kept_from_reaching_out(report: Report) -> None:
    blocked = (BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 3, "airflow/dvc-pull-1"),)
    rows = replace(report.facts, blocked=blocked).rows()
    assert rows[-1] == ("blocked", "airflow/dvc-pull-1 to 192.0.2.1:443 (tcp), 3 packets")
