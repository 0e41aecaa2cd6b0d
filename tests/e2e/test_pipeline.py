"""The main job: the guide's pipeline on a real cluster, judged from outside."""

from __future__ import annotations

import pytest

from harness.proof import Proof, Prover

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def first(prover: Prover) -> Proof:
    """A run on a fresh repository and prefix."""
    return prover.prove()


def test_a_run_leaves_pointer_object_and_commit_that_agree(first: Proof) -> None:
    assert first.verdict.green, _why(first)


def test_a_second_run_on_top_adds_one_more_version(first: Proof, prover: Prover) -> None:
    second = prover.prove(reseed=False)

    assert second.verdict.green, _why(second)
    assert second.before.tip == first.verdict.commit


def test_a_run_without_a_logical_date_that_changes_nothing_leaves_everything_as_it_was(
    first: Proof, prover: Prover
) -> None:
    idle = prover.prove(reseed=False, conf={"rows": 0}, changes=False, with_logical_date=False)

    assert idle.verdict.green, _why(idle)
    assert idle.verdict.commit is None


def test_a_run_of_other_code_than_the_code_under_test_is_red(first: Proof, prover: Prover) -> None:
    """Someone changes the DAG folder between readiness and trigger: the run succeeds, and proves the wrong commit."""
    overtaken = prover.prove(reseed=False, expect_red="code.dag-sha", before_trigger=prover.push_foreign_dag_change)

    assert overtaken.run.outcome.state == "success"
    assert [check.id for check in overtaken.verdict.failures] == ["code.dag-sha"], _why(overtaken)


def _why(proof: Proof) -> str:
    return "\n".join(f"{check.id}: {check.explanation}" for check in proof.verdict.failures)
