"""One environment, each row played once on its services; the tests look at what came of their row."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from harness.environment import Environment
from harness.errors import EnvironmentFailed
from tests.preloaded import DVC, preloaded

from .cluster import cluster_site
from .played import Played, Results, play_all, write
from .recording import Recorded, record
from .site import Site
from .table import MUTATIONS, UNDECIDED, VARIATIONS, Row

_RESULTS = pytest.StashKey[list[Results]]()
CONTROL = "plain-run"


@dataclass
class Stage:
    """Plays the rows of a table that the session's tests ask for."""

    site: Site
    recorded: dict[str, Recorded]
    wanted: frozenset[str]
    prefix: str
    results: list[Results] = field(default_factory=list)

    def play(self, tables: Mapping[str, Mapping[str, Row]]) -> dict[str, Played]:
        """Tables by title, all of their rows side by side."""
        rows = [row for table in tables.values() for name, row in table.items() if name in self.wanted]
        found = play_all("", rows, self.site, self.recorded, prefix=self.prefix)
        self.results += [found.part(title, table) for title, table in tables.items()]
        return dict(found.rows)


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, pytestconfig: pytest.Config, environment: Environment) -> Iterator[Stage]:
    token = secrets.token_hex(4)
    asked = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = frozenset({str(spec.params["name"]) for spec in asked if spec and "name" in spec.params} | {CONTROL})
    with preloaded(DVC) as program, cluster_site(environment, program) as site:
        with environment.timeline.phase("data sets recorded"):
            recorded = dict(record(site, token))
        stage = Stage(site, recorded, wanted, prefix=f"mutations/{token}")
        pytestconfig.stash[_RESULTS] = stage.results
        yield stage
        write(environment.evidence, stage.results)


@pytest.fixture(scope="session")
def control(stage: Stage, environment: Environment) -> Played:
    """The run in which nothing is wrong: without it, red rows prove nothing. It is the session's verdict."""
    with environment.timeline.phase("plain run"):
        played = stage.play({"plain run": {CONTROL: VARIATIONS[CONTROL]}})[CONTROL]
    if played.verdict is None:
        raise EnvironmentFailed("the plain run could not be played on these services") from played.error
    environment.verdicts.append(played.verdict)
    return played


@pytest.fixture(scope="session")
def mutations(stage: Stage, control: Played, environment: Environment) -> dict[str, Played]:
    with environment.timeline.phase("mutations"):
        return stage.play({"mutations killed": MUTATIONS, "runs without a verdict": UNDECIDED})


@pytest.fixture(scope="session")
def variations(stage: Stage, control: Played, environment: Environment) -> dict[str, Played]:
    others = {name: row for name, row in VARIATIONS.items() if name != CONTROL}
    with environment.timeline.phase("legal variations"):
        return {CONTROL: control, **stage.play({"legal variations green": others})}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for results in config.stash.get(_RESULTS, []):
        if len(results.rows) > 1:
            terminalreporter.section(results.headline)
            terminalreporter.write(results.matrix())
