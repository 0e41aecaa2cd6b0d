"""Images that nobody published a digest of reach the reader, and the programs that read the JUnit file."""

from __future__ import annotations

from dataclasses import replace

from harness.redaction import Redactor
from harness.report.junit import properties
from harness.report.model import Report

from .conftest import FACTS


def test_images_without_a_published_digest_are_named_in_one_line_of_the_header() -> None:
    facts = replace(FACTS, unpinned=("apache/airflow:3.3.2", "registry.k8s.io/git-sync/git-sync:v4.4.2"))
    assert ("images", "not pinned: apache/airflow:3.3.2, registry.k8s.io/git-sync/git-sync:v4.4.2") in facts.rows()


def test_a_run_whose_images_are_all_pinned_has_no_such_line() -> None:
    assert "images" not in dict(FACTS.rows())


def test_each_of_them_is_a_property_in_the_junit_file(report: Report) -> None:
    facts = replace(FACTS, unpinned=("apache/airflow:3.3.2", "postgres:17"))
    found = properties(replace(report, facts=facts), redactor=Redactor())
    assert [value for name, value in found if name == "harness.unpinned"] == ["apache/airflow:3.3.2", "postgres:17"]
    assert "harness.unpinned" not in dict(properties(report, redactor=Redactor()))
