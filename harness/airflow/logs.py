"""Task logs as text lines.

Fetched by plain HTTP: the client's `TaskInstancesLogResponse` keeps only timestamp and event of a message and drops
level, logger and the traceback of an error, and a single message of another form makes it refuse the whole log
(apache-airflow-client 3.3.2, models/content.py; tried by hand).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

# Shown in the line itself; what else a message holds follows as key=value.
_LEADING: Final = ("timestamp", "level", "event", "error_detail")
_NOISE: Final = frozenset({"logger", "loc", "chan", "filename", "lineno", "ti", "dag_id", "run_id", "task_id"})


def log_lines(content: object) -> Iterator[str]:
    """The lines of the `content` of one answer: structured messages or plain text, as the server has them."""
    if isinstance(content, str):
        yield from content.splitlines()
        return
    if not isinstance(content, list):
        return
    for message in content:
        if isinstance(message, Mapping):
            yield from _structured(message)
        else:
            yield from str(message).splitlines()


def _structured(message: Mapping[str, Any]) -> Iterator[str]:
    event = str(message.get("event") or "")
    first, *more = event.splitlines() or [""]
    extra = " ".join(
        f"{key}={value}"
        for key, value in message.items()
        if key not in _LEADING and key not in _NOISE and value not in (None, "", [], {})
    )
    head = [str(message.get("timestamp") or ""), str(message.get("level") or "").upper(), first, extra]
    line = " ".join(part for part in head if part)
    if line:
        yield line
    yield from more
    yield from _traceback(message.get("error_detail"))


def _traceback(detail: object) -> Iterator[str]:
    """The exceptions of structlog's `dict_tracebacks` form, outermost first, as Python would print them."""
    if not isinstance(detail, list):
        return
    for error in detail:
        if not isinstance(error, Mapping):
            continue
        frames = error.get("frames")
        if isinstance(frames, list) and frames:
            yield "Traceback (most recent call last):"
            for frame in frames:
                if isinstance(frame, Mapping):
                    yield f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
                    if frame.get("line"):
                        yield f"    {frame['line']}"
        yield f"{error.get('exc_type')}: {error.get('exc_value')}"
