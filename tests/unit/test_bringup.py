"""What the bring-up adds to its parts: git-sync's own words where a component cannot start, and which image proves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from harness import airflow_bringup
from harness.airflow.transport import AirflowUnavailable
from harness.airflow_bringup import AirflowBringUp
from harness.bringup import pipeline_config, service_images
from harness.errors import EnvironmentFailed, WaitAbandoned, WaitFailed
from harness.model import Cluster
from harness.names import GIT_URL
from harness.settings import Settings, settings_alone
from harness.timeline import Timeline
from harness.wait import Waiter
from tests.fakes import Clock

REFUSED = json.dumps({"msg": "error syncing repo", "error": "git fetch: fatal: Authentication failed for 'https://g/'"})
CRASHED = "pod airflow/dp, container git-sync-init: CrashLoopBackOff: it ended with exit code 1"


class Kube:
    def __init__(self, log: str | Exception) -> None:
        self.log = log

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        return [{"metadata": {"name": "dp"}}]

    def pod_logs(self, pod: str, container: str | None = None, **_options: Any) -> str:
        if isinstance(self.log, Exception):
            raise self.log
        return self.log


class Installed:
    """An installer whose components all came up."""

    def __init__(self, **_parts: object) -> None:
        pass

    def recover(self) -> str:
        return ""

    def install(self, plan: object) -> tuple[str, ...]:
        return ()

    def wait_ready(self) -> None:
        pass


def bring_up(kube: Any, waiter: Waiter) -> AirflowBringUp:
    """Of a cluster with that API; what runs Helm is not asked."""
    secrets: Any = SimpleNamespace(airflow_password="pw")
    runner: Any = None
    return AirflowBringUp(
        cluster=Cluster("c", Path("k"), "kind-c", {"airflow": 1}, reused=False, kubernetes_version="v1"),
        kube=kube,
        helm=Path("helm"),
        helm_home=Path("home"),
        secrets=secrets,
        timeline=Timeline(),
        runner=runner,
        waiter=waiter,
    )


def install(log: str | Exception, error: WaitFailed, monkeypatch: pytest.MonkeyPatch) -> WaitFailed:
    """What `install` raises where a component that does not come up ends the wait with this error."""

    class Installer(Installed):
        def wait_ready(self) -> None:
            raise error

    monkeypatch.setattr(airflow_bringup, "ReleaseInstaller", Installer)
    airflow = bring_up(Kube(log), Waiter())
    plan: Any = None
    with pytest.raises(WaitFailed) as caught:
        airflow.install(plan)
    return caught.value


class Api:
    """Airflow's API, which does not answer the first times it is asked."""

    silences = 0

    def __init__(self, *_address: object, **_options: object) -> None:
        self.asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def version(self) -> str:
        self.asked += 1
        if self.asked <= self.silences:
            raise AirflowUnavailable("connection refused")
        return "3.3.2"


def answered(monkeypatch: pytest.MonkeyPatch, *, silences: int, container: Mapping[str, Any]) -> tuple[str, float]:
    """The version that Airflow gives at first, and after how many seconds; its API server's container is so."""
    monkeypatch.setattr(airflow_bringup, "ReleaseInstaller", Installed)
    monkeypatch.setattr(airflow_bringup, "AirflowApi", type("Late", (Api,), {"silences": silences}))
    status = {"phase": "Running", "containerStatuses": [{"name": "api-server", "state": container}]}
    kube = SimpleNamespace(list=lambda *_a, **_o: [{"metadata": {"name": "api"}, "status": status}])
    plan: Any = SimpleNamespace(chart=SimpleNamespace(title="airflow"), digest="d")
    clock = Clock()
    airflow = bring_up(kube, Waiter(clock))
    return airflow.install(plan).version, clock.seconds


def test_airflow_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    version, seconds = answered(monkeypatch, silences=4, container={"running": {}})
    assert (version, seconds) == ("3.3.2", 2.0)


def test_an_api_server_that_crashes_meanwhile_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = {"waiting": {"reason": "CrashLoopBackOff"}}
    with pytest.raises(WaitFailed, match="api-server: CrashLoopBackOff"):
        answered(monkeypatch, silences=1000, container=crashing)


def test_a_component_that_crashes_over_its_credentials_is_explained_by_git_sync(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised = install(REFUSED, WaitFailed(what="Deployment airflow/dp", reason=CRASHED), monkeypatch)
    assert "the Git server refuses the user name and password (HTTP 401)" in raised.message
    assert raised.evidence["the pod"] == CRASHED


def test_any_other_crash_keeps_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = install("", WaitFailed(what="Deployment airflow/dp", reason=CRASHED), monkeypatch)
    assert raised.reason == CRASHED


def test_a_log_that_cannot_be_read_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = install(EnvironmentFailed("no answer"), WaitFailed(what="d", reason=CRASHED), monkeypatch)
    assert raised.reason == CRASHED
    assert raised.evidence["git-sync's log"] == "no answer"


def test_what_was_given_up_because_of_something_else_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned = WaitAbandoned(what="d", reason="something else has failed")
    assert install(REFUSED, abandoned, monkeypatch) is abandoned


def test_the_pod_that_proves_the_services_runs_the_built_worker() -> None:
    both: Any = SimpleNamespace(images={"worker": "team:1", "probe": "built:1"})
    alone: Any = SimpleNamespace(images={"worker": "built:1"})
    assert service_images(both)["worker"] == "built:1"
    assert service_images(alone)["worker"] == "built:1"


def test_the_pipelines_configuration_follows_the_settings() -> None:
    settings = Settings(policy={"branch": "data", "authors": ("bot@example.com",)}, tracked_file="a/b.csv")
    config = pipeline_config(settings)
    assert (config["GIT_BRANCH"], config["DVC_DATA_FILE"]) == ("data", "a/b.csv")
    assert config["GIT_AUTHOR_EMAIL"] == "bot@example.com"
    assert config["GIT_REPO"] == GIT_URL


def test_the_pipeline_works_on_the_git_remote_where_there_is_one() -> None:
    url = "https://git.example.com/p.git"
    assert pipeline_config(settings_alone(git={"remote": url}))["GIT_REPO"] == url
