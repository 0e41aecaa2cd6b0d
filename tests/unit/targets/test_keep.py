"""What `down` leaves of a cluster that an earlier run has kept, when this run fails before it has the cluster up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.environment import Environment
from harness.errors import EnvironmentFailed
from harness.journal import Journal
from harness.settings import Keep, Settings
from harness.targets.kind import KindTarget
from harness.timeline import Timeline
from tests.fakes import Call

from .fake_kind import FakeKind
from .test_kind import toolchain


class InterruptedAtLoading(FakeKind):
    """The user presses Ctrl-C while images are loaded into the node."""

    def _outside(self, call: Call) -> str:
        if call.argv[1:3] == ["image", "inspect"]:
            raise KeyboardInterrupt
        return super()._outside(call)


def environment(tmp_path: Path, keep: Keep) -> Environment:
    settings = Settings(
        keep=keep,
        cluster_name="h-1",
        state_dir=tmp_path / "state",
        cache_dir=tmp_path / "cache",
        evidence_dir=tmp_path / "evidence",
    )
    return Environment(settings, timeline=Timeline())


def target(tmp_path: Path, kind: FakeKind, *, node_image: str = "node:1", journal: Journal | None = None) -> KindTarget:
    return KindTarget(
        name="h-1",
        run_id="run",
        state_dir=tmp_path / "state",
        # One image to load, which is where the run is broken off.
        toolchain=replace(toolchain(node_image), images={"git-server": "g:1"}, preloaded=frozenset()),
        runner=kind,
        journal=journal or Journal(tmp_path / "journal.jsonl"),
    )


@pytest.fixture
def kept(tmp_path: Path) -> FakeKind:
    """A machine with the kept cluster h-1."""
    kind = InterruptedAtLoading()
    first = target(tmp_path, kind)
    with pytest.raises(KeyboardInterrupt):
        first.up()
    first.keep()
    first.release()
    return kind


def broken_off(tmp_path: Path, keep: Keep, kind: FakeKind, *, node_image: str = "node:1") -> None:
    """A run that is interrupted while it loads images into the node, and then taken down."""
    run = environment(tmp_path, keep)
    run._target = target(tmp_path, kind, node_image=node_image, journal=run.journal)
    with pytest.raises(KeyboardInterrupt):
        run._target.up()
    run.failed = True
    run.down()


@pytest.mark.parametrize("keep", [Keep.ALWAYS, Keep.ON_FAILURE])
def test_a_run_that_fails_while_it_reuses_a_kept_cluster_leaves_it(tmp_path: Path, kept: FakeKind, keep: Keep) -> None:
    broken_off(tmp_path, keep, kept)
    assert set(kept.clusters) == {"h-1"}
    assert (tmp_path / "state/clusters/h-1/kept").exists()


def test_a_run_that_keeps_nothing_removes_it_also_when_it_fails(tmp_path: Path, kept: FakeKind) -> None:
    broken_off(tmp_path, Keep.NEVER, kept)
    assert kept.clusters == {}
    assert not (tmp_path / "state/clusters/h-1").exists()


def test_a_run_that_has_replaced_it_and_fails_leaves_no_half_made_cluster(tmp_path: Path, kept: FakeKind) -> None:
    broken_off(tmp_path, Keep.ALWAYS, kept, node_image="node:2")
    assert kept.clusters == {}
    assert not (tmp_path / "state/clusters/h-1").exists()


def test_an_environment_that_never_had_a_cluster_keeps_none(tmp_path: Path) -> None:
    run = environment(tmp_path, Keep.ALWAYS)
    with pytest.raises(EnvironmentFailed):
        _ = run.inputs
    assert not run.keeps_cluster
    run.down()
