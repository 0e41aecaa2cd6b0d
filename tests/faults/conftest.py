"""One environment and one repository, a DAG run for each fault that a test asks for; the matrix is in the summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.assets import asset
from harness.dvc import GitAccess
from harness.dvc.bucket import BotoStore
from harness.environment import Environment
from harness.errors import EnvironmentFailed
from harness.proof import Prover
from harness.services import s3

from .invariants import Reader
from .node import Gates, Node, not_whole, shared_volume
from .played import Played, Results, play
from .routes import equipment
from .scene import Stage
from .table import FAULTS
from .toxiproxy_build import build_toxiproxy
from .variant import write_gated

_RESULTS = pytest.StashKey[Results]()


@pytest.fixture(scope="session")
def stage(prover: Prover, environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The environment with one green run in it, which all that follows goes on from."""
    folder = tmp_path_factory.mktemp("faults")
    with environment.timeline.phase("plain run"):
        proof = prover.prove(dags=write_gated(asset("dags"), folder / "dags"))
    ready = environment.ready
    if ready is None or not proof.verdict.green:
        raise EnvironmentFailed(f"the run in which nothing breaks is red: {proof.verdict.headline}")
    services, settings = ready.services, environment.settings
    node = Node(f"{ready.cluster.name}-control-plane", ready.toolchain.engine, environment.runner)
    git = services.git
    reader = Reader(
        runner=environment.runner,
        access=GitAccess(git.outside, git.username, git.password, git.ca_file),
        store=BotoStore(s3.connect(services.s3)),
        bucket=services.s3.bucket,
        prefix=proof.run.seeded.prefix,
        branch=settings.policy.branch,
        tracked_file=settings.tracked_file,
        workspace=environment.scratch,
    )
    gates = Gates(node.inside, shared_volume(ready.kube))
    stage = Stage(environment, prover, node, gates, reader)
    with environment.timeline.phase("fault equipment"):
        programs: Path = build_toxiproxy(environment, folder / "toxiproxy")
    with not_whole(ready.cluster.kubeconfig.parent), equipment(stage, programs):
        yield stage


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config, environment: Environment) -> Iterator[Results]:
    found = Results()
    pytestconfig.stash[_RESULTS] = found
    yield found
    found.write(environment.evidence)


@pytest.fixture(scope="session")
def struck(stage: Stage, results: Results) -> Callable[[str], Played]:
    """Plays a row and remembers what came of it."""

    def played(name: str) -> Played:
        with stage.environment.timeline.phase(f"fault {name}"):
            try:
                results.rows[name] = play(stage, FAULTS[name])
            except Exception as error:
                results.errors[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
                raise
        return results.rows[name]

    return played


@pytest.fixture(scope="session")
def clean(stage: Stage, results: Results) -> Callable[[str], None]:
    """Plays a run in which nothing breaks, on the very repository that a group of faults has left."""

    def played(group: str) -> None:
        started = time.monotonic()
        with stage.environment.timeline.phase(f"clean run behind {group}"):
            proof = stage.prover.prove(reseed=False)
        results.clean[group] = proof.verdict.green, time.monotonic() - started
        assert proof.verdict.green, proof.verdict.headline
        assert proof.run.seeded.prefix == stage.reader.prefix, "it began with a fresh repository: something still ran"

    return played


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(_RESULTS, None)
    if results is not None:
        terminalreporter.section(results.headline)
        terminalreporter.write(results.matrix())
