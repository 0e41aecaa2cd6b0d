"""The bundle: everything that can be had, nothing secret, and never in the way of the failure itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.diagnostics.bundle import MOST_CHARACTERS, PROBLEMS, Bundle
from harness.diagnostics.collect import HelmAccess, Sources, collect
from harness.diagnostics.diagnose import diagnose
from harness.diagnostics.kube import as_yaml, containers_with_logs, dag_runs, events_sorted, pods_wide
from harness.diagnostics.values import masked
from harness.errors import EnvironmentFailed, WaitTimeout
from harness.model import BlockedEgress, Cluster
from harness.podstate import parse_time
from harness.redaction import MASK, Redactor
from tests.fakes import Call, Clock, FakeRunner

Make = Callable[..., dict[str, Any]]
SECRET = "correct-horse-battery"


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.learn(SECRET)
    return made


@dataclass
class FakeKube:
    """A cluster of hand-made objects; what is an exception is raised."""

    objects: Mapping[str, Sequence[dict[str, Any]] | Exception] = field(default_factory=dict)
    logs: Mapping[tuple[str, str, bool], str] = field(default_factory=dict)

    def list(self, kind: str, namespace: str | None = None, /) -> Sequence[dict[str, Any]]:
        found = self.objects.get(kind, ())
        if isinstance(found, Exception):
            raise found
        return [one for one in found if namespace in (None, one.get("metadata", {}).get("namespace", "airflow"))]

    def pod_logs(
        self,
        pod: str,
        container: str | None = None,
        /,
        *,
        namespace: str,
        previous: bool = False,
        tail_lines: int | None = None,
        timestamps: bool = False,
    ) -> str:
        try:
            return self.logs[pod, container or "", previous]
        except KeyError:
            raise EnvironmentFailed(f"log of {namespace}/{pod}: there is none") from None


class FakeHelm(FakeRunner):
    """Answers like helm, notes included."""

    def answer(self, call: Call) -> str:
        if call.argv[1] == "get":
            return "data:\n  metadataConnection:\n    host: db\n    pass: of-the-database\n"
        return f"{call.argv[1]}: deployed\n\nNOTES:\npassword: generated-one\n"


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def kube(make_pod: Make, make_event: Make) -> FakeKube:
    crashed = make_pod(
        "airflow-scheduler-1",
        container="scheduler",
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        last={"reason": "Error", "exitCode": 1},
        restarts=3,
    )
    crashed["status"]["initContainerStatuses"] = [
        {"name": "git-sync-init", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}, "lastState": {}}
    ]
    crashed["spec"]["containers"][0]["env"] = [
        {"name": "AIRFLOW__CORE__FERNET_KEY", "value": "plain-fernet-key"},
        {"name": "AWS_REGION", "value": "us-west-2"},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    well = make_pod("git-0", container="git", phase="Running", namespace="harness")
    return FakeKube(
        objects={
            "Pod": [crashed, well],
            "Event": [make_event("BackOff", f"Back-off restarting, {SECRET}")],
            "PersistentVolumeClaim": [
                {"metadata": {"name": "airflow-shared-pvc", "namespace": "airflow"}, "status": {"phase": "Bound"}}
            ],
            "Node": [{"metadata": {"name": "node-1"}, "status": {}}],
        },
        logs={
            ("airflow-scheduler-1", "git-sync-init", False): "synced",
            ("airflow-scheduler-1", "scheduler", False): "now",
            ("airflow-scheduler-1", "scheduler", True): f"before: {SECRET}: No space left on device",
            ("git-0", "git", False): "serving",
        },
    )


@pytest.fixture
def full(tmp_path: Path, kube: FakeKube) -> Sources:
    journal, transcript = tmp_path / "journal.jsonl", tmp_path / "commands.txt"
    journal.write_text('{"op": "create"}\n')
    transcript.write_text(f"0.1s exit 0: echo {SECRET}\n")
    cluster = Cluster("h-1", tmp_path / "kubeconfig", "kind-h-1", {}, reused=False, kubernetes_version="v1.34.4")
    return Sources(
        error=EnvironmentFailed(f"it broke with {SECRET}", next_step="mend it"),
        kube=kube,
        helm=HelmAccess(runner=FakeHelm(), helm=Path("/tools/helm"), cluster=cluster),
        git_log=lambda: "1f2e3d4 Data version",
        bucket=lambda: "files/md5/59/4c",
        task_logs=lambda: {"push_data try 1/map": lambda: "pushed", "../../escape": lambda: "x"},
        journal=journal,
        transcript=transcript,
        settings={"keep": "never", "evidence_dir": Path("/evidence")},
        further={"versions.txt": lambda: "airflow 3.3.2"},
    )


def test_everything_that_can_be_had_is_in_the_bundle(tmp_path: Path, full: Sources, redactor: Redactor) -> None:
    folder = tmp_path / "bundle"
    collected = collect(folder, full, redactor=redactor)
    files = texts(folder)
    assert collected.problems == ()
    assert {
        "error.txt",
        "pods.txt",
        "events.txt",
        "pods/airflow/airflow-scheduler-1.yaml",
        "pods/harness/git-0.yaml",
        "claims/airflow/airflow-shared-pvc.yaml",
        "nodes/node-1.yaml",
        "logs/airflow/airflow-scheduler-1/git-sync-init.log",
        "logs/airflow/airflow-scheduler-1/scheduler.log",
        "logs/airflow/airflow-scheduler-1/scheduler.previous.log",
        "logs/harness/git-0/git.log",
        "helm-status.txt",
        "helm-history.txt",
        "helm-values.yaml",
        "git-log.txt",
        "bucket.txt",
        "tasks/push_data_try_1_map.log",
        "tasks/.._.._escape.log",
        "journal.jsonl",
        "transcript.txt",
        "settings.json",
        "versions.txt",
    } == set(files)
    assert files["helm-values.yaml"] == f"data:\n  metadataConnection:\n    host: db\n    pass: '{MASK}'\n"
    assert json.loads(files["settings.json"]) == {"keep": "never", "evidence_dir": "/evidence"}
    assert {path.relative_to(folder).as_posix() for path in collected.files} == set(files)


def test_no_file_of_the_bundle_holds_a_secret(tmp_path: Path, full: Sources, redactor: Redactor) -> None:
    collect(tmp_path / "bundle", full, redactor=redactor)
    files = texts(tmp_path / "bundle")
    for secret in (SECRET, "plain-fernet-key", "generated-one", "of-the-database"):
        assert [name for name, text in files.items() if secret in text] == []
    assert MASK in files["logs/airflow/airflow-scheduler-1/scheduler.previous.log"]


def test_helm_is_asked_with_kubeconfig_and_context_by_name(tmp_path: Path, full: Sources, redactor: Redactor) -> None:
    collect(tmp_path / "bundle", full, redactor=redactor)
    assert full.helm is not None
    assert isinstance(full.helm.runner, FakeRunner)
    assert len(full.helm.runner.calls) == 3
    for command in full.helm.runner.calls:
        assert command[command.index("--kubeconfig") + 1] == str(tmp_path / "kubeconfig")
        assert command[command.index("--kube-context") + 1] == "kind-h-1"


def test_what_was_collected_can_be_diagnosed(tmp_path: Path, full: Sources, redactor: Redactor) -> None:
    collected = collect(tmp_path / "bundle", full, redactor=redactor)
    assert [found.code for found in diagnose(collected.evidence)] == ["DISK_FULL", "CRASH_LOOP"]


def test_what_was_blocked_is_in_the_bundle_and_can_be_diagnosed(tmp_path: Path, redactor: Redactor) -> None:
    entry = BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 2, "airflow/git-0")
    sources = Sources(error=WaitTimeout(what="x", seconds=1, last_state="y"), blocked=lambda: [entry])
    collected = collect(tmp_path / "bundle", sources, redactor=redactor)
    assert texts(tmp_path / "bundle")["blocked-egress.txt"] == "airflow/git-0 to 192.0.2.1:443 (tcp), 2 packets\n"
    assert [found.code for found in diagnose(collected.evidence)] == ["EGRESS_BLOCKED"]
    nothing = collect(tmp_path / "other", replace(sources, blocked=lambda: ()), redactor=redactor)
    assert (nothing.problems, "blocked-egress.txt" in texts(tmp_path / "other")) == ((), False)
    silent = collect(tmp_path / "third", replace(sources, blocked=refuse), redactor=redactor)
    assert [line.partition(":")[0] for line in silent.problems] == ["blocked-egress.txt"]


def refuse(*_arguments: object) -> Any:
    raise ConnectionError(f"refused with {SECRET}\nand a second line")


def test_what_cannot_be_had_is_a_line_and_hides_nothing_else(
    tmp_path: Path, full: Sources, redactor: Redactor, make_pod: Make
) -> None:
    broken = Sources(
        error=full.error,
        kube=FakeKube(objects={"Pod": [make_pod(phase="Running")], "Event": ConnectionError("no events")}),
        git_log=refuse,
        bucket=lambda: "files/md5/59/4c",
        task_logs=lambda: {"pull_data": refuse, "push_data": lambda: "pushed"},
        journal=tmp_path / "no-such-journal",
        missing={"Helm": "there is none"},
    )
    folder = tmp_path / "bundle"
    collected = collect(folder, broken, redactor=redactor)
    lines = (folder / PROBLEMS).read_text().splitlines()
    assert tuple(lines) == collected.problems
    for what in (
        "Events of airflow",
        "log of airflow/dvc-push-x1, container base",
        "log of task pull_data",
        "git-log.txt",
        "journal.jsonl",
        "Helm",
    ):
        assert [line for line in lines if line.startswith(f"{what}: ")], what
    assert f"git-log.txt: ConnectionError: refused with {MASK} and a second line" in lines
    assert {"error.txt", "pods.txt", "pods/airflow/dvc-push-x1.yaml", "bucket.txt", "tasks/push_data.log"} <= set(
        texts(folder)
    )


def test_a_folder_that_cannot_be_written_raises_nothing(tmp_path: Path, full: Sources, redactor: Redactor) -> None:
    (tmp_path / "file").write_text("in the way")
    collected = collect(tmp_path / "file" / "bundle", full, redactor=redactor)
    assert collected.files == ()
    assert collected.problems
    assert diagnose(collected.evidence)[0].code == "DISK_FULL"


def test_an_interrupt_is_not_swallowed(tmp_path: Path, redactor: Redactor) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path, Sources(git_log=interrupted), redactor=redactor)


def test_nothing_to_collect_is_an_empty_bundle(tmp_path: Path, redactor: Redactor) -> None:
    collected = collect(tmp_path / "bundle", Sources(), redactor=redactor)
    assert (collected.files, collected.problems) == ((), ())


def test_a_collection_that_takes_too_long_leaves_the_rest_out_and_says_so(tmp_path: Path, redactor: Redactor) -> None:
    clock = Clock()
    bundle = Bundle(tmp_path, redactor, budget=60, clock=clock)
    bundle.ask("x", "a", clock.sleep, 61)
    assert bundle.ask("y", "b", lambda: "never") is None
    assert bundle.problems[-1] == "b: left out: the collection had taken 60 s by then"


def test_a_part_that_hangs_is_left_out_and_the_others_are_had(tmp_path: Path, redactor: Redactor) -> None:
    over = threading.Event()
    bundle = Bundle(tmp_path, redactor, limit=0.05)
    assert bundle.ask("the cluster", "pods", over.wait) is None
    assert bundle.ask("Helm", "status", lambda: "deployed") == "deployed"
    assert bundle.problems == ["pods: left out: the cluster did not give it within 0 s"]
    over.set()


def test_a_source_that_was_silent_twice_is_not_asked_again(tmp_path: Path, redactor: Redactor) -> None:
    over, asked = threading.Event(), list[str]()
    bundle = Bundle(tmp_path, redactor, limit=0.05)
    bundle.ask("the cluster", "pods", over.wait)
    bundle.ask("the cluster", "events", over.wait)
    bundle.ask("the cluster", "logs", asked.append, "logs")
    bundle.ask("Helm", "status", asked.append, "status")
    over.set()
    assert asked == ["status"]
    assert bundle.problems[2] == "logs: left out: the cluster did not answer in time before"


def test_what_comes_too_late_is_not_written(tmp_path: Path, redactor: Redactor) -> None:
    over = threading.Event()

    def late() -> str:
        over.wait()
        return "late"

    bundle = Bundle(tmp_path, redactor, limit=0.05)
    bundle.put("a", "a.txt", bundle.ask("x", "a", late))
    over.set()
    assert not (tmp_path / "a.txt").exists()


def test_of_a_long_log_the_end_is_kept(tmp_path: Path, redactor: Redactor) -> None:
    Bundle(tmp_path, redactor).write("a.log", "x" * MOST_CHARACTERS + "\nthe end")
    text = (tmp_path / "a.log").read_text()
    assert text.startswith("[the first 8 characters are left out]\n")
    assert text.endswith("the end")
    assert len(text) < MOST_CHARACTERS + 100


def test_a_secret_at_the_cut_is_redacted_before_it_is_cut(tmp_path: Path, redactor: Redactor) -> None:
    Bundle(tmp_path, redactor).write("a.log", "x" * 100 + SECRET + "y" * (MOST_CHARACTERS - 5))
    assert "battery" not in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\0b", "..", "x" * 300])
def test_no_name_leads_out_of_the_bundle(tmp_path: Path, redactor: Redactor, path: str) -> None:
    folder = tmp_path / "bundle"
    Bundle(folder, redactor).write(path, "text")
    (written,) = [found for found in tmp_path.rglob("*") if found.is_file()]
    assert written.resolve().is_relative_to(folder)


def test_yaml_shows_which_variables_there_are_but_no_values_of_unknown_ones(kube: FakeKube) -> None:
    (pod, *_rest) = kube.list("Pod", None)
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "plain-fernet-key"}
    pod["metadata"]["managedFields"] = [{"manager": "x"}]
    text = as_yaml(pod)
    assert "plain-fernet-key" not in text
    assert "managedFields" not in text
    assert "AIRFLOW__CORE__FERNET_KEY" in text
    assert "us-west-2" in text
    assert "secretKeyRef" in text
    assert pod["metadata"]["managedFields"], "the object itself is left as it is"


def test_yaml_of_a_secret_shows_its_keys_only() -> None:
    text = as_yaml({"kind": "Secret", "metadata": {"name": "s"}, "data": {"GITSYNC_PASSWORD": "aHVudGVyMg=="}})
    assert "GITSYNC_PASSWORD" in text
    assert "aHVudGVyMg" not in text


def test_the_table_of_pods_shows_what_kubectl_would(kube: FakeKube) -> None:
    now = parse_time("2026-01-31T12:01:30Z")
    assert now is not None
    header, scheduler, git = pods_wide(kube.list("Pod", None), now=now).splitlines()
    assert header.split() == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "NODE", "IMAGES"]
    assert scheduler.split()[:7] == ["airflow", "airflow-scheduler-1", "0/1", "CrashLoopBackOff", "3", "90s", "node-1"]
    assert git.split()[2:4] == ["1/1", "Running"]


def test_events_are_in_order_of_time_and_one_line_each(make_event: Make) -> None:
    later = make_event("B", "two\nlines", time="2026-01-31T12:00:09Z")
    newer_api = {
        "type": "Warning",
        "reason": "A",
        "note": "first",
        "eventTime": "2026-01-31T12:00:01.000001Z",
        "regarding": {"kind": "Pod", "namespace": "airflow", "name": "x"},
    }
    lines = events_sorted([later, newer_api]).splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["A", "B"]
    assert lines[2].endswith("two lines")
    assert "Pod/airflow/x" in lines[1]


@pytest.mark.parametrize(
    ("state", "last", "restarts", "logs"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, None, 0, []),
        ({"running": {}}, None, 0, [("base", False)]),
        ({"terminated": {"exitCode": 1}}, None, 0, [("base", False)]),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"exitCode": 1}, 2, [("base", False), ("base", True)]),
    ],
)
def test_only_logs_that_exist_are_asked_for(
    make_pod: Make,
    state: dict[str, Any],
    last: dict[str, Any] | None,
    restarts: int,
    logs: list[tuple[str, bool]],
) -> None:
    assert list(containers_with_logs(make_pod(state=state, last=last, restarts=restarts))) == logs


def executor_pod(name: str, run: str, made: str) -> dict[str, Any]:
    annotations = {"dag_id": "dataset_pipeline", "run_id": run, "task_id": "pull_data"}
    return {"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}}


def test_the_dag_runs_are_those_whose_pods_were_made_since_the_run_began() -> None:
    began = datetime(2026, 1, 31, 12, 0, 0, 900_000, tzinfo=UTC)
    pods = [
        executor_pod("b", "second", "2026-01-31T12:00:09Z"),
        executor_pod("a", "first", "2026-01-31T12:00:00Z"),
        executor_pod("c", "first", "2026-01-31T12:00:05Z"),
        executor_pod("d", "of an earlier run", "2026-01-31T11:59:59Z"),
        {"metadata": {"name": "git-0", "creationTimestamp": "2026-01-31T12:00:01Z"}},
        {
            "metadata": {
                "name": "a task's own pod",
                "creationTimestamp": "2026-01-31T12:00:02Z",
                "labels": {"dag_id": "dataset_pipeline", "run_id": "shortened-0a1b2c3d4"},
            }
        },
    ]
    assert dag_runs(pods, since=began) == [("dataset_pipeline", "first"), ("dataset_pipeline", "second")]


@pytest.mark.parametrize(
    "text",
    [
        "fernetKey: hunter2",
        "jwtSecret: hunter2",
        "data: {metadataConnection: {pass: hunter2}}",
        "data: {brokerUrl: redis://:hunter2@redis}",
        "env: [{name: AWS_SECRET_ACCESS_KEY, value: hunter2}]",
        "extraSecrets: {mine: {stringData: 'a: hunter2'}}",
        "dags: {gitSync: {sshKey: hunter2}}",
        "config: {core: {fernet_key: hunter2}, database: {sql_alchemy_conn: hunter2}}",
        "secret: [{envName: A, secretName: hunter2}]",
    ],
)
def test_values_that_sound_like_secrets_are_masked(text: str) -> None:
    shown = masked(text)
    assert "hunter2" not in shown
    assert MASK in shown


def test_other_values_are_shown_as_they_are() -> None:
    text = """\
executor: KubernetesExecutor
data:
  metadataConnection:
    host: postgres.harness
    port: 5432
dags:
  gitSync:
    credentialsSecret: git-credentials
    branch: main
fernetKeySecretName: airflow-keys
env:
- name: AWS_REGION
  value: us-west-2
"""
    assert masked(text) == text
