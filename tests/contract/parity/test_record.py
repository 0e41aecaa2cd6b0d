"""What a run leaves of itself to be compared: with a real Git repository, a program for Helm, and a cluster by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from harness.dvc import GitAccess
from harness.environment import Environment, Ready
from harness.model import DagRunOutcome, PipelineRun, PodEvidence, Seeded
from harness.parity.document import FILE
from harness.parity_record import record_parity
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from harness.timeline import Timeline

RUN, DAG_RUN, SECRET = "20261121-180000-abcd", "harness-20261121T180000-0a0b0c0d", "not-to-be-seen"
MANIFEST = """\
---
# Source: airflow/templates/config.yaml
kind: ConfigMap
metadata: {name: airflow-config}
data: {note: made for 20261121-180000-abcd}
---
---
kind: Secret
metadata: {name: extra}
stringData: {password: not-to-be-seen}
"""
CONFIG = "[core]\nremote = s\n['remote \"s\"']\nurl = s3://dvc-mine/team/runs/20261121-180000-abcd/0f0f0f\n"


def pod(name: str, *, made: str = "1", owner: str = "ReplicaSet", labels: Any = None, **container: Any) -> Any:
    metadata = {"name": name, "creationTimestamp": made, "ownerReferences": [{"kind": owner}], "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "base", **container}]}}


TASK_POD = pod(
    "dvc-push-x",
    envFrom=[
        {"configMapRef": {"name": "dataset-pipeline"}},
        {"secretRef": {"name": "git-credentials"}, "prefix": "G_"},
    ],
    env=[{"name": "RUN", "value": DAG_RUN}, {"name": "PASSWORD", "value": SECRET}],
)


@dataclass
class Kube:
    """A cluster that holds these."""

    pods: list[Any]

    def list(self, kind: str, namespace: str) -> list[Any]:
        assert (kind, namespace) == ("Pod", "airflow")
        return self.pods

    def get(self, kind: str, name: str, namespace: str) -> Any:
        assert namespace == "airflow"
        held = {
            ("ConfigMap", "dataset-pipeline"): {"data": {"GIT_BRANCH": "main"}},
            ("Secret", "git-credentials"): {"data": {"TOKEN": "eA=="}},
            ("PersistentVolumeClaim", "airflow-shared-pvc"): {
                "spec": {"storageClassName": "standard", "volumeName": "v"}
            },
        }
        return held.get((kind, name))


@pytest.fixture
def remote(tmp_path: Path) -> tuple[Path, str]:
    """A repository with a DAG folder, and its tip."""
    path = tmp_path / "remote"
    (path / "dags").mkdir(parents=True)
    (path / "dags" / "a.py").write_text("one\n")
    env = {**GitAccess("").env, **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "a"), "EMAIL": "a@x"}

    def git(*arguments: str) -> str:
        return SubprocessRunner().run(["git", *arguments], cwd=path, env=env).stdout.strip()

    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "seed"]):
        git(*arguments)
    return path, git("rev-parse", "HEAD")


@dataclass
class Site:
    """A run that is over, and where it leaves its evidence."""

    environment: Any
    ready: Any
    run: PipelineRun
    manifests: dict[str, Any]

    def record(self) -> dict[str, Any]:
        record_parity(
            cast("Environment", self.environment),
            cast("Ready", self.ready),
            self.run,
            manifests=self.manifests,
            config=CONFIG.encode(),
        )
        found: dict[str, Any] = json.loads((self.environment.evidence / FILE).read_text())
        return found


@pytest.fixture
def site(tmp_path: Path, remote: tuple[Path, str]) -> Site:
    helm = tmp_path / "helm"
    helm.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/asked\ncat <<'END'\n{MANIFEST}END\n")
    helm.chmod(0o755)
    redactor = Redactor()
    redactor.learn(SECRET)
    cluster = SimpleNamespace(
        name="mine", kubeconfig=tmp_path / "kc", context="kind-mine", kubernetes_version="v1.34.4"
    )
    git = SimpleNamespace(outside=str(remote[0]), username="u", password=SecretStr("password"), ca_file=None)
    ready = SimpleNamespace(
        kube=Kube([]),
        cluster=cluster,
        toolchain=SimpleNamespace(helm=helm),
        release=SimpleNamespace(version="3.3.2", chart="airflow 1.22.0 (official)"),
        services=SimpleNamespace(git=git, s3=SimpleNamespace(bucket="dvc-mine", root="team/")),
    )
    environment = SimpleNamespace(
        run_id=RUN,
        settings=SimpleNamespace(target="kind", state_dir=tmp_path),
        timeline=Timeline(),
        runner=SubprocessRunner(redactor=redactor),
        redactor=redactor,
        evidence=tmp_path,
        scratch=tmp_path,
    )
    seeded = Seeded(remote[1], "main", f"team/runs/{RUN}/0f0f0f", "dags")
    evidence = PodEvidence("dvc-push-x", "push_data", "task", "Succeeded", "i", "sha256:1", try_number=1)
    run = PipelineRun(seeded, DagRunOutcome("d", DAG_RUN, "success", {}), {"dvc-push-x": evidence})
    return Site(environment, ready, run, {"dvc-push-x": TASK_POD})


def test_what_was_installed_admitted_and_seeded_is_there_and_what_only_this_run_is_called_is_not(site: Site) -> None:
    found = site.record()
    assert (found["run"], found["target"]) == (RUN, "kind")
    assert found["versions"] == {"airflow": "3.3.2", "chart": "airflow 1.22.0 (official)", "kubernetes": "1.34"}
    assert found["manifests"]["ConfigMap airflow-config"]["data"] == {"note": "made for {run}"}
    assert list(found["dags"]) == ["dags/a.py"]
    assert "4 bytes, mode 100644" in found["dags"]["dags/a.py"]
    assert found["repository"][".dvc/config"]["'remote \"s\"'"]["url"] == {
        "scheme": "s3", "bucket": "dvc-{cluster}", "prefix": "team/runs/{run}",
    }  # fmt: skip
    assert found["claim"] == {"storageClassName": "standard"}
    assert found["environment"]["task push_data"]["base"] == {
        "GIT_BRANCH": "main",
        "G_TOKEN": "from Secret git-credentials",
        "RUN": "{dag-run}",
        "PASSWORD": "[redacted]",
    }
    del found["run"]
    assert [name for name in (RUN, DAG_RUN, SECRET, "0f0f0f") if name in json.dumps(found)] == []


def test_helm_is_asked_for_our_release_in_our_cluster(site: Site, tmp_path: Path) -> None:
    site.record()
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("get manifest airflow --namespace airflow --kubeconfig ")
    assert asked.rstrip().endswith("--kube-context kind-mine")


def test_of_airflows_own_pods_the_last_of_each_component_that_stays_is_there(site: Site) -> None:
    labels = {"component": "scheduler"}
    going = pod("c", made="3", labels=labels)
    going["metadata"]["deletionTimestamp"] = "now"
    site.ready.kube.pods = [
        pod("b", made="2", labels=labels, image="new"),
        pod("a", made="1", labels=labels, image="old"),
        going,
        pod("job", owner="Job", labels={"component": "create-user-job"}),
        pod("worker", owner="Pod", labels={"component": "worker"}),
        pod("stranger"),
    ]
    found = site.record()["pods"]
    assert set(found) == {"component scheduler", "task push_data"}
    assert found["component scheduler"]["spec"]["containers"]["base"]["image"] == "new"


def test_of_a_tasks_tries_the_first_is_there_and_each_instance_of_a_mapped_task(site: Site) -> None:
    (first,) = site.run.pods.values()
    pods = {
        "again": replace(first, name="again", try_number=2),
        first.name: first,
        "mapped": replace(first, name="mapped", map_index=3),
        "unseen": replace(first, name="unseen", task_id="other"),
    }
    again = pod("again", image="of-the-second-try")
    site.run = replace(site.run, pods=pods)
    site.manifests |= {"again": again, "mapped": again}
    found = site.record()["pods"]
    assert set(found) == {"task push_data", "task push_data[3]"}
    assert "image" not in found["task push_data"]["spec"]["containers"]["base"]


@pytest.mark.parametrize("what", ["helm", "git", "pod"])
def test_what_cannot_be_collected_is_told_and_is_no_fault_of_the_run(what: str, site: Site, tmp_path: Path) -> None:
    if what == "helm":
        (tmp_path / "helm").write_text("#!/bin/sh\necho no such release >&2\nexit 1\n")
    elif what == "git":
        site.run = replace(site.run, seeded=replace(site.run.seeded, sha="0" * 40))
    else:
        site.manifests = {"dvc-push-x": {"metadata": {"name": "x"}}}
    found = site.record()
    assert set(found) == {"schema", "run", "target", "problem"}
    assert found["problem"].split(":")[0] == {"helm": "CommandFailed", "git": "CommandFailed", "pod": "KeyError"}[what]
    (phase,) = site.environment.timeline.phases
    assert (phase.name, phase.outcome) == ("parity record", "failed")
