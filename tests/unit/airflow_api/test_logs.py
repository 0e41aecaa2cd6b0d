"""Task logs as lines: nothing that the server said is dropped but noise."""

from __future__ import annotations

import pytest

from harness.airflow.logs import log_lines


def test_a_structured_message_keeps_time_level_event_and_further_keys() -> None:
    message = {"timestamp": "2026-01-31T12:00:00Z", "level": "info", "event": "pushed", "rows": 3, "logger": "task"}
    assert list(log_lines([message])) == ["2026-01-31T12:00:00Z INFO pushed rows=3"]


def test_an_errors_traceback_follows_its_message() -> None:
    frame = {"filename": "/x.py", "lineno": 3, "name": "run", "line": "boom()"}
    detail = [{"exc_type": "ValueError", "exc_value": "no", "frames": [frame]}]
    assert list(log_lines([{"level": "error", "event": "Task failed", "error_detail": detail}])) == [
        "ERROR Task failed",
        "Traceback (most recent call last):",
        '  File "/x.py", line 3, in run',
        "    boom()",
        "ValueError: no",
    ]


def test_an_event_of_several_lines_is_several_lines() -> None:
    assert list(log_lines([{"level": "info", "event": "a\nb"}])) == ["INFO a", "b"]


@pytest.mark.parametrize("content", ["a\nb", ["a\nb"], ["a", "b"]])
def test_plain_text_is_taken_as_it_is(content: object) -> None:
    assert list(log_lines(content)) == ["a", "b"]


@pytest.mark.parametrize("content", [None, [], "", [{}]])
def test_an_empty_log_has_no_lines(content: object) -> None:
    assert not list(log_lines(content))
