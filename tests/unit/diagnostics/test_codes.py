"""The codes are a promise: whoever counts failures by them finds each in the documentation, and it in the catalogue."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from harness.diagnostics.catalogue import CATALOGUE, UNKNOWN
from tests.diagnosis.table import EVERY

PAGE = Path(__file__).parents[3] / "docs" / "troubleshooting.md"
HEAD = "| code | what happened | do |\n|---|---|---|\n"
# What the issue that asked for the catalogue names, and where it has no cheaper way to be caused than here.
ASKED = {
    "IMAGE_PULL", "CONFIG_ERROR", "CRASH_LOOP", "OUT_OF_MEMORY", "UNSCHEDULABLE", "CLAIM_PENDING", "DNS",
    "GITSYNC_AUTH", "GITSYNC_REF", "GITSYNC_TLS", "DAG_IMPORT", "DAG_NOT_PARSED", "TEMPLATE_ERROR",
    "SECRET_KEY_MISSING", "PROVIDER_MISSING", "S3_CREDENTIALS", "S3_BUCKET_MISSING", "S3_ENDPOINT", "GIT_CONFLICT",
    "MIGRATION_FAILED", "HELM_TIMEOUT", "ENGINE_GONE", "DISK_FULL", "EGRESS_BLOCKED",
}  # fmt: skip


def rows() -> list[str]:
    """A row for each code, in the order of the catalogue; one with two ways out has both."""
    order = {code: place for place, code in enumerate(dict.fromkeys(cause.code for cause in CATALOGUE))}
    causes = sorted(CATALOGUE, key=lambda cause: order[cause.code])
    grouped = [(code, list(ones)) for code, ones in groupby(causes, key=lambda cause: cause.code)]
    return [f"| `{code}` | {ones[0].what} | {'; or '.join(one.do for one in ones)} |" for code, ones in grouped]


def test_the_documentation_has_the_catalogues_codes_and_no_others() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert HEAD in text
    written = [line for line in text.partition(HEAD)[2].split("\n\n")[0].splitlines() if line]
    assert written == rows(), "the table in docs/troubleshooting.md is to be:\n" + HEAD + "\n".join(rows())


def test_codes_are_of_one_form() -> None:
    for cause in CATALOGUE:
        assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", cause.code)
        assert cause.code != UNKNOWN


def test_every_cause_that_was_asked_for_has_a_code_and_is_caused_for_real() -> None:
    assert ASKED - {cause.code for cause in CATALOGUE} == set()
    assert ASKED - {case.code for case in EVERY} == set()
