"""What the composition adds to the bundle, and what it tells the reader to do when a run is over."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.diagnostics.bundle import PROBLEMS
from harness.dvc import GitAccess, Verdict
from harness.dvc.rules import Check, Outcome
from harness.environment import Environment
from harness.errors import CommandFailed, EnvironmentFailed, UsageError, WaitTimeout
from harness.explanation import bucket_listing, explain, git_log, reachable
from harness.model import BlockedEgress, Diagnosis
from harness.process import SubprocessRunner
from harness.redaction import MASK, Redactor
from harness.settings import resolve
from harness.timeline import Timeline

WHO = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.invalid",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "PATH": "/usr/bin:/bin",
}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, env=WHO, capture_output=True)  # noqa: S607


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Fifty-two commits on main, and a branch of somebody else's."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in range(1, 53):
        (folder / "data.csv.dvc").write_text(f"md5: {number}\n")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", f"version {number}")
    git(folder, "branch", "rival")
    return folder


def logged(repository: Path, tmp_path: Path, branch: str = "main") -> str:
    access = GitAccess(repository.as_uri())
    return git_log(SubprocessRunner(), access, branch=branch, into=tmp_path / "clone")


def test_the_git_log_has_the_newest_fifty_commits_with_author_and_touched_paths(
    repository: Path, tmp_path: Path
) -> None:
    text = logged(repository, tmp_path)
    assert text.count("\ncommit ") == 50
    assert "    version 52\n\nM\tdata.csv.dvc\n" in text
    assert "version 2\n" not in text
    assert "author A <a@example.invalid>" in text
    # The oldest one that is shown changed a file; at the edge of a shallow clone it would seem to have added it.
    assert "A\tdata.csv.dvc" not in text


def test_the_git_log_begins_with_every_ref(repository: Path, tmp_path: Path) -> None:
    refs = logged(repository, tmp_path).partition("\n\n")[0]
    assert [line.split()[-1] for line in refs.splitlines()[1:]] == ["refs/heads/main", "refs/heads/rival"]


def test_a_branch_that_is_not_there_is_said_and_all_commits_are_shown(repository: Path, tmp_path: Path) -> None:
    text = logged(repository, tmp_path, branch="data")
    assert "there is no branch data; all commits:" in text
    assert "    version 52\n" in text


def test_a_repository_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed):
        logged(tmp_path / "nothing", tmp_path)


class Store:
    """Answers as boto3's client does to `list_object_versions`."""

    def __init__(self, *pages: Mapping[str, Any]) -> None:
        self.pages = pages

    def get_paginator(self, _name: str) -> Store:
        return self

    def paginate(self, **_arguments: str) -> Iterator[Mapping[str, Any]]:
        return iter(self.pages)


def entry(key: str, *, size: int | None = 10, version: str = "null", latest: bool = True) -> dict[str, Any]:
    stored = {} if size is None else {"Size": size}
    when = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    return {"Key": key, "VersionId": version, "IsLatest": latest, "LastModified": when, **stored}


def test_the_listing_tells_the_runs_own_objects_from_the_others() -> None:
    store = Store({"Versions": [entry("runs/r-1/a/files/md5/59/4c", size=7)]}, {"Versions": [entry("runs/r-0/b")]})
    assert bucket_listing(store, "dvc", prefix="runs/r-1/").splitlines() == [
        "bucket dvc, not versioned; bytes, time, key",
        "",
        "under runs/r-1/, this run's prefix: 1",
        "           7  2026-01-31T12:00:00Z  runs/r-1/a/files/md5/59/4c",
        "",
        "elsewhere: 1",
        "          10  2026-01-31T12:00:00Z  runs/r-0/b",
    ]


def test_versions_and_delete_markers_are_listed_where_there_are_any() -> None:
    page = {
        "Versions": [entry("runs/r-1/x", version="v1", latest=False)],
        "DeleteMarkers": [entry("runs/r-1/x", size=None, version="v2")],
    }
    text = bucket_listing(Store(page), "dvc", prefix="runs/r-1/")
    assert "bucket dvc, with versions" in text
    assert "          10  2026-01-31T12:00:00Z  v1  runs/r-1/x" in text
    assert "     deleted  2026-01-31T12:00:00Z  v2 (latest)  runs/r-1/x" in text


def test_an_empty_bucket_is_said_to_be_empty() -> None:
    assert "elsewhere: 0" in bucket_listing(Store({}), "dvc", prefix="runs/r-1/")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The logs of one Git server, of two Airflow pods and of one task pod."""
    for pod in ("harness/git-6c", "airflow/airflow-scheduler-1", "airflow/airflow-api-server-2", "airflow/pull-data-x"):
        (tmp_path / "logs" / pod).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("advice", "told"),
    [
        ("harness logs git", "read {bundle}/logs/harness/git-6c"),
        ("harness logs airflow; harness status", "read {bundle}/logs/airflow/airflow-*; see {bundle}/pods.txt"),
        ("harness logs pull-data-x", "read {bundle}/logs/airflow/pull-data-x"),
        ("harness logs s3", "read {bundle}/logs"),
        ("correct the file", "correct the file"),
        ("", ""),
    ],
)
def test_of_a_cluster_that_is_gone_the_bundle_is_named(bundle: Path, advice: str, told: str) -> None:
    assert reachable(advice, bundle=bundle, kept=None) == told.format(bundle=bundle)


def test_a_kept_cluster_is_named_in_the_command(bundle: Path) -> None:
    advice = reachable("harness logs airflow; harness status", bundle=bundle, kept="h-1")
    assert advice == "harness logs airflow --cluster h-1; harness status"


def test_without_any_log_the_bundle_itself_is_named(tmp_path: Path) -> None:
    assert reachable("harness logs git", bundle=tmp_path, kept=None) == f"read {tmp_path}"


class FakeKube:
    """A cluster in which one DAG run's executor pod is left."""

    def list(self, kind: str, namespace: str | None = None, /) -> list[dict[str, Any]]:
        annotations = {"dag_id": "dataset_pipeline", "run_id": "harness-1"}
        metadata = {"name": "x", "namespace": "airflow", "creationTimestamp": "2026-01-31T12:00:09Z"}
        return (
            [{"metadata": {**metadata, "annotations": annotations}}] if (kind, namespace) == ("Pod", "airflow") else []
        )


class FakeAirflow:
    """Three task instances of that run: one with two tries, one mapped, one that never ran."""

    drift: Mapping[str, str] = {}

    def task_instances(self, dag_id: str, run_id: str) -> list[Any]:
        assert (dag_id, run_id) == ("dataset_pipeline", "harness-1")
        return [
            SimpleNamespace(task_id="pull_data", map_index=-1, try_number=2, state="failed"),
            SimpleNamespace(task_id="modify_data", map_index=3, try_number=1, state="success"),
            SimpleNamespace(task_id="push_data", map_index=-1, try_number=0, state="upstream_failed"),
        ]

    def task_logs(
        self, _dag_id: str, _run_id: str, task_id: str, *, try_number: int, map_index: int
    ) -> tuple[str, ...]:
        if (task_id, try_number) == ("pull_data", 1):
            raise EnvironmentFailed("Airflow does not answer")
        return (f"{task_id} {try_number} {map_index}", "with correct-horse-battery")


@pytest.fixture
def environment(tmp_path: Path) -> Any:
    """An environment in which nothing came up."""
    redactor = Redactor()
    redactor.learn("correct-horse-battery")
    values = tmp_path / "mine.yaml"
    values.write_text("executor: KubernetesExecutor\nfernetKey: hunter2hunter2\n")
    journal = tmp_path / "journal.jsonl"
    journal.write_text("{}\n")
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (evidence / "commands.log").write_text("docker version\n")
    return SimpleNamespace(
        evidence=evidence,
        redactor=redactor,
        settings=resolve(),
        journal=SimpleNamespace(path=journal),
        timeline=Timeline(),
        values_files=(values,),
        supply_note="packages",
        stand_ins=(),
        started=datetime(2026, 1, 31, 12, 0, tzinfo=UTC),
        verdicts=[],
        blocked=(),
        keeps_cluster=False,
        toolchain=None,
        cluster=None,
        ready=None,
        services=None,
        kube=None,
        api=None,
    )


def explained(environment: Any, error: BaseException | None) -> tuple[str, ...]:
    return tuple(map(str, explain(cast("Environment", environment), error)))


def test_where_nothing_came_up_the_bundle_has_what_is_known_and_says_why_the_rest_is_not_there(
    environment: Any,
) -> None:
    with environment.timeline.phase("container engine"):
        pass
    explained(environment, EnvironmentFailed("no engine"))
    bundle = environment.evidence / "bundle"
    assert {path.name for path in bundle.iterdir()} == {
        "error.txt", "journal.jsonl", "transcript.txt", "settings.json", "versions.json", "timeline.json",
        "values-files.yaml", PROBLEMS,
    }  # fmt: skip
    problems = (bundle / PROBLEMS).read_text().splitlines()
    assert [line.partition(":")[0] for line in problems] == [
        "pods, events and logs", "task logs", "git-log.txt", "bucket.txt", "blocked-egress.txt", "Helm",
    ]  # fmt: skip
    assert json.loads((bundle / "versions.json").read_text())["pinned"]["airflow"]
    assert [phase["name"] for phase in json.loads((bundle / "timeline.json").read_text())] == ["container engine"]


def test_the_values_files_are_in_the_bundle_without_their_secrets(environment: Any) -> None:
    explained(environment, None)
    text = (environment.evidence / "bundle" / "values-files.yaml").read_text()
    assert text == f"---\n# {environment.values_files[0]}\nexecutor: KubernetesExecutor\nfernetKey: '{MASK}'\n"


def test_each_try_of_each_task_has_its_log_and_one_that_cannot_be_had_hides_no_other(environment: Any) -> None:
    environment.kube, environment.api = FakeKube(), FakeAirflow()
    explained(environment, EnvironmentFailed("the run failed"))
    bundle = environment.evidence / "bundle"
    logs = {path.name: path.read_text() for path in (bundle / "tasks").iterdir()}
    assert logs == {
        "harness-1_pull_data_try_2.log": f"# Airflow calls this task instance failed\npull_data 2 -1\nwith {MASK}\n",
        "harness-1_modify_data_3__try_1.log":
            f"# Airflow calls this task instance success\nmodify_data 1 3\nwith {MASK}\n",
    }  # fmt: skip
    assert (
        "log of task harness-1/pull_data/try 1: EnvironmentFailed: Airflow does not answer"
        in (bundle / PROBLEMS).read_text()
    )


def test_an_error_points_into_the_bundle_when_the_cluster_is_gone(environment: Any) -> None:
    error = WaitTimeout(what="the Git server", seconds=9, last_state="x")
    error.next_step = "harness logs git"
    (line,) = explained(environment, error)
    assert error.next_step == f"read {environment.evidence / 'bundle'}"
    assert line.endswith(error.next_step), "the diagnosis says the same"


def test_what_was_blocked_since_the_last_verdict_is_named_where_a_run_ends_in_an_error(environment: Any) -> None:
    before, now = (BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, packets) for packets in (2, 5))
    other = BlockedEgress("10.244.0.6", "192.0.2.9", "udp", 53, 1)
    pod = {"metadata": {"name": "git-0", "namespace": "harness"}, "status": {"podIP": "10.244.0.5"}}
    environment.cluster = SimpleNamespace(name="h-1")
    environment.kube = SimpleNamespace(list=lambda kind, _namespace=None: [pod] if kind == "Pod" else [])
    environment.blocked, environment.blocked_by_address = (before, other), lambda: (now, other)
    (line,) = explained(environment, WaitTimeout(what="the Git server", seconds=9, last_state="x"))
    assert line.startswith("EGRESS_BLOCKED: ")
    text = (environment.evidence / "bundle" / "blocked-egress.txt").read_text()
    assert text == "harness/git-0 to 192.0.2.1:443 (tcp), 3 packets\n"


@pytest.mark.parametrize("error", [UsageError("no such file"), KeyboardInterrupt()])
def test_a_usage_error_and_an_interrupt_are_not_diagnosed_as_unknown(environment: Any, error: BaseException) -> None:
    assert explained(environment, error) == ()


AUTH = "fatal: Authentication failed for 'https://git.example/'"
CAUSE = Diagnosis(
    "OUT_OF_MEMORY", "a program needed more memory than it may have", "the verdict", "harness logs airflow"
)


def verdict(*causes: Diagnosis, declared: bool = False) -> Verdict:
    check = Check("tasks.succeeded", "t", Outcome.FAILED, "e", "f", "task push_data is failed")
    return Verdict((check,), commit=None, changes=True, red_expected=declared, diagnoses=causes)


def test_a_red_verdict_shows_the_likeliest_cause_and_nothing_where_none_is_known(environment: Any) -> None:
    environment.verdicts = [verdict(CAUSE, replace(CAUSE, code="DNS"))]
    bundle = environment.evidence / "bundle"
    line = f"OUT_OF_MEMORY: a program needed more memory than it may have | the verdict | read {bundle}"
    assert explained(environment, None) == (line,)
    environment.verdicts = [verdict()]
    assert explained(environment, None) == ()


def test_a_verdict_that_a_test_wants_red_is_not_explained(environment: Any) -> None:
    environment.verdicts = [verdict(replace(CAUSE, code="DNS"), declared=True), verdict(CAUSE)]
    (line,) = explained(environment, None)
    assert line.startswith("OUT_OF_MEMORY: ")
