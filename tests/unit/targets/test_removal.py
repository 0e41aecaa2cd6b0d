"""A sweep removes by exact name, and what is gone already is no error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import CleanupFailed, CommandFailed, GuardError
from harness.model import Engine
from harness.process import SubprocessRunner
from harness.targets.eks import environment as eks
from harness.targets.existing import environment as existing
from harness.targets.ownership import refuse_foreign
from harness.targets.removal import remove_cluster, remove_container
from harness.wait import Waiter
from tests.fakes import Call

from .fake_kind import FakeKind


def engine(tmp_path: Path, said: str) -> Engine:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n", encoding="utf-8")
    docker.chmod(0o755)
    return Engine(docker, "", ours=False, version="20.10")


def test_a_container_that_was_journalled_and_never_made_is_no_error(tmp_path: Path) -> None:
    missing = engine(tmp_path, "Error: No such container: preload")
    remove_container("preload", engine=missing, runner=SubprocessRunner())


def test_a_container_that_the_engine_does_not_remove_is_an_error(tmp_path: Path) -> None:
    busy = engine(tmp_path, "Error response from daemon: device or resource busy")
    with pytest.raises(CommandFailed, match="exit code 1"):
        remove_container("preload", engine=busy, runner=SubprocessRunner())


def test_nodes_whose_network_is_gone_are_an_error_that_names_them_and_stay(tmp_path: Path) -> None:
    kind = FakeKind()
    kind.clusters = {"h-1": "h-1"}
    with pytest.raises(CleanupFailed, match=r"h-1-control-plane \(Up 3 days\)"):
        remove_cluster("h-1", runs={"run-1"}, folder=tmp_path, engine=engine(tmp_path, ""), runner=kind)
    assert kind.clusters == {"h-1": "h-1"}
    assert tmp_path.is_dir()


def test_a_network_stays_as_long_as_a_node_is_there_so_that_it_says_whose_that_is(tmp_path: Path) -> None:
    kind = Busy()
    kind.clusters, kind.networks = {"h-1": "h-1"}, {"h-1": "run-1"}
    with pytest.raises(CleanupFailed, match="the cluster h-1 is not gone"):
        remove_cluster("h-1", runs={"run-1"}, folder=tmp_path, engine=engine(tmp_path, ""), runner=kind)
    assert kind.networks == {"h-1": "run-1"}
    assert tmp_path.is_dir()


def test_of_two_networks_of_one_name_ours_goes_and_the_others_is_named_and_stays(tmp_path: Path) -> None:
    kind, folder = FakeKind(), tmp_path / "h-1"
    folder.mkdir()
    kind.networks, kind.twins = {"h-1": "run-1"}, {"h-1": "run-of-another"}
    there = remove_cluster("h-1", runs={"run-1"}, folder=folder, engine=engine(tmp_path, ""), runner=kind)
    assert (kind.networks, kind.twins) == ({}, {"h-1": "run-of-another"})
    assert there.networks == ("id of h-1",)
    assert there.foreign == {"twin of h-1": "network h-1 (of run run-of-another)"}
    assert not folder.exists()


def test_nodes_that_may_be_in_either_of_two_networks_stay_with_both_networks_and_the_folder(tmp_path: Path) -> None:
    kind = FakeKind()
    kind.clusters, kind.networks, kind.twins = {"h-1": "h-1"}, {"h-1": "run-1"}, {"h-1": "run-of-another"}
    with pytest.raises(CleanupFailed, match=r"two networks of its name(?s:.*)h-1-control-plane.*run-of-another"):
        remove_cluster("h-1", runs={"run-1"}, folder=tmp_path, engine=engine(tmp_path, ""), runner=kind)
    assert (kind.clusters, kind.networks) == ({"h-1": "h-1"}, {"h-1": "run-1"})
    assert tmp_path.is_dir()


def test_two_networks_of_one_name_that_are_both_ours_go_with_their_nodes(tmp_path: Path) -> None:
    kind, folder = FakeKind(), tmp_path / "h-1"
    folder.mkdir()
    kind.clusters, kind.networks, kind.twins = {"h-1": "h-1"}, {"h-1": "run-1"}, {"h-1": "run-2"}
    there = remove_cluster("h-1", runs={"run-1", "run-2"}, folder=folder, engine=engine(tmp_path, ""), runner=kind)
    assert there.networks == ("id of h-1", "twin of h-1")
    assert (kind.clusters, kind.networks, kind.twins) == ({}, {}, {})


@pytest.mark.parametrize("nodes", [{}, {"h-1": "h-1"}], ids=["no node", "a node"])
def test_no_cluster_is_made_beside_a_second_network_of_its_name(tmp_path: Path, nodes: dict[str, str]) -> None:
    kind = FakeKind()
    kind.clusters, kind.networks, kind.twins = nodes, {"h-1": "run-1"}, {"h-1": "run-of-another"}
    (tmp_path / "cluster.json").write_text('{"run": "run-1"}')
    with pytest.raises(GuardError, match=r"network h-1 \(of run run-of-another\)"):
        refuse_foreign("h-1", folder=tmp_path, engine=engine(tmp_path, ""), runner=kind)


@pytest.mark.parametrize("target", ["eks", "existing"])
def test_a_folder_that_describes_an_environment_does_not_go_with_a_kind_cluster(tmp_path: Path, target: str) -> None:
    kind = FakeKind()
    kind.clusters, kind.networks = {"h-1": "h-1"}, {"h-1": "run-1"}
    (tmp_path / "cluster.json").write_text(json.dumps({"target": target, "run": "run-1"}))
    with pytest.raises(GuardError, match="is of an environment in an"):
        remove_cluster("h-1", runs={"run-1"}, folder=tmp_path, engine=engine(tmp_path, ""), runner=kind)
    assert (kind.clusters, kind.networks) == ({"h-1": "h-1"}, {"h-1": "run-1"})
    assert (tmp_path / "cluster.json").exists()


@pytest.mark.parametrize("remove", [eks.remove_environment, existing.remove_environment], ids=["eks", "existing"])
@pytest.mark.parametrize("of", ["a kind cluster", "an EKS look-alike", "one of which the description is damaged"])
def test_a_folder_of_a_kind_cluster_does_not_go_with_an_environment(
    remove: Callable[..., None], of: str, tmp_path: Path
) -> None:
    (tmp_path / "cluster.json").write_text("{" if "damaged" in of else '{"run": "run-1", "host": ""}')
    if "look-alike" in of:
        (tmp_path / "lookalike").mkdir()
    with pytest.raises(GuardError, match="is of an EKS look-alike" if "look-alike" in of else "is of a kind cluster"):
        remove(tmp_path, waiter=Waiter())
    assert (tmp_path / "cluster.json").exists()


class Busy(FakeKind):
    """An engine that does not remove containers."""

    def _outside(self, call: Call) -> str:
        if call.argv[1] == "rm":
            raise CommandFailed(argv=call.argv, code=1, stdout="", stderr="device or resource busy")
        return super()._outside(call)
