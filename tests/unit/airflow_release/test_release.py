"""What is installed again, what is left alone, and how a release is got out of a killed Helm's hands."""

from __future__ import annotations

import builtins
import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.airflow.chart import embedded_chart
from harness.airflow.release import ReleaseInstaller, ReleasePlan, fingerprint_key
from harness.errors import CommandFailed, EnvironmentFailed
from harness.model import Cluster
from harness.process import Completed
from harness.wait import Waiter
from tests.fakes import Call, FakeRunner

CLUSTER = Cluster(
    name="c", kubeconfig=Path("kubeconfig"), context="kind-c", ports={}, reused=True, kubernetes_version="v1.34.4"
)
PLAN = ReleasePlan(
    chart=embedded_chart(),
    files=(Path("values.yaml"),),
    values={"a": 1, "extraSecrets": {"team": {"stringData": "token: old"}}},
    images={"airflow": ("x",)},
    key=b"k" * 32,
)
INPUTS = ("chart", "values", "images", "database")


@dataclass
class Kube:
    """A cluster that remembers the fingerprint, with one database pod."""

    database: str = "uid-1"
    stored: dict[str, str] | None = None
    deleted: builtins.list[str] = field(default_factory=list)
    restarted: builtins.list[str] = field(default_factory=list)

    @property
    def apps(self) -> Any:
        return SimpleNamespace(patch_namespaced_deployment=lambda name, *_rest: self.restarted.append(name))

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return None if self.stored is None else {"data": self.stored}

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> builtins.list[dict[str, Any]]:
        assert (kind, namespace, labels) == ("Pod", "harness", "app=postgres")
        going = {"metadata": {"uid": "uid-0", "deletionTimestamp": "x"}}
        return [going, {"metadata": {"uid": self.database}}]

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        self.deleted.append(f"{kind} {name}")
        if kind == "ConfigMap":
            self.stored = None
        return True

    def apply(self, manifests: Iterable[Mapping[str, Any]]) -> builtins.list[dict[str, Any]]:
        for manifest in manifests:
            self.stored = dict(manifest["data"])
        return []


@dataclass
class Helm(FakeRunner):
    """Helm with a release in a given state; verbs in `broken` fail."""

    state: str = ""
    revision: int = 1
    broken: frozenset[str] = frozenset()
    complaint: str = "Error: release: not found"
    verbs: list[str] = field(default_factory=list)

    def answer(self, call: Call) -> str | Completed:
        command = call.argv
        assert command[2] == "airflow"
        assert {"--kubeconfig", "--kube-context", "--namespace"} <= set(command)
        self.verbs.append(command[1])
        if command[1] == "status":
            if not self.state:
                return call.ended(1, stderr=self.complaint)
            document = {"info": {"status": self.state}, "version": self.revision, "config": {"secret": "x"}}
            return json.dumps(document)
        if command[1] in self.broken:
            raise CommandFailed(argv=command, code=1, stdout="", stderr="Error: it does not work")
        return ""


def installer(kube: Kube, helm: Helm, home: Path) -> ReleaseInstaller:
    fake: Any = kube
    return ReleaseInstaller(cluster=CLUSTER, kube=fake, helm=Path("helm"), helm_home=home, runner=helm, waiter=Waiter())


def test_a_first_installation_names_every_input_and_restarts_nothing(tmp_path: Path) -> None:
    kube, helm = Kube(), Helm()
    assert installer(kube, helm, tmp_path).install(PLAN) == INPUTS
    assert helm.verbs == ["upgrade"]
    assert kube.restarted == []


def test_the_same_inputs_leave_the_release_alone(tmp_path: Path) -> None:
    kube, helm = Kube(), Helm()
    installer(kube, helm, tmp_path).install(PLAN)
    helm.verbs.clear()
    assert installer(kube, helm, tmp_path).install(PLAN) == ()
    assert helm.verbs == []


def test_a_changed_secret_in_the_values_is_installed_and_the_digest_for_the_reader_stays(tmp_path: Path) -> None:
    kube, helm = Kube(), Helm()
    installer(kube, helm, tmp_path).install(PLAN)
    changed = replace(PLAN, values={**PLAN.values, "extraSecrets": {"team": {"stringData": "token: new"}}})
    assert installer(kube, helm, tmp_path).install(changed) == ("values",)
    assert helm.verbs == ["upgrade", "upgrade"]
    assert changed.digest == PLAN.digest


def test_what_the_cluster_keeps_of_the_values_cannot_be_guessed_without_the_key(tmp_path: Path) -> None:
    kube = Kube()
    installer(kube, Helm(), tmp_path).install(PLAN)
    assert kube.stored is not None
    text = json.dumps(PLAN.values, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() not in kube.stored["values"]
    assert replace(PLAN, key=b"l" * 32).fingerprint["values"] != kube.stored["values"]


def test_the_key_of_a_cluster_is_its_own_private_and_stays(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    assert fingerprint_key(one) == fingerprint_key(one) != fingerprint_key(other)
    assert [stat.S_IMODE(path.stat().st_mode) for path in one.iterdir()] == [0o600]


def test_a_new_database_pod_has_the_migrations_run_again_and_every_component_restarted(tmp_path: Path) -> None:
    kube, helm = Kube(), Helm()
    installer(kube, helm, tmp_path).install(PLAN)
    kube.deleted.clear()
    kube.database = "uid-2"
    assert installer(kube, helm, tmp_path).install(PLAN) == ("database",)
    assert {"Job airflow-run-airflow-migrations", "Job airflow-create-user"} <= set(kube.deleted)
    assert len(kube.restarted) == 3
    assert installer(kube, helm, tmp_path).install(PLAN) == ()


def test_an_upgrade_that_fails_is_not_taken_for_done(tmp_path: Path) -> None:
    kube = Kube()
    with pytest.raises(EnvironmentFailed, match="Helm could not install"):
        installer(kube, Helm(broken=frozenset({"upgrade"})), tmp_path).install(PLAN)
    assert kube.stored is None


@pytest.mark.parametrize("state", ["", "deployed", "failed", "superseded"])
def test_a_release_that_helm_can_work_on_is_left_alone(tmp_path: Path, state: str) -> None:
    kube, helm = Kube(), Helm(state)
    assert installer(kube, helm, tmp_path).recover() == ""
    assert (helm.verbs, kube.deleted) == (["status"], [])


@pytest.mark.parametrize(
    ("state", "revision", "verbs"),
    [
        ("pending-upgrade", 2, ["status", "rollback"]),
        ("pending-rollback", 3, ["status", "rollback"]),
        ("pending-install", 1, ["status", "uninstall"]),
        ("uninstalling", 2, ["status", "uninstall"]),
    ],
)
def test_a_release_of_a_killed_helm_is_put_right_and_forgotten(
    tmp_path: Path, state: str, revision: int, verbs: list[str]
) -> None:
    kube, helm = Kube(stored={"chart": "old"}), Helm(state, revision)
    said = installer(kube, helm, tmp_path).recover()
    assert state in said
    assert helm.verbs == verbs
    assert kube.stored is None, "what was installed is not known any more"


def test_where_there_is_no_way_back_the_release_is_removed(tmp_path: Path) -> None:
    helm = Helm("pending-upgrade", 2, broken=frozenset({"rollback"}))
    said = installer(Kube(), helm, tmp_path).recover()
    assert helm.verbs == ["status", "rollback", "uninstall"]
    assert said.startswith("removed the release")


def test_a_release_that_cannot_be_removed_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    helm = Helm("pending-install", 1, broken=frozenset({"uninstall"}))
    with pytest.raises(EnvironmentFailed, match="left pending-install by a killed Helm") as caught:
        installer(Kube(), helm, tmp_path).recover()
    assert "harness down --cluster c" in caught.value.next_step


def test_a_helm_that_cannot_tell_is_an_error_with_its_words(tmp_path: Path) -> None:
    helm = Helm(complaint="Error: Kubernetes cluster unreachable")
    with pytest.raises(EnvironmentFailed, match="cannot tell the state") as caught:
        installer(Kube(), helm, tmp_path).recover()
    assert caught.value.evidence["it said"] == "Error: Kubernetes cluster unreachable"
