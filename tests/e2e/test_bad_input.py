"""Wrong input that only a cluster can show: each ends its wait within seconds, and says what, where and what next.

They work on the session's one environment and leave it as it was: what is pushed is taken back, what is made is
deleted, and the next proof makes a fresh seed. What needs no cluster is in tests/unit/pipeline and tests/unit/supply.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.environment import Environment, Ready
from harness.errors import WaitFailed
from harness.names import AIRFLOW_NAMESPACE, GIT_URL
from harness.pipeline.pods import PodFollower
from harness.proof import Prover

pytestmark = pytest.mark.e2e

PODS = Path(__file__).parent / "pods"
# GitSync looks every 2 s, the DAG processor for new files every 5 s, and a parse imports the Kubernetes client.
_PARSED_WITHIN = 40.0
# The scheduler, the kubelet's first attempt, and its report; three rounds of GitSync 2 s apart.
_SEEN_WITHIN = 25.0

BROKEN = """\
from airflow.sdk import DAG
import nothing_of_that_name

DAG("broken_by_a_test")
"""


@contextmanager
def within(environment: Environment, seconds: float) -> Iterator[None]:
    """Fail if the block takes longer; slow machines get the patience that their settings give them."""
    limit = seconds * environment.settings.patience
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    assert took <= limit, f"took {took:.1f} s, where {limit:.0f} s is the limit"


@pytest.fixture
def ready(environment: Environment) -> Ready:
    assert environment.ready is not None
    return environment.ready


@pytest.fixture
def broken_dag(prover: Prover) -> Iterator[str]:
    """The commit with a further DAG file that does not import; taken back afterwards."""
    sha = prover.push_change({"dags/broken_by_a_test.py": BROKEN})
    yield sha
    prover.push_change({"dags/broken_by_a_test.py": None})


def test_a_dag_that_does_not_import_ends_the_wait_with_its_traceback(
    prover: Prover, environment: Environment, broken_dag: str
) -> None:
    with within(environment, _PARSED_WITHIN), pytest.raises(WaitFailed) as caught:
        prover.wait_for_dag(broken_dag, dag_id="broken_by_a_test", dag_files=("broken_by_a_test.py",))

    assert "broken_by_a_test.py does not import" in caught.value.message
    assert "No module named 'nothing_of_that_name'" in caught.value.message
    trace = caught.value.evidence["import error"]
    assert "Traceback" in trace
    assert "line 2" in trace
    assert caught.value.next_step == "correct broken_by_a_test.py"


def test_a_dag_id_that_does_not_exist_ends_the_wait_with_the_ids_that_do(
    prover: Prover, environment: Environment
) -> None:
    with within(environment, _PARSED_WITHIN), pytest.raises(WaitFailed) as caught:
        prover.wait_for_dag(prover.tip(), dag_id="no_such_dag")

    assert "DAG 'no_such_dag'" in caught.value.message
    assert f"define {environment.settings.dag_id} instead" in caught.value.message
    assert "--dag-id" in caught.value.next_step


@pytest.mark.parametrize(
    ("image", "reason", "advice"),
    [
        # Port 9 of the node's own loopback: refused at once, and nothing leaves the node.
        ("127.0.0.1:9/nobody/has-this:1", "ErrImagePull", "name, tag and platform must match"),
        ("Not/A/Reference:1", "InvalidImageName", "correct the image reference"),
    ],
)
def test_an_image_that_cannot_be_had_ends_the_wait_for_its_pod(
    environment: Environment, ready: Ready, image: str, reason: str, advice: str
) -> None:
    manifest, container = _pod("image")
    container.update(image=image)
    with within(environment, _SEEN_WITHIN):
        fault = _fault(environment, ready, manifest)

    # The kubelet may have gone on to its next word for the same state by the time of the look.
    assert reason in fault or (reason == "ErrImagePull" and "ImagePullBackOff" in fault)
    assert f"pod {AIRFLOW_NAMESPACE}/{manifest['metadata']['name']}, container base" in fault
    assert advice in fault


def test_wrong_git_credentials_end_the_wait_with_the_servers_answer(environment: Environment, ready: Ready) -> None:
    manifest, container = _pod("git-sync")
    container["image"] = ready.toolchain.images["git-sync"]
    container["env"] += [
        {"name": "GITSYNC_REPO", "value": GIT_URL},
        {"name": "GITSYNC_REF", "value": environment.settings.policy.branch},
    ]
    with within(environment, _SEEN_WITHIN):
        fault = _fault(environment, ready, manifest)

    assert f"pod {AIRFLOW_NAMESPACE}/{manifest['metadata']['name']}, container git-sync" in fault
    assert "the Git server refuses the user name and password (HTTP 401)" in fault
    assert "Authentication failed" in fault
    assert "GITSYNC_PASSWORD in the Secret" in fault
    assert "not-the-password" not in fault


def _pod(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A manifest with a name and a run of its own, and its container."""
    manifest = yaml.safe_load((PODS / f"{name}.yaml").read_text(encoding="utf-8"))
    token = secrets.token_hex(4)
    manifest["metadata"].update(name=f"bad-{name}-{token}", labels={"run_id": f"bad-input-{token}"})
    return manifest, manifest["spec"]["containers"][0]


def _fault(environment: Environment, ready: Ready, manifest: dict[str, Any]) -> str:
    """The reason with which a run's follower would end the wait for this pod."""
    run_id = manifest["metadata"]["labels"]["run_id"]
    with PodFollower(ready.kube, AIRFLOW_NAMESPACE, run_id, redactor=environment.redactor) as follower:
        ready.kube.apply([manifest])
        try:
            with pytest.raises(WaitFailed) as caught:
                environment.waiter.until(
                    f"the pod of run {run_id}",
                    follower.fatal,
                    ready=lambda _faults: False,
                    failed=lambda faults: next(iter(faults.values()), None),
                    timeout=60,
                )
        finally:
            ready.kube.delete("Pod", str(manifest["metadata"]["name"]), AIRFLOW_NAMESPACE)
    return caught.value.reason
