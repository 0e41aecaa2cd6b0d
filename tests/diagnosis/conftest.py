"""One kept cluster. First whole runs of the harness meet it, then pods and DAG runs on the session's environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from harness.environment import Environment
from harness.explanation import explain
from harness.model import Diagnosis
from harness.settings import Settings

from .book import Book

_BOOK = pytest.StashKey[Book]()
Explain = Callable[[BaseException], tuple[Diagnosis, ...]]


@pytest.fixture(scope="session")
def book(pytestconfig: pytest.Config, harness_settings: Settings) -> Iterator[Book]:
    """Where the first lines go: into the terminal's summary, and beside the evidence of the runs."""
    book = pytestconfig.stash[_BOOK] = Book()
    yield book
    book.write(harness_settings.evidence_dir)


@pytest.fixture
def began() -> float:
    """When the test began, on the monotonic clock."""
    return time.monotonic()


@pytest.fixture
def explained(environment: Environment) -> Explain:
    """What a front door would say of an error: the whole collection, and the diagnosis from it."""
    since = datetime.now(UTC)
    return lambda error: explain(environment, error, since=since)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    book = config.stash.get(_BOOK, None)
    if book is not None:
        terminalreporter.section(book.headline)
        terminalreporter.write(book.matrix())
