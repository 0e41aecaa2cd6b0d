"""Where the harness's calls to AWS can be listened to: whoever opens a session has it `tapped`.

Most often nobody listens. Process-wide, since a run asks AWS from several threads and boxes. A session that was opened
before somebody listens is not heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

# boto3's session, untyped here: the base does not import boto3.
Session = TypeVar("Session", bound=Any)


class Listener(Protocol):
    """Who listens."""

    def listen(self, events: Any) -> None:
        """A session was opened; its events are botocore's hierarchical emitter, to register with."""

    def agent(self, said: str) -> None:
        """A pod has asked the Pod Identity agent; what it says of one answer (`harness/services/probe/probe.py`)."""


_listeners: Final[list[Listener]] = []


def tapped(session: Session) -> Session:
    """A session whose clients' events those who listen hear."""
    for listener in tuple(_listeners):
        listener.listen(session.events)
    return session


def somebody_listens() -> bool:
    """Whether what a pod asks is worth asking."""
    return bool(_listeners)


def tell_of_agent(said: str) -> None:
    """Pass on what a pod says of an answer of the Pod Identity agent."""
    for listener in tuple(_listeners):
        listener.agent(said)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have somebody listen while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
