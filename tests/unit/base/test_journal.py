"""The record of what a run created."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EnvironmentFailed
from harness.journal import LIFETIME, Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "r1" / "journal.jsonl"


def test_a_new_journal_is_empty_and_makes_no_file(path: Path) -> None:
    assert Journal(path).open() == []
    assert not path.exists()


def test_what_was_not_removed_is_open_newest_first(path: Path) -> None:
    journal = Journal(path)
    first, second, third = (journal.record("container", name) for name in "abc")
    journal.removed(second)
    assert journal.open() == [third, first]


def test_an_entry_is_on_disk_when_record_returns(path: Path) -> None:
    Journal(path).record("cluster", "h-1", kubeconfig="k")
    (line,) = path.read_text().splitlines()
    assert json.loads(line) | {"at": "", "expires": ""} == {
        "op": "create",
        "id": 1,
        "kind": "cluster",
        "name": "h-1",
        "detail": {"kubeconfig": "k"},
        "at": "",
        "expires": "",
    }


def test_another_process_reads_the_same_entries(path: Path) -> None:
    entry = Journal(path).record("network", "n", driver="bridge")
    assert Journal(path).open() == [entry]


def test_numbers_go_on_where_an_earlier_process_stopped(path: Path) -> None:
    first = Journal(path).record("file", "a")
    second = Journal(path).record("file", "b")
    assert second.id == first.id + 1


def test_an_entry_of_the_same_name_is_not_closed_by_the_other(path: Path) -> None:
    journal = Journal(path)
    first, second = journal.record("file", "a"), journal.record("file", "a")
    journal.removed(first)
    assert journal.open() == [second]


@given(cut=st.integers(min_value=1, max_value=60))
def test_a_torn_last_line_is_passed_over(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    kept = journal.record("file", "a")
    journal.record("file", "b")
    path.write_bytes(path.read_bytes()[:-cut])
    assert Journal(path).open() == [kept]


def test_writing_after_a_torn_line_loses_nothing(path: Path) -> None:
    journal = Journal(path)
    kept, torn = journal.record("file", "a"), journal.record("file", "b")
    path.write_bytes(path.read_bytes()[:-9])
    sweeper = Journal(path)
    later = sweeper.record("file", "c")
    sweeper.removed(kept)
    assert Journal(path).open() == [later]
    assert later.id == torn.id  # its number was never seen by anyone


@pytest.mark.parametrize(
    "line", ["{rubbish", "[1]", "3", '{"op": "create"}', '{"op": "create", "id": 1, "kind": "file"}']
)
def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(path: Path, line: str) -> None:
    Journal(path).record("file", "a")
    path.write_text(f"{line}\n" + path.read_text())
    with pytest.raises(EnvironmentFailed, match="damaged in line 1"):
        Journal(path)


def test_names_of_any_kind_survive(path: Path) -> None:
    name = 'a "quoted"\nname with \N{LATIN SMALL LETTER O WITH DIAERESIS} and \u2028'
    Journal(path).record("file", name)
    assert Journal(path).open()[0].name == name


def test_many_threads_write_whole_lines_with_numbers_of_their_own(path: Path) -> None:
    journal = Journal(path)

    def work(number: int) -> None:
        for n in range(5):
            entry = journal.record("file", f"{number}-{n}")
            if n % 2:
                journal.removed(entry)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = Journal(path).open()
    assert sorted(entry.name for entry in entries) == sorted(f"{t}-{n}" for t in range(6) for n in (0, 2, 4))
    assert len({entry.id for entry in entries}) == len(entries)
    assert [entry.id for entry in entries] == sorted((entry.id for entry in entries), reverse=True)


def test_each_entry_says_when_it_is_past_its_time(path: Path) -> None:
    Journal(path).record("cluster", "h-1")
    (line,) = map(json.loads, path.read_text().splitlines())
    assert datetime.fromisoformat(line["expires"]) - datetime.fromisoformat(line["at"]) == LIFETIME
