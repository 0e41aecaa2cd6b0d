"""The report as files, and in JUnit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.errors import ExitCode
from harness.model import Diagnosis
from harness.redaction import Redactor
from harness.report.files import html, write
from harness.report.junit import properties
from harness.report.model import KeptCluster, Report
from harness.timeline import Phase

SECRET = "correct&horse<battery"


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.learn(SECRET)
    return made


class Page(HTMLParser):
    """The text of a page, the elements in it, and every attribute that could fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            f"{tag}.{name}" for name, _value in attrs if name in {"src", "href", "srcset", "data", "action"}
        ]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_both_files_are_written_into_a_new_folder(report: Report, redactor: Redactor) -> None:
    paths = write(report, redactor=redactor)
    assert paths == [report.evidence / "timeline.json", report.evidence / "report.html"]
    assert all(path.is_file() for path in paths)


def test_the_timeline_file_holds_the_phases_in_seconds(red_report: Report, redactor: Redactor) -> None:
    (path, _page) = write(red_report, redactor=redactor)
    document = json.loads(path.read_text())
    assert (document["schema"], document["run"], document["outcome"], document["seconds"]) == (
        1,
        "r-7f3a",
        "RED",
        100.0,
    )
    assert document["phases"][1] == {"name": "git", "start": 4.0, "end": 8.0, "outcome": "done", "note": "reused"}


def test_the_timeline_has_the_codes_of_what_was_diagnosed(red_report: Report, redactor: Redactor) -> None:
    write(red_report, redactor=redactor)
    (found,) = json.loads((red_report.evidence / "timeline.json").read_text())["diagnoses"]
    assert found == {"code": "GIT_CONFLICT", "what": "a rival pushed first", "where": "task push_data", "do": "rebase"}


def test_junit_has_line_and_code_of_each_diagnosis(red_report: Report, redactor: Redactor) -> None:
    found = dict(properties(red_report, redactor=redactor))
    assert found["harness.diagnosis"] == "GIT_CONFLICT: a rival pushed first | task push_data | rebase"
    assert found["harness.diagnosis-code"] == "GIT_CONFLICT"


def test_the_page_shows_verdict_timeline_stand_ins_and_environment(red_report: Report, redactor: Redactor) -> None:
    page = Page(html(red_report, redactor=redactor, environment={"helm": "v3.19.5"}))
    words = " ".join(page.words)
    for part in (
        red_report.last_line,
        "one new commit",
        "2 commits <b>[red]",
        "the run committed twice",
        "FAIL",
        "git-sync stand-in for git-sync v4.4.2: its image needs a registry",
        "kind cluster",
        "16 s",
        "helm v3.19.5",
        *map(str, red_report.diagnoses),
    ):
        assert part in words
    assert "b" not in page.tags


def test_the_page_fetches_nothing_and_runs_nothing(red_report: Report, redactor: Redactor) -> None:
    text = html(red_report, redactor=redactor, environment={"x": "javascript:alert(1)"})
    page = Page(text)
    assert page.fetched == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.findall(r"url\(|@import", text)


def test_a_page_without_verdict_and_phases_still_says_how_it_ended(report: Report, redactor: Redactor) -> None:
    without = replace(report, verdicts=(), phases=(), code=ExitCode.ENVIRONMENT_FAILED)
    text = html(without, redactor=redactor, environment={})
    assert '<h1 class="bad">ENVIRONMENT FAILED in 1 min 40 s' in text
    assert "Verdict" not in text


def test_no_file_and_no_property_holds_a_secret(red_report: Report, redactor: Redactor, kept: KeptCluster) -> None:
    redactor.learn(kept.password.get_secret_value())
    leaky = replace(
        red_report,
        error=SECRET,
        diagnoses=(Diagnosis("X", SECRET, SECRET, SECRET),),
        kept=kept,
        phases=(Phase("helm", 0, 1, "done", SECRET),),
    )
    pages = [path.read_text() for path in write(leaky, redactor=redactor, environment={"x": SECRET, SECRET: "x"})]
    named = [f"{name}={value}" for name, value in properties(leaky, redactor=redactor)]
    for text in (*pages, *named):
        assert "horse" not in text
        assert kept.password.get_secret_value() not in text


def test_properties_name_run_verdict_checks_stand_ins_and_times(red_report: Report, redactor: Redactor) -> None:
    pairs = dict(properties(red_report, redactor=redactor))
    assert pairs["harness.run"] == "r-7f3a"
    assert pairs["harness.outcome"] == "RED"
    assert pairs["harness.verdict"] == "red"
    assert pairs["harness.check.object.present"] == "pass"
    assert pairs["harness.check.commit.one"] == "fail"
    assert pairs["harness.phase.kind-cluster"] == "16.0"
    assert pairs["harness.stand-in"].startswith("git-sync stand-in for git-sync v4.4.2")


def test_a_phase_that_ran_twice_has_two_properties(report: Report, redactor: Redactor) -> None:
    twice = replace(report, phases=(Phase("run", 0, 30, "done"), Phase("run", 30, 70, "done"), Phase("down", 70)))
    names = {name: value for name, value in properties(twice, redactor=redactor) if ".phase." in name}
    assert names == {"harness.phase.run": "30.0", "harness.phase.run.2": "40.0"}
