"""The history of runs: one line each, in any order, from any machine, and no line costs another."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from harness import cli
from harness.errors import UsageError
from harness.report.history import Line, append, beginning, document, merge, read, tally
from harness.report.history_table import show

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def line(number: int, **other: Any) -> Line:
    given: dict[str, Any] = {
        "run": f"r-{number}",
        "at": (NOW - timedelta(days=number)).isoformat(),
        "verb": "run",
        "outcome": "green",
        "exit_code": 0,
        "code": "",
        "seconds": 40.0 + number,
        "phases": {"DAG run": 30.0},
        "id": f"{number:032x}",
    }
    return Line(**{**given, **other})


def red(number: int, code: str = "object.present", **other: Any) -> Line:
    return line(number, outcome="red", exit_code=1, code=code, **other)


def broken(number: int, code: str = "IMAGE_PULL", **other: Any) -> Line:
    return line(number, outcome="environment failed", exit_code=3, code=code, **other)


def written(path: Path, *lines: Line) -> Path:
    for one in lines:
        append(path, one)
    return path


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "deep" / "history.jsonl", line(1), red(2))
    assert read(path).lines == (red(2), line(1)), "the oldest first"
    assert read(path).damaged == ()


def test_every_order_of_files_and_lines_says_the_same(tmp_path: Path) -> None:
    lines = [line(1), red(2), broken(3), line(1)]
    said = set()
    for number, order in enumerate(itertools.permutations(lines)):
        first = written(tmp_path / f"{number}-a", *order[:2])
        second = written(tmp_path / f"{number}-b", *order[2:])
        said |= {json.dumps(document(read(*files))["by_code"]) for files in ((first, second), (second, first))}
    assert len(said) == 1


def test_a_merge_adds_what_is_lacking_once(tmp_path: Path) -> None:
    mine = written(tmp_path / "mine", line(1), red(2))
    other = written(tmp_path / "other", red(2), broken(3))
    assert merge(mine, [other]) == 1
    assert merge(mine, [other, mine]) == 0
    assert [one.run for one in read(mine).lines] == ["r-3", "r-2", "r-1"]


def test_two_lines_of_one_id_are_decided_alike_on_every_machine_and_named(tmp_path: Path) -> None:
    told, retold = line(1), red(1)
    here, there = written(tmp_path / "here", told), written(tmp_path / "there", retold)
    merged = []
    for into, other in ((here, there), (there, here)):
        copy = tmp_path / f"{into.name}-merged"
        copy.write_bytes(into.read_bytes())
        merge(copy, [other])
        merged.append(read(copy))
        assert merge(copy, [other]) == 0
    assert merged[0].lines == merged[1].lines
    assert len(merged[0].lines) == 1
    assert "says something else" in str(read(here, there).damaged[0])


DAMAGE = {
    "": None,
    "{": "not valid JSON",
    "[1]": "not a JSON object",
    '{"schema": 2}': "schema 2, and this version reads 1",
    '{"schema": NaN}': "NaN is no number",
    json.dumps({**json.loads(line(1).to_json()), "seconds": "fast"}): "seconds is 'fast'",
    json.dumps({**json.loads(line(1).to_json()), "at": "yesterday"}): "Invalid isoformat",
    json.dumps({**json.loads(line(1).to_json()), "at": "2026-11-21T08:00:00"}): "at has no time zone",
    json.dumps({**json.loads(line(1).to_json()), "id": ""}): "no id",
    json.dumps({**json.loads(line(1).to_json()), "phases": {"a": None}}): "a phase's time",
}


@pytest.mark.parametrize(("text", "why"), DAMAGE.items())
def test_a_damaged_line_is_named_with_its_place_and_costs_no_other(text: str, why: str | None, tmp_path: Path) -> None:
    path = written(tmp_path / "history.jsonl", line(1))
    with path.open("a", encoding="utf-8") as out:
        out.write(f"{text}\n")
    append(path, red(2))
    found = read(path)
    assert len(found.lines) == 2
    assert [one.number for one in found.damaged] == ([] if why is None else [2])
    if why is not None:
        assert why in str(found.damaged[0])


@given(st.binary(max_size=200))
def test_no_bytes_stop_the_reading(raw: bytes) -> None:
    path = Path(__file__).parent / "none"
    assert read(path).lines == ()
    try:
        Line.read(raw.decode("utf-8", "replace"))
    except (ValueError, OverflowError, RecursionError):
        return


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(line(1).to_json()[:40], encoding="utf-8")
    append(path, red(2))
    assert [one.run for one in read(path).lines] == ["r-2"]
    assert [one.number for one in read(path).damaged] == [1]


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    program = (
        "import sys; from pathlib import Path; from harness.report.history import Line, append\n"
        "for n in range(20): append(Path(sys.argv[1]), Line(run='r', at='2026-11-21T08:00:00+00:00', verb='run',"
        " outcome='green', exit_code=0, code='', seconds=1.0, phases={'x' * 3000: 1.0}))"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert (len(read(path).lines), read(path).damaged) == (60, ())


def test_a_run_waits_for_another_that_is_writing(tmp_path: Path) -> None:
    path = written(tmp_path / "history.jsonl", line(1))
    program = (
        "import sys; from pathlib import Path; from harness.report.history import Line, append\n"
        "append(Path(sys.argv[1]), Line(run='r', at='2026-11-21T08:00:00+00:00', verb='run', outcome='green',"
        " exit_code=0, code='', seconds=1.0))"
    )
    with path.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        other = subprocess.Popen([sys.executable, "-c", program, str(path)])
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(3)
        assert len(read(path).lines) == 1
    assert other.wait(30) == 0
    assert len(read(path).lines) == 2


def test_failures_are_counted_by_code_with_their_first_and_last_time_and_median() -> None:
    counted = tally([line(1), line(2), red(3), red(5), red(9, seconds=100.0), broken(4)])
    first = counted.groups[0]
    assert (first.outcome, first.code, first.count) == ("red", "object.present", 3)
    assert (first.first, first.last) == (NOW - timedelta(days=9), NOW - timedelta(days=3))
    assert first.median == 45.0, "the median, not the mean"
    assert [group.outcome for group in counted.groups] == ["red", "environment failed", "green"]
    assert (counted.runs, counted.told, counted.green, counted.share) == (6, 6, 2, 2 / 6)


def test_what_was_broken_off_or_only_came_up_does_not_count_against_green() -> None:
    up = line(2, outcome="up", verb="up")
    failed_up = broken(3, verb="up")
    counted = tally([line(1), up, failed_up, line(4, outcome="interrupted", exit_code=2)])
    assert (counted.runs, counted.told, counted.green, counted.share) == (4, 1, 1, 1.0)
    assert tally([up]).share is None


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("2d", NOW - timedelta(days=2)),
        ("12h", NOW - timedelta(hours=12)),
        ("4w", NOW - timedelta(weeks=4)),
        ("2026-11-20T10:00:00+00:00", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("99999999999d", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_span_or_a_time_says_since_when(text: str, begins: datetime) -> None:
    assert beginning(text, NOW) == begins


@pytest.mark.parametrize("text", ["", "soon", "7", "7m", "-7d", "2026-13-01"])
def test_what_is_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        beginning(text, NOW)


def shown(*paths: Path) -> str:
    output = io.StringIO()
    show(read(*paths), Console(file=output, width=140))
    return output.getvalue()


def test_the_table_shows_codes_the_share_of_green_and_what_was_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path / "history.jsonl", line(1), line(2), red(3), broken(4))
    with path.open("a", encoding="utf-8") as out:
        out.write("nonsense\n")
    text = shown(path)
    assert "object.present" in text
    assert "IMAGE_PULL" in text
    assert "green: 2 of 4 that were to give a verdict (50%)" in text
    assert f"passed over: {path}:5: not valid JSON" in text


def test_a_narrow_terminal_cuts_nothing_short(tmp_path: Path) -> None:
    path = written(tmp_path / "history.jsonl", broken(4, code="CAPABILITY_WITHHELD"), red(3))
    output = io.StringIO()
    show(read(path), Console(file=output, width=60))
    for part in ("environment failed", "CAPABILITY_WITHHELD", "runs", "share", "last seen"):
        assert part in output.getvalue()


def test_an_empty_history_says_so(tmp_path: Path) -> None:
    assert shown(tmp_path / "none") == "no run is in the history\n"


def invoke(home: Path, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> tuple[int, str]:
    monkeypatch.setenv("HARNESS_EVIDENCE_DIR", str(home))
    result = CliRunner().invoke(cli.app, ["history", *map(str, words)])
    return result.exit_code, result.output


def test_the_verb_merges_and_counts_since_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recent = red(0, at=datetime.now(UTC).isoformat())
    written(tmp_path / "history.jsonl", line(400), recent)
    other = written(tmp_path / "other.jsonl", broken(401))
    code, text = invoke(tmp_path, monkeypatch, "--merge", other, "--since", "7d", "--json")
    assert code == 0, text
    told = json.loads(text)
    assert [(one["outcome"], one["code"]) for one in told["by_code"]] == [("red", "object.present")]
    assert len(read(tmp_path / "history.jsonl").lines) == 3


def test_a_file_to_merge_that_is_not_there_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _text = invoke(tmp_path, monkeypatch, "--merge", tmp_path / "none")
    assert code == 4
    assert not (tmp_path / "history.jsonl").exists()
