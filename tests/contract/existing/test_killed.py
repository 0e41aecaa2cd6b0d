"""A run that is killed after any of its writes, while it takes a cluster or gives it back, is swept without a rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import sweeping
from harness.kubeobjects import KubeObjects
from tests.contract.eks.aftermath import NoEngines
from tests.contract.eks.test_killed import Killed, Steps
from tests.contract.existing.conftest import Site, Somebodys
from tests.fakes import FakeRunner

# In this order, on a cluster on which nothing is prepared; rights are asked before, and write nothing.
UP = (
    "create Namespace", "create Namespace", "create ConfigMap", "delete MutatingWebhookConfiguration harness-adapter",
    "create MutatingWebhookConfiguration", "apply ServiceAccount harness-reaper", "apply ConfigMap harness-reaper",
    "apply Role harness-reaper", "apply Role harness-reaper", "apply CronJob harness-reaper",
    "apply RoleBinding harness-reaper", "apply RoleBinding harness-reaper", "create Pod", "delete Pod",
)  # fmt: skip
DOWN = ("delete MutatingWebhookConfiguration harness-adapter", "delete Namespace harness", "delete Namespace airflow")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    call: Callable[..., Any] = KubeObjects._call

    def counted(self: KubeObjects, what: str, ask: Callable[[], Any]) -> Any:
        try:
            return call(self, what, ask)
        finally:
            verb, _, of = what.partition(" ")
            if verb in {"create", "apply", "delete"}:
                made.take("delete Pod" if what.startswith("delete Pod") else f"{verb} {of}")

    monkeypatch.setattr(KubeObjects, "_call", counted)
    return made


def swept(site: Site, folder: Path) -> None:
    sweeping.sweep(site.folder / "state", NoEngines(), FakeRunner(), cache_dir=folder / "cache", say=site.told.append)


def test_every_write_of_taking_a_cluster_and_giving_it_back_is_tried_here(site: Site, steps: Steps) -> None:
    target = site.target()
    target.up()
    target.down()
    assert tuple(steps.taken) == UP + DOWN


@pytest.mark.parametrize("last", range(1, len(UP + DOWN) + 1), ids=lambda last: f"{last} {(UP + DOWN)[last - 1]}")
def test_nothing_is_left_of_a_run_that_is_killed(
    site: Site, objects: Somebodys, steps: Steps, last: int, tmp_path: Path
) -> None:
    before = dict(objects.found)
    target = site.target()
    steps.last = last
    with pytest.raises(Killed):  # noqa: PT012 - at whichever of the two it is
        target.up()
        target.down()
    target.release()  # as the end of its process does
    steps.last = 0
    swept(site, tmp_path)
    assert objects.found == before
    assert not target.folder.exists()
    assert list((site.folder / "state" / "runs").glob("*/journal.jsonl")) == []
