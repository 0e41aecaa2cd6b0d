"""What is the DAG's own doing, and what a run leaves behind, on a real cluster.

They come after the pipeline's tests (by name), so that the claim exists and a proof has been made; alone they make one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.airflow.runids import new_run_id
from harness.bringup import service_images
from harness.environment import Environment, Ready
from harness.names import AIRFLOW_NAMESPACE
from harness.podstate import OVER
from harness.proof import Prover
from harness.services.claim import ClaimEmptying

pytestmark = pytest.mark.e2e

PODS = Path(__file__).parent / "pods"
SCHEDULED_ID = "scheduled_by_a_test"
SCHEDULED = f"""\
from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("{SCHEDULED_ID}", schedule="* * * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=True):
    EmptyOperator(task_id="nothing")
"""
SECRET_IMPORT = "from airflow.providers.cncf.kubernetes.secret import Secret\n"
SECRET = 'secrets=[Secret("env", "WRONG", "git-credentials", "no-such-key")],\n        '


@pytest.fixture
def ready(prover: Prover, environment: Environment) -> Ready:
    """The environment, after a proof."""
    if not environment.verdicts:
        assert prover.prove().verdict.green
    assert environment.ready is not None
    return environment.ready


@pytest.fixture
def scheduled_dag(prover: Prover, ready: Ready) -> Iterator[Ready]:
    """A DAG with a schedule of its own and a long past to catch up with, parsed; paused and taken back afterwards."""
    file = f"{SCHEDULED_ID}.py"
    sha = prover.push_change({f"dags/{file}": SCHEDULED})
    prover.wait_for_dag(sha, dag_id=SCHEDULED_ID, dag_files=(file,))
    yield ready
    ready.api.pause(SCHEDULED_ID)
    prover.push_change({f"dags/{file}": None})


def test_a_dag_with_a_schedule_of_its_own_runs_only_when_it_is_triggered(
    scheduled_dag: Ready, environment: Environment
) -> None:
    api, run_id = scheduled_dag.api, new_run_id()
    api.trigger(SCHEDULED_ID, run_id, logical_date=None)
    api.unpause(SCHEDULED_ID)
    environment.waiter.until(
        "the run", lambda: api.run_state(SCHEDULED_ID, run_id), ready=lambda state: state == "success", timeout=30
    )

    assert [run.run_id for run in api.runs(SCHEDULED_ID)] == [run_id]


def test_the_claim_is_emptied_of_what_any_user_left_there(ready: Ready, environment: Environment) -> None:
    closed = "mkdir -p /shared/left/deep && echo x > /shared/left/deep/.file && chmod -R 500 /shared/left"
    assert _on_the_claim(ready, environment, closed, user=0) == "Succeeded"
    assert _on_the_claim(ready, environment, 'test -n "$(ls -A /shared)"', user=1000) == "Succeeded"

    ClaimEmptying.start(ready.kube, service_images(ready.toolchain)["worker"], waiter=environment.waiter).finish()

    # A disk's file system has a lost+found, which stays.
    empty = 'test -z "$(ls -A --ignore=lost+found /shared)"'
    assert _on_the_claim(ready, environment, empty, user=1000) == "Succeeded"


def test_a_key_that_the_dag_misspells_is_a_red_verdict_that_names_it(
    ready: Ready, prover: Prover, environment: Environment
) -> None:
    file = environment.inputs.dags / "dataset_pipeline.py"
    source = file.read_text(encoding="utf-8")
    wrong = source.replace("from airflow.sdk import", f"{SECRET_IMPORT}from airflow.sdk import").replace(
        'cmds=["dvc-pipeline"],', f'{SECRET}cmds=["dvc-pipeline"],'
    )
    assert wrong.count("Secret") > source.count("Secret") + 1
    prover.push_change({f"dags/{file.name}": wrong})

    red = prover.prove(reseed=False, expect_red="tasks.succeeded")

    assert red.run.outcome.state == "failed"
    said = {check.id: check.explanation for check in red.verdict.failures}
    assert "couldn't find key no-such-key" in said["tasks.succeeded"]
    assert not ready.api.runs(unfinished=True)


def _on_the_claim(ready: Ready, environment: Environment, command: str, *, user: int) -> str:
    """The phase in which a pod ends that runs a shell command on the claim."""
    manifest = yaml.safe_load((PODS / "claim.yaml").read_text(encoding="utf-8"))
    name = f"on-the-claim-{secrets.token_hex(4)}"
    manifest["metadata"]["name"] = name
    manifest["spec"]["securityContext"].update(runAsUser=user, runAsGroup=user)
    container = manifest["spec"]["containers"][0]
    container["image"] = service_images(ready.toolchain)["worker"]
    container["command"].append(command)
    ready.kube.apply([manifest])

    def phase() -> str:
        pod = ready.kube.get("Pod", name, AIRFLOW_NAMESPACE) or {}
        return str((pod.get("status") or {}).get("phase"))

    try:
        return environment.waiter.until(f"pod {name}", phase, ready=lambda seen: seen in OVER, timeout=60, interval=0.2)
    finally:
        ready.kube.delete("Pod", name, AIRFLOW_NAMESPACE)
