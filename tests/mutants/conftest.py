"""One environment, a DAG run for each mutant that a test asks for; the matrix stands in the terminal's summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from harness.assets import asset
from harness.environment import Environment, Ready
from harness.proof import Prover
from tests.mutations.local import local_site
from tests.mutations.played import Played, Results, write
from tests.mutations.recording import Recorded, record
from tests.mutations.site import Site
from tests.mutations.table import Row
from tests.outside import PORT, Outside, host_outside
from tests.preloaded import DVC, preloaded

from .table import Mutant
from .variant import program_of, write_variant

_RESULTS = pytest.StashKey[Callable[[], Results]]()
Play = Callable[[Row], Played]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Git, S3 and dvc without a cluster."""
    with preloaded(DVC) as program, local_site(tmp_path_factory.mktemp("site"), program) as local:
        yield local


@pytest.fixture(scope="module")
def recorded(site: Site) -> Mapping[str, Recorded]:
    return record(site, "mutants")


@pytest.fixture(scope="session")
def ready(prover: Prover, environment: Environment) -> Ready:
    """What is up, as soon as there is a prover."""
    del prover
    assert environment.ready is not None
    return environment.ready


@pytest.fixture(scope="session")
def outside(ready: Ready, environment: Environment) -> Iterator[Outside]:
    """A host of the tests' own, beside the node."""
    with host_outside(ready.cluster, engine=ready.toolchain.engine, runner=environment.runner) as outside:
        yield outside


@pytest.fixture(scope="session")
def given(outside: Outside) -> Mapping[str, str]:
    """What programs are told, by name."""
    return {"OUTSIDE_HOST": outside.address, "OUTSIDE_PORT": str(PORT)}


@pytest.fixture(scope="session")
def play(
    prover: Prover,
    environment: Environment,
    given: Mapping[str, str],
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Play]:
    """Plays a row as a DAG run and remembers what came of it."""
    rows: dict[str, Played] = {}
    folder = tmp_path_factory.mktemp("variants")

    def played(row: Row) -> Played:
        started = time.monotonic()
        program = program_of(row.name.replace("-", "_"), given=given)
        dags = write_variant(asset("dags"), program, folder / row.name)
        with environment.timeline.phase(f"mutant {row.name}"):
            proof = prover.prove(dags=dags, expect_red=row.killed_by if isinstance(row, Mutant) else False)
        rows[row.name] = Played(row, proof.verdict, None, time.monotonic() - started)
        return rows[row.name]

    def results() -> Results:
        return Results("DAG mutants caught", rows, sum(one.seconds for one in rows.values()))

    pytestconfig.stash[_RESULTS] = results
    yield played
    write(environment.evidence, [results()])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(_RESULTS, None)
    if results is None:
        return
    found = results()
    terminalreporter.section(found.headline)
    terminalreporter.write(found.matrix())
