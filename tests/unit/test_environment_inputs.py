"""Wrong input ends a run before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.eks_settings import EksSettings
from harness.environment import Environment
from harness.errors import UsageError
from harness.existing_settings import ExistingSettings
from harness.settings import Settings, TargetKind
from harness.supply.engine import EngineSupply
from harness.timeline import Timeline


@pytest.mark.parametrize(
    ("dag", "says"),
    [
        ("with DAG('mine':\n", r"dag\.py, line 1, does not compile"),
        ("DAG('yours')\n", "no file in .* names the DAG 'mine'"),
        ("DAG('mine')\nenv = {'DVC_DATA_FILE': 'x.csv'}\n", r"dag\.py:2 sets DVC_DATA_FILE"),
        (None, "there is no DAG file in"),
    ],
)
def test_a_dag_that_cannot_run_is_refused_with_no_program_run_and_nothing_left(
    tmp_path: Path, dag: str | None, says: str
) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    if dag is not None:
        (folder / "dag.py").write_text(dag, encoding="utf-8")
    state = tmp_path / "state"
    settings = Settings(
        dags=folder, dag_id="mine", state_dir=state, cache_dir=tmp_path / "cache", evidence_dir=tmp_path / "evidence"
    )
    timeline = Timeline()
    environment = Environment(settings, timeline=timeline)
    try:
        with pytest.raises(UsageError, match=says):
            environment.up()
    finally:
        environment.down()
    assert timeline.phases == ()
    assert not (environment.evidence / "commands.log").exists()
    assert list((state / "runs").iterdir()) == []
    assert not (tmp_path / "cache").exists()


def test_secrets_in_the_users_values_are_known_before_anything_is_copied(tmp_path: Path) -> None:
    values = tmp_path / "mine.yaml"
    values.write_text("env: [{name: TEAM_TOKEN, value: glsa-77-hunter2}]\n", encoding="utf-8")
    folders: dict[str, Any] = {name: tmp_path / name for name in ("state_dir", "cache_dir", "evidence_dir")}
    environment = Environment(Settings(values=(values,), **folders), timeline=Timeline())

    def enough(_inputs: object) -> None:
        raise UsageError(environment.redactor.text("it logs glsa-77-hunter2"))

    environment.inputs_checked = enough
    try:
        with pytest.raises(UsageError, match=r"it logs \[redacted\]"):
            environment.up()
    finally:
        environment.down()


USERS: list[dict[str, Any]] = [
    {"token": "glsa-77-hunter2"},
    {"username": "admin-admin", "password": "glsa-77-hunter2"},
    {"client-certificate-data": "eA==", "client-key-data": "glsa-77-hunter2"},
    {"tokenFile": "token"},
    {"exec": {"command": "kubelogin", "args": ["get-token", "--oidc-client-secret=glsa-77-hunter2"]}},
    {"exec": {"command": "kubelogin", "args": ["--client-secret", "glsa-77-hunter2", "get-token"]}},
    {"exec": {"command": "kubelogin", "env": [{"name": "OIDC_CLIENT_SECRET", "value": "glsa-77-hunter2"}]}},
]


@pytest.mark.parametrize("user", USERS, ids=["token", "password", "key", "file", "flag", "flag apart", "variable"])
def test_what_the_user_of_a_context_gets_in_with_is_known_before_the_cluster_is_asked(
    user: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("glsa-77-hunter2\n", encoding="utf-8")
    kubeconfig = {
        "contexts": [{"name": "team", "context": {"cluster": "team", "user": "me"}}],
        "clusters": [{"name": "team", "cluster": {"server": "https://192.0.2.1:6443"}}],
        "users": [{"name": "me", "user": user}],
    }
    (tmp_path / "config").write_text(json.dumps(kubeconfig), encoding="utf-8")
    folders: dict[str, Any] = {name: tmp_path / name for name in ("state_dir", "cache_dir", "evidence_dir")}
    existing = ExistingSettings(context="team", kubeconfig=tmp_path / "config")
    environment = Environment(Settings(target=TargetKind.EXISTING, existing=existing, **folders), timeline=Timeline())

    def enough(_inputs: object) -> None:
        raise UsageError(environment.redactor.text("kubelogin get-token, admin-admin: glsa-77-hunter2"))

    environment.inputs_checked = enough
    try:
        with pytest.raises(UsageError, match=r"kubelogin get-token, admin-admin: \[redacted\]"):
            environment.up()
    finally:
        environment.down()


KIND = ('{"run": "its", "host": "", "node_image": "node:1"}', "a kind cluster")
DAMAGED = ('{"run": "it', "a kind cluster")
LOOK_ALIKE = ('{"run": "its", "host": "", "beside": "an EKS look-alike"}', "an EKS look-alike")
EKS = ('{"target": "eks", "run": "its"}', "an environment in an EKS cluster")
EXISTING = ('{"target": "existing", "run": "its"}', "an environment in an existing cluster")


@pytest.mark.parametrize(
    ("target", "there"),
    [
        (TargetKind.KIND, LOOK_ALIKE),
        (TargetKind.KIND, EKS),
        (TargetKind.KIND, EXISTING),
        (TargetKind.EKS, KIND),
        (TargetKind.EKS, DAMAGED),
        (TargetKind.EKS, LOOK_ALIKE),
        (TargetKind.EKS, EXISTING),
        (TargetKind.EXISTING, KIND),
        (TargetKind.EXISTING, LOOK_ALIKE),
        (TargetKind.EXISTING, EKS),
    ],
)
def test_the_name_of_a_cluster_of_another_kind_is_refused_and_its_folder_stays(
    target: TargetKind, there: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> None:
        raise AssertionError("the engine was asked for")

    monkeypatch.setattr(EngineSupply, "acquire", started)
    description, noun = there
    folder = tmp_path / "state_dir" / "clusters" / "mine"
    folder.mkdir(parents=True)
    (folder / "cluster.json").write_text(description, encoding="utf-8")
    kubeconfig = {
        "contexts": [{"name": "team", "context": {"cluster": "team", "user": "me"}}],
        "clusters": [{"name": "team", "cluster": {"server": "https://192.0.2.1:6443"}}],
        "users": [{"name": "me", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(kubeconfig), encoding="utf-8")
    folders: dict[str, Any] = {name: tmp_path / name for name in ("state_dir", "cache_dir", "evidence_dir")}
    settings = Settings(
        target=target,
        cluster_name="mine",
        eks=EksSettings(cluster="mlops", bucket="team-data"),
        existing=ExistingSettings(context="team", kubeconfig=tmp_path / "config"),
        **folders,
    )
    timeline = Timeline()
    environment = Environment(settings, timeline=timeline)
    try:
        with pytest.raises(UsageError, match=f"the name mine is taken here, by {noun}"):
            environment.up()
    finally:
        environment.down()
    assert timeline.phases == ()
    assert [path.name for path in folder.iterdir()] == ["cluster.json"]


@pytest.mark.parametrize("setting", ["evidence_dir", "state_dir"])
def test_a_folder_that_cannot_be_written_is_named_with_its_setting(tmp_path: Path, setting: str) -> None:
    (tmp_path / "file").touch()
    folders: dict[str, Any] = {name: tmp_path / name for name in ("state_dir", "cache_dir", "evidence_dir")}
    settings = Settings(**{**folders, setting: tmp_path / "file" / "below"})
    with pytest.raises(UsageError, match=r"nothing can be written into .*file/below") as told:
        Environment(settings, timeline=Timeline())
    assert f"HARNESS_{setting.upper()}" in told.value.next_step
    assert not list(tmp_path.rglob("alive"))
