"""Checks on the data: the rows, and whether somebody else can get it."""

from __future__ import annotations

from typing import Final

from harness.dvc.case import Case
from harness.dvc.evidence import Expectation
from harness.dvc.rules import Finding, Rule, counted, cut

_SHOWN = 3


def _rows(case: Case) -> Finding:
    wanted = case.expectation.policy.new_rows or 0
    table, tracked = case.evidence.table, case.expectation.tracked_file
    expected = f"the old rows and {wanted} more"
    if table is None:
        why = f"the rows of {tracked} could not be compared: {case.evidence.table_problem or 'no table was read'}."
        return Finding(False, expected, "no comparison", why)
    added = table.new_rows - table.old_rows
    found = f"{table.old_rows} rows became {table.new_rows}"
    if table.difference is not None:
        return Finding(False, expected, found, f"old rows of {tracked} changed: {table.difference}.")
    if added != wanted:
        why = f"the run added {added} rows to {tracked} where {wanted} is the rule."
        return Finding(False, expected, found, why)
    if table.ragged is not None:
        return Finding(False, expected, found, f"{tracked} is damaged: {table.ragged}.")
    return Finding(passed=True, expected=expected, found=found)


def _reproduces(case: Case) -> Finding:
    got, naming = case.evidence.reproduction, case.after.naming
    wanted = {named.label: named for named in naming.objects if not named.manifest}
    expected = f"git clone + dvc pull at {case.at} give {len(wanted)} file{'s' * (len(wanted) != 1)} with those md5"
    if got is None:
        return Finding(False, expected, "not tried", "no clean clone was tried, so nobody knows whether it works.")
    if got.code != 0:
        why = (
            f"in a clean clone at {case.at}, dvc pull ended with exit code {got.code}: {got.said or 'it said nothing'}"
        )
        return Finding(False, expected, f"exit code {got.code}", why)
    problems = [] if wanted else [f"the pointer at {case.at} names no file to compare with"]
    problems += [f"{address} could not be read, so its files are not known" for address in naming.unread]
    problems += naming.problems
    for label, named in wanted.items():
        file = got.files.get(label)
        if file is None:
            problems.append(f"{label} is not there")
        elif file.named(legacy=named.legacy) != named.md5:
            problems.append(f"{label} hashes to {file.named(legacy=named.legacy)}, not to {named.md5}")
    problems += [f"{label} is there, though no pointer names it" for label in got.files if label not in wanted]
    why = f"a clean clone at {case.at} does not reproduce the data: {cut(problems, _SHOWN)}."
    return Finding(not problems, expected, counted(len(got.files), "file"), why if problems else "")


def _counts_rows(expectation: Expectation) -> bool:
    return expectation.changes and expectation.policy.new_rows is not None


DATA_RULES: Final = (
    Rule("rows.appended", "the rows are as expected", _rows, ("object.bytes",), _counts_rows),
    Rule("clone.reproduces", "a clean clone and dvc pull give the same bytes", _reproduces, ("pointer.wellformed",)),
)
