"""A handful of the rows of tests/mutations without a cluster, so that table and programs stay true between its runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.dvc.checks import RULES
from tests.mutations import mutations as _mutations  # noqa: F401 - fills the table
from tests.mutations import variations as _variations  # noqa: F401 - fills the table
from tests.mutations.play import Play
from tests.mutations.played import Results, assert_green, assert_killed, assert_undecided, play_all, write
from tests.mutations.recording import Recorded
from tests.mutations.site import Site
from tests.mutations.table import MUTATIONS, UNDECIDED, VARIATIONS, Mutation

# One of each kind of service and of data, each of them in every run of `tox -e mutations` too.
KILLED = (
    "history-without-its-past", "object-behind-a-delete-marker", "manifest-of-a-folder-missing", "row-doubled",
    "stage-output-held-back-by-dvc-yaml",
)  # fmt: skip
GREEN = ("plain-run", "version-aware-remote")
NOT_SEEN = "executor-pod-missing"


Rows = Callable[..., Results]


@pytest.fixture(scope="module")
def played(site: Site, recorded: Mapping[str, Recorded]) -> Rows:
    """Plays the rows of these names, each once: several workers share these tests, and each plays what it looks at."""
    known: dict[str, Results] = {}

    def play(*names: str) -> Results:
        for name in names:
            if name not in known:
                row = {**MUTATIONS, **UNDECIDED, **VARIATIONS}[name]
                known[name] = play_all(name, [row], site, recorded, prefix="runs/contract")
        rows = {name: known[name].rows[name] for name in names}
        return Results("rows", rows, sum(known[name].seconds for name in names))

    return play


@pytest.mark.parametrize("name", KILLED)
def test_mutation_is_killed(played: Rows, name: str) -> None:
    assert_killed(name, played(name).rows)


@pytest.mark.parametrize("name", GREEN)
def test_legal_variation_stays_green(played: Rows, name: str) -> None:
    assert_green(name, played(name).rows)


def test_a_run_that_was_not_seen_has_no_verdict_and_is_not_a_killed_one(played: Rows) -> None:
    rows = played(NOT_SEEN).rows
    assert_undecided(NOT_SEEN, rows)
    assert rows[NOT_SEEN].as_wanted
    row = rows[NOT_SEEN].row
    kill = Mutation(name=row.name, act=row.act, killed_by="code.dag-sha", says=("no executor pod",))
    told = {NOT_SEEN: replace(rows[NOT_SEEN], row=kill)}
    assert not told[NOT_SEEN].as_wanted
    with pytest.raises(AssertionError, match="not established"):
        assert_killed(NOT_SEEN, told)
    red = replace(played("row-doubled").rows["row-doubled"], row=row)
    assert not red.as_wanted
    with pytest.raises(AssertionError):
        assert_undecided(NOT_SEEN, {NOT_SEEN: red})


def test_every_check_kills_a_mutation() -> None:
    # A pointer cannot change without a commit, which is an earlier check's.
    (only_beside,) = {rule.id for rule in RULES} - {row.killed_by for row in MUTATIONS.values()}
    assert only_beside == "pointer.unchanged"
    assert any(only_beside in row.also for row in MUTATIONS.values())


def test_rows_leave_nothing_on_the_services(site: Site, played: Rows) -> None:
    names = (KILLED[0], GREEN[0])
    played(*names)
    assert not list(site.workspace.glob("*-*/repository.git"))
    for name in names:
        refused = site.runner.run(
            ["git", "ls-remote", site.access(f"scratch-{name}.git").url], env=site.access("").env, check=False
        )
        assert "not found" in refused.stderr


def test_a_mutation_that_nothing_notices_is_told(site: Site, recorded: Mapping[str, Recorded]) -> None:
    def nothing_wrong(play: Play) -> None:
        play.complete()

    row = replace(MUTATIONS["object-missing"], name="nothing-wrong", act=nothing_wrong)
    results = play_all("mutations killed", [row], site, recorded, prefix="runs/contract")
    assert results.headline.startswith("mutations killed: 0 of 1")
    with pytest.raises(AssertionError, match="nothing noticed"):
        assert_killed("nothing-wrong", results.rows)


def test_a_mutation_killed_for_another_reason_is_told(played: Rows) -> None:
    doubled = played("row-doubled").rows["row-doubled"]
    row = doubled.row
    assert isinstance(row, Mutation)
    for wrong in (
        replace(row, killed_by="object.bytes"),
        replace(row, also=("object.present",)),
        replace(row, says=("for another reason",)),
    ):
        told = {row.name: replace(doubled, row=wrong)}
        assert not told[row.name].as_wanted
        with pytest.raises(AssertionError):
            assert_killed(row.name, told)


def test_a_row_that_cannot_be_played_ends_no_other(site: Site, recorded: Mapping[str, Recorded]) -> None:
    def broken(play: Play) -> None:
        play.push("0" * 40)

    rows = [replace(VARIATIONS["plain-run"], name="broken", act=broken), VARIATIONS["unchanged-run"]]
    results = play_all("legal", rows, site, recorded, prefix="runs/contract")
    assert results.headline.startswith("legal: 1 of 2")
    assert "NOT AS WANTED: CommandFailed" in results.matrix()


def test_the_kill_matrix_is_written_as_text_and_as_json(played: Rows, tmp_path: Path) -> None:
    write(tmp_path, [played("row-doubled"), played(GREEN[0])])
    text = (tmp_path / "kill-matrix.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("row-doubled "))
    assert line.split()[1 : 1 + len(RULES)].count("K") == 1
    (mutations, variations) = json.loads((tmp_path / "kill-matrix.json").read_text())
    assert mutations["rows"]["row-doubled"]["checks"]["rows.appended"] == "killed"
    assert mutations["rows"]["row-doubled"]["checks"]["object.bytes"] == "passed"
    assert set(variations["rows"]) == {GREEN[0]}
    assert all(row["as_wanted"] for table in (mutations, variations) for row in table["rows"].values())
