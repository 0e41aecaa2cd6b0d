"""The environments in an EKS look-alike go with it; not under a run, and no other's."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import sweeping, verbs
from harness.eks_verbs import lookalike_down
from harness.errors import ExitCode, GuardError, UsageError
from harness.lookalike.hosting import Folder
from harness.settings import Settings
from harness.supply.engine import EngineSupply
from harness.targets.namelock import name_held
from tests.unit.test_sweeping import Engines, State

INSIDE = "arn:aws:eks:us-west-2:111122223333:cluster/look"
ELSEWHERE = {
    "eks-look": "arn:aws:eks:us-west-2:123456789012:cluster/look",
    "eks-other": "arn:aws:eks:us-west-2:111122223333:cluster/other",
}


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state_dir")


def environment(state: State, name: str, context: str) -> Path:
    """One that was kept."""
    folder = state.folder / "clusters" / name
    folder.mkdir(parents=True)
    said = {"target": "eks", "run": f"of-{name}", "context": context, "region": "us-west-2", "profile": None,
            "bucket": "dvc", "prefixes": [f"runs/of-{name}"], "made_from": "/"}  # fmt: skip
    (folder / "cluster.json").write_text(json.dumps(said))
    (folder / "kept").touch()
    return folder


def lookalike(state: State) -> Path:
    folder = state.cluster("look", run="its", host="", kept=True)
    Folder.of_cluster(folder).path.mkdir()
    return folder


def remove(state: State, folder: Path) -> None:
    engines = Engines({"": True})
    with sweeping.removing(engines, state.docker, clusters=folder.parent, say=state.said.append) as removing:
        removing.cluster(folder, "")


def test_they_go_with_it_and_are_named_and_those_elsewhere_stay(state: State) -> None:
    folder = lookalike(state)
    inside = environment(state, "mine", INSIDE)
    others = [environment(state, name, context) for name, context in ELSEWHERE.items()]
    remove(state, folder)
    assert not folder.exists()
    assert not inside.exists()
    assert all((other / "kept").exists() for other in others)
    assert state.said == ["removed the environment mine: what was in it went with the look-alike look"]
    assert [path for path in folder.parent.iterdir() if path.name.endswith(".lock")] == []


def test_what_journals_of_runs_that_are_over_name_of_them_is_closed(state: State) -> None:
    folder, inside = lookalike(state), environment(state, "mine", INSIDE)
    other = environment(state, "eks-other", ELSEWHERE["eks-other"])
    journal = state.journal("killed")
    journal.record("eks", INSIDE, folder=str(inside))
    left = journal.record("eks", ELSEWHERE["eks-other"], folder=str(other))
    remove(state, folder)
    assert journal.open() == [left]


@pytest.mark.parametrize("described", [True, False], ids=["it is there", "it is about to be made"])
def test_it_stays_under_a_run_whose_environment_is_named(state: State, described: bool) -> None:  # noqa: FBT001 - pytest's form
    folder = lookalike(state)
    inside = environment(state, "mine", INSIDE) if described else folder.parent / "eks-look"
    with name_held(inside), pytest.raises(GuardError, match=f"a run is using the environment {inside.name}"):
        remove(state, folder)
    assert (folder / "kept").exists()
    assert inside.exists() is described
    assert state.docker.removed == []
    remove(state, folder)
    assert not folder.exists()


def test_a_run_in_another_cluster_of_that_name_does_not_keep_it(state: State) -> None:
    folder = lookalike(state)
    elsewhere = environment(state, "eks-look", ELSEWHERE["eks-look"])
    with name_held(elsewhere):
        remove(state, folder)
    assert not folder.exists()
    assert elsewhere.exists()


def test_one_whose_description_is_damaged_is_left_and_keeps_nothing(state: State) -> None:
    folder = lookalike(state)
    damaged = environment(state, "mine", INSIDE)
    (damaged / "cluster.json").write_text('{"target": "eks"}')
    remove(state, folder)
    assert not folder.exists()
    assert damaged.exists()


Verb = Callable[[Settings, Console], ExitCode]


def down(tmp_path: Path, verb: Verb = lookalike_down) -> tuple[ExitCode, str]:
    said = io.StringIO()
    folders: dict[str, Any] = {name: tmp_path / name for name in ("state_dir", "cache_dir", "evidence_dir")}
    code = verb(Settings(cluster_name="look", **folders), Console(file=said, width=200))
    return code, said.getvalue()


@pytest.mark.parametrize("verb", [lookalike_down, verbs.down])
def test_either_down_says_that_they_went(
    verb: Verb, tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, inside = lookalike(state), environment(state, "mine", INSIDE)
    # An engine that is gone took the cluster with it; what is on disk is left to remove.
    monkeypatch.setattr(EngineSupply, "acquire_at", lambda *_: None)
    code, said = down(tmp_path, verb)
    assert code == ExitCode.GREEN
    assert "removed the environment mine" in said
    assert not folder.exists()
    assert not inside.exists()


def test_one_whose_look_alike_is_gone_already_goes_with_a_down_of_that(tmp_path: Path, state: State) -> None:
    inside, other = environment(state, "mine", INSIDE), environment(state, "eks-look", ELSEWHERE["eks-look"])
    code, said = down(tmp_path)
    assert code == ExitCode.GREEN
    assert "removed the environment mine" in said
    assert not inside.exists()
    assert other.exists()
    with pytest.raises(UsageError, match="there is no EKS look-alike look here"):
        down(tmp_path)
