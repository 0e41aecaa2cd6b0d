"""Memory and disk in the report."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.redaction import Redactor
from harness.report.files import html, write
from harness.report.junit import properties
from harness.report.model import Report, Resources

GIB = 1024**3
ALL = Resources(node_memory=2 * GIB, own_memory=GIB // 2, caches=6_100_000_000, cache_limit=20_000_000_000)


@pytest.mark.parametrize(
    ("resources", "rows"),
    [
        (
            ALL,
            [
                ("memory", "2.5 GiB at most (node with page cache 2.0, harness and its engine 0.5)"),
                ("caches", "6.1 GB of at most 20 GB"),
            ],
        ),
        (replace(ALL, node_memory=None, caches=None), [("memory", "0.5 GiB at most (harness and its engine 0.5)")]),
        (
            replace(ALL, own_memory_before=3 * GIB, caches=None),
            [
                (
                    "memory",
                    "3.0 GiB at most (node with page cache 2.0, harness and its engine 0.5, before the cluster 3.0)",
                )
            ],
        ),
        (Resources(), []),
    ],
)
def test_what_is_known_is_a_line_each_and_what_is_not_is_no_zero(
    resources: Resources, rows: list[tuple[str, str]]
) -> None:
    assert resources.rows() == rows


def test_both_stand_in_the_json_the_page_and_the_junit_file(report: Report) -> None:
    measured = replace(report, resources=ALL)
    (timeline, _page) = write(measured, redactor=Redactor())
    assert json.loads(timeline.read_text())["resources"] == {
        "node_memory": 2 * GIB,
        "own_memory": GIB // 2,
        "own_memory_before": None,
        "caches": 6_100_000_000,
        "cache_limit": 20_000_000_000,
    }
    assert "2.5 GiB at most" in html(measured, redactor=Redactor(), environment={})
    found = dict(properties(measured, redactor=Redactor()))
    assert (found["harness.memory"], found["harness.caches"]) == (str(5 * GIB // 2), "6100000000")
