"""Pods that cannot come to work, each in a namespace of its own or among Airflow's, and what is said of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.airflow.release import ReleaseInstaller
from harness.diagnostics.collect import Sources, collect
from harness.diagnostics.diagnose import diagnose
from harness.environment import Environment, Ready
from harness.errors import WaitFailed, WaitTimeout
from harness.names import AIRFLOW_NAMESPACE, GIT_URL
from harness.pipeline.pods import PodFollower

from .book import Book
from .conftest import Explain
from .table import NOT_READY, PODS, SYNCS, Case

pytestmark = pytest.mark.e2e

MANIFESTS = Path(__file__).parent / "pods"
_SCHEDULER = "airflow-scheduler"
# Seconds until the kubelet and the scheduler have said of a pod what they go on saying.
_SAID = 90.0


@pytest.fixture(scope="module")
def ready(environment: Environment) -> Ready:
    assert environment.ready is not None
    return environment.ready


@pytest.fixture(scope="module")
def namespaces(ready: Ready) -> Iterator[Mapping[str, str]]:
    """The pods of the table, all made at once; the namespace of each by its name."""
    made = {case.name: f"diagnosis-{case.name}-{secrets.token_hex(2)}" for case in PODS}
    for name, namespace in made.items():
        ready.kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
        documents = list(yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text(encoding="utf-8")))
        for document in documents:
            document["metadata"]["namespace"] = namespace
            for container in document["spec"].get("containers", ()):
                container["image"] = ready.toolchain.images["worker"]
        ready.kube.apply(documents)
    yield made
    for namespace in made.values():
        ready.kube.delete("Namespace", namespace)


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.name)
def test_a_pod_that_cannot_come_to_work_is_named_by_its_cause(
    environment: Environment, ready: Ready, namespaces: Mapping[str, str], book: Book, tmp_path: Path, case: Case
) -> None:
    began = time.monotonic()
    # Everything is collected and diagnosed as after a run that failed; nothing but what is in this namespace.
    sources = Sources(kube=ready.kube, namespaces=(namespaces[case.name],))
    found = environment.waiter.until(
        f"pod {case.name} to be diagnosed",
        lambda: diagnose(collect(tmp_path / secrets.token_hex(2), sources, redactor=environment.redactor).evidence),
        ready=lambda seen: seen[0].code != "UNKNOWN",
        describe=lambda seen: str(seen[0]),
        timeout=_SAID,
        interval=1.0,
    )
    book.check(case, found, since=began)


@pytest.mark.parametrize(("case", "variables"), SYNCS, ids=lambda value: value.name if isinstance(value, Case) else "")
def test_git_sync_that_cannot_fetch_ends_the_wait_and_is_named_by_its_cause(
    environment: Environment, ready: Ready, book: Book, explained: Explain, case: Case, variables: Mapping[str, str]
) -> None:
    began = time.monotonic()
    manifest = _manifest("git-sync", ready.toolchain.images["git-sync"])
    env = {"GITSYNC_REPO": GIT_URL, "GITSYNC_REF": environment.settings.policy.branch, **variables}
    manifest["spec"]["containers"][0]["env"] += [{"name": name, "value": value} for name, value in env.items()]
    with _followed(environment, ready, manifest) as follower:
        with pytest.raises(WaitFailed) as caught:
            environment.waiter.until(
                f"run {follower.run_id}",
                follower.fatal,
                ready=lambda _faults: False,
                failed=lambda faults: next(iter(faults.values()), None),
                timeout=60,
            )
        found = explained(caught.value)
    book.check(case, found, since=began)


@pytest.fixture
def never_ready(ready: Ready, environment: Environment) -> Iterator[None]:
    """A scheduler of which the readiness probe looks after ten minutes; the one that works goes on beside it."""

    def patch(probe: object) -> None:
        containers = [{"name": "scheduler", "readinessProbe": probe}]
        body = {"spec": {"template": {"spec": {"containers": containers}}}}
        ready.kube.apps.patch_namespaced_deployment(_SCHEDULER, AIRFLOW_NAMESPACE, body)

    patch({"exec": {"command": ["true"]}, "initialDelaySeconds": 600})
    yield
    patch(None)
    ready.kube.wait_rollout("Deployment", _SCHEDULER, AIRFLOW_NAMESPACE, environment.waiter)


def test_a_release_that_is_never_ready_is_told_by_the_part_that_is_not(
    environment: Environment, ready: Ready, never_ready: None, book: Book, explained: Explain, began: float
) -> None:
    installer = ReleaseInstaller(
        cluster=ready.cluster,
        kube=ready.kube,
        helm=ready.toolchain.helm,
        helm_home=environment.scratch / "helm",
        runner=environment.runner,
        # 30 s where the release has ten minutes.
        waiter=replace(environment.waiter, patience=0.05),
    )
    with pytest.raises(WaitTimeout) as caught:
        installer.wait_ready()
    book.check(NOT_READY, explained(caught.value), since=began)


def test_what_a_pod_said_is_known_though_it_was_deleted_at_once(environment: Environment, ready: Ready) -> None:
    manifest = _manifest("talks-and-goes", ready.toolchain.images["worker"])
    name = manifest["metadata"]["name"]
    with _followed(environment, ready, manifest) as follower:
        environment.waiter.until(
            f"pod {name} to have said its first line",
            lambda: follower.logs(name).get("base", ()),
            ready=bool,
            timeout=60,
            interval=0.05,
        )
        ready.kube.core.delete_namespaced_pod(name, AIRFLOW_NAMESPACE, grace_period_seconds=0)
        assert follower.settle(environment.waiter)
    assert ready.kube.get("Pod", name, AIRFLOW_NAMESPACE) is None
    assert follower.logs(name)["base"] == ("line 1", "line 2", "line 3", "No space left on device")
    assert follower.manifests()[name]["spec"]["containers"][0]["image"] == ready.toolchain.images["worker"]


def _manifest(kind: str, image: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((MANIFESTS / f"{kind}.yaml").read_text(encoding="utf-8"))
    token = secrets.token_hex(4)
    manifest["metadata"].update(name=f"diagnosis-{kind}-{token}", labels={"run_id": f"diagnosis-{token}"})
    manifest["spec"]["containers"][0]["image"] = image
    return manifest


@contextmanager
def _followed(environment: Environment, ready: Ready, manifest: dict[str, Any]) -> Iterator[PodFollower]:
    """The pod of a manifest, followed as the pods of a run are; deleted at the end."""
    run_id = manifest["metadata"]["labels"]["run_id"]
    with PodFollower(ready.kube, AIRFLOW_NAMESPACE, run_id, redactor=environment.redactor) as follower:
        ready.kube.apply([manifest])
        try:
            yield follower
        finally:
            ready.kube.delete("Pod", str(manifest["metadata"]["name"]), AIRFLOW_NAMESPACE)
