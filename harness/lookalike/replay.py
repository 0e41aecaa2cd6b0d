"""Holds the look-alike to a transcript: each recorded call is made again, and must be answered alike.

Alike is the HTTP status, AWS's error code, and which members the answer has; not what stands in them, which is of
another account.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from harness.lookalike.routing import service_model
from harness.lookalike.stage import Stage, staged
from harness.lookalike.transcript import AGENT, Exchange, Transcript, hides, members
from harness.lookalike.witness import Backend

# Shorter texts are words of AWS's own ("ACTIVE"), and no names of things.
_SHORTEST_NAME: Final = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the look-alike is not as it was recorded.

    Attributes:
        line: Of the transcript's file.
        operation: Such as "eks DescribeCluster".
        said: What is otherwise.
    """

    line: int
    operation: str
    said: str

    def __str__(self) -> str:
        """For the reader."""
        return f"line {self.line}, {self.operation}: {self.said}"


def differences(transcript: Transcript, backend: Backend) -> list[Difference]:
    """What the look-alike does otherwise than it was recorded; none if it holds.

    Args:
        transcript: What was recorded.
        backend: What holds the objects meanwhile; the transcript's buckets must not be in it.
    """
    with staged(transcript, backend) as stage:
        return [
            Difference(line, f"{exchange.service} {exchange.operation}", said)
            # The first line is the file's own.
            for line, exchange in enumerate(transcript.exchanges, start=2)
            for said in _replayed(stage, exchange)
        ]


def _replayed(stage: Stage, recorded: Exchange) -> Iterator[str]:
    if hides(recorded.parameters):
        yield "it was asked with a secret, which no transcript has: it cannot be asked again"
        return
    if recorded.service == AGENT:
        yield from _compared(recorded, stage.ask_agent(recorded))
        return
    stage.prepare(recorded)
    found = stage.ask(recorded)
    if len(found) != 1:
        yield f"answered {len(found)} times"
        return
    yield from _compared(recorded, found[0])
    _learn(stage.names, recorded.answer, found[0].answer)


def _compared(recorded: Exchange, found: Exchange) -> Iterator[str]:
    if (recorded.status, recorded.code) != (found.status, found.code):
        yield f"recorded {recorded.status} {recorded.code}".rstrip() + f", found {found.status} {found.code}".rstrip()
        return
    if recorded.answer.get("content_type") != found.answer.get("content_type") and recorded.service == AGENT:
        yield f"recorded {recorded.answer['content_type']}, found {found.answer['content_type']}"
    wanted, there = _members(recorded), _members(found)
    if missing := wanted - there:
        yield f"the answer lacks {', '.join(sorted(missing))}"
    if invented := there - wanted:
        yield f"the answer has {', '.join(sorted(invented))}, which was not recorded"


def _members(exchange: Exchange) -> set[str]:
    if exchange.service == AGENT:
        return set(exchange.answer["members"])
    if exchange.code:
        return set(exchange.answer)
    model = service_model(exchange.service).operation_model(exchange.operation)
    return set(members(exchange.answer, model.output_shape))


def _learn(names: dict[str, str], recorded: Any, found: Any) -> None:
    """What this look-alike calls the things that the transcript calls otherwise: later calls name them."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in recorded.keys() & found.keys():
            _learn(names, recorded[name], found[name])
    elif isinstance(recorded, list) and isinstance(found, list):
        for one, other in zip(recorded, found, strict=False):
            _learn(names, one, other)
    elif isinstance(recorded, str) and isinstance(found, str) and len(recorded) >= _SHORTEST_NAME and recorded != found:
        names[recorded] = found
