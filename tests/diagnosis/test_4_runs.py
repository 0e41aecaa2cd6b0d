"""A DAG with a mistake, as a team would push it: its run is red, or cannot take place, and the first line says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from harness.assets import asset
from harness.environment import Environment, Ready
from harness.errors import EnvironmentFailed
from harness.names import AIRFLOW_NAMESPACE
from harness.proof import Prover
from harness.services import s3

from .book import Book
from .conftest import Explain
from .table import READINESS, RUNS, Variant
from .variant import told, write_variant

pytestmark = pytest.mark.e2e

_PROGRAMS = Path(__file__).parent / "programs"
# Of a wait that has two minutes: the commit is there within ten seconds, and is never parsed.
_PATIENCE: Final = 0.25


@pytest.fixture(scope="module")
def ready(environment: Environment) -> Ready:
    assert environment.ready is not None
    return environment.ready


@pytest.fixture(scope="module")
def given(environment: Environment, ready: Ready) -> dict[str, str]:
    """What the variants are told: a host outside of the cluster, which is this machine, and what pods are to run."""
    command: list[str | Path] = [
        ready.toolchain.engine.docker, "network", "inspect", ready.cluster.name,
        "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}",
    ]  # fmt: skip
    gateways = environment.runner.run(command, env=ready.toolchain.engine.env).stdout.split()
    outside = next(address for address in gateways if "." in address)
    programs = {path.stem.upper(): repr(path.read_text(encoding="utf-8")) for path in _PROGRAMS.glob("*.py")}
    return {"OUTSIDE": outside, **programs}


@pytest.fixture
def prepare(ready: Ready, environment: Environment) -> dict[str, Callable[[], object]]:
    """What is done to the services just before the trigger, by the name of the variant."""

    def delete_objects() -> None:
        bucket, client = ready.services.s3.bucket, s3.connect(ready.services.s3)
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"runs/{environment.run_id}/"
        ):
            for entry in page.get("Contents", ()):
                client.delete_object(Bucket=bucket, Key=entry["Key"])

    return {"object-deleted": delete_objects}


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.name)
def test_a_failed_task_is_named_by_its_cause(
    prover: Prover,
    environment: Environment,
    ready: Ready,
    given: dict[str, str],
    prepare: dict[str, Callable[[], object]],
    book: Book,
    tmp_path: Path,
    case: Variant,
) -> None:
    began = time.monotonic()
    dags = write_variant(asset("dags"), case, tmp_path / "dags", given=given)
    case = replace(case, says=tuple(told(words, given) for words in case.says))
    with environment.timeline.phase(f"variant {case.name}"):
        proof = prover.prove(
            dags=dags,
            expect_red="tasks.succeeded",
            with_logical_date=case.logical_date,
            before_trigger=prepare.get(case.name, lambda: None),
        )
    book.check(case, proof.verdict.diagnoses, since=began)
    if case.gone:
        (lost,) = (pod for pod in proof.run.pods.values() if pod.role == "task" and pod.phase != "Succeeded")
        assert ready.kube.get("Pod", lost.name, AIRFLOW_NAMESPACE) is None
        log = environment.evidence / "logs" / proof.run.outcome.run_id / f"{lost.name}.base.log"
        assert case.says[0] in log.read_text(encoding="utf-8")


@pytest.fixture
def patience(environment: Environment, request: pytest.FixtureRequest) -> Iterator[None]:
    """Less of it, where nothing else would end the wait."""
    usual = environment.waiter
    if request.node.callspec.params["case"].code == "DAG_NOT_PARSED":
        environment.waiter = replace(usual, patience=_PATIENCE * usual.patience)
    yield
    environment.waiter = usual


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("case", READINESS, ids=lambda case: case.name)
def test_a_run_that_cannot_take_place_is_named_by_its_cause(
    prover: Prover, environment: Environment, book: Book, explained: Explain, tmp_path: Path, case: Variant
) -> None:
    began = time.monotonic()
    dags = write_variant(asset("dags"), case, tmp_path / "dags", given={})
    with (
        environment.timeline.phase(f"variant {case.name}"),
        pytest.raises(EnvironmentFailed) as caught,
    ):
        prover.prove(dags=dags)
    book.check(case, explained(caught.value), since=began)
