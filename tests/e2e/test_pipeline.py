"""The main job: the guide's pipeline on a real cluster, judged from outside."""

from __future__ import annotations

import pytest

from harness.proof import Proof, Prover

pytestmark = pytest.mark.e2e


def test_a_run_leaves_pointer_object_and_commit_that_agree(prover: Prover) -> None:
    proof = prover.prove()

    assert proof.verdict.green, _why(proof)


def _why(proof: Proof) -> str:
    return "\n".join(f"{check.id}: {check.explanation}" for check in proof.verdict.failures)
