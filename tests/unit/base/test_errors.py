"""The error tree and what its errors say."""

from __future__ import annotations

import inspect
import re

import pytest

from harness import errors
from harness.errors import (
    CommandFailed,
    CommandTimeout,
    EnvironmentFailed,
    ExitCode,
    HarnessError,
    Interrupted,
    NothingProven,
    UsageError,
    ValuesError,
    WaitTimeout,
)


def classes() -> list[type[HarnessError]]:
    return [
        member
        for _name, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, HarnessError) and member.__module__ == errors.__name__
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 4),
        (ValuesError, 4),
        (EnvironmentFailed, 3),
        (CommandFailed, 3),
        (NothingProven, 5),
        (Interrupted, 2),
    ],
)
def test_the_exit_code_tells_whose_fault_it_was(error: type[HarnessError], code: int) -> None:
    assert error.exit_code == code


def test_only_a_green_verdict_ends_with_zero_and_only_a_red_one_with_one() -> None:
    assert [int(code) for code in (ExitCode.GREEN, ExitCode.VERDICT_RED)] == [0, 1]
    assert not {error.exit_code for error in classes()} & {ExitCode.GREEN, ExitCode.VERDICT_RED}


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = re.findall(r"^ *(?:[│ ]*[├└]── )?([A-Z]\w+)  ", inspect.getdoc(errors) or "", re.MULTILINE)
    assert set(drawn) == {error.__name__ for error in classes()}


def test_a_message_shows_evidence_and_the_next_step() -> None:
    error = HarnessError("it broke", next_step="mend it", evidence={"file": "a.txt", "log": "one\ntwo"})
    assert str(error) == "it broke\n  file: a.txt\n  log:\n    one\n    two\n  next: mend it"


def test_a_message_alone_is_one_line() -> None:
    assert str(HarnessError("it broke")) == "it broke"


def test_a_failed_command_shows_the_tail_of_what_it_said() -> None:
    stderr = "\n".join(f"line {n}" for n in range(100))
    shown = str(CommandFailed(argv=["helm", "install"], code=1, stdout="out", stderr=stderr))
    assert "helm ended with exit code 1" in shown
    assert "helm install" in shown
    assert "line 99" in shown
    assert "line 84\n" not in shown


def test_a_failed_command_that_complained_of_nothing_shows_its_output() -> None:
    assert "only words" in str(CommandFailed(argv=["x"], code=1, stdout="only words", stderr=" \n"))


def test_a_stopped_command_tells_its_limit_and_last_words() -> None:
    shown = str(CommandTimeout(argv=["helm", "install"], seconds=90, output="almost"))
    assert "helm did not end within 90 s and was stopped" in shown
    assert "almost" in shown


def test_a_wait_that_ran_out_shows_the_last_state() -> None:
    shown = str(WaitTimeout(what="the API", seconds=30, last_state="ConnectionError: refused"))
    assert shown == "waited 30 s for the API\n  last state: ConnectionError: refused"
