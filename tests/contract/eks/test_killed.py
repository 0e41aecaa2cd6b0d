"""A run that is killed after any of its writes, while it takes a cluster or gives it back, is swept without a rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.kubeobjects import KubeObjects
from harness.targets.eks.bucket import BucketClaim
from tests.contract.eks.aftermath import fill, picture, swept
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET, Client

# In this order, on a cluster on which nothing is prepared.
UP = (
    "create Namespace", "create Namespace", "create ConfigMap", "delete MutatingWebhookConfiguration harness-adapter",
    "create MutatingWebhookConfiguration", "apply ServiceAccount harness-reaper", "apply ConfigMap harness-reaper",
    "apply Role harness-reaper", "apply Role harness-reaper", "apply CronJob harness-reaper",
    "apply RoleBinding harness-reaper", "apply RoleBinding harness-reaper", "put claim",
)  # fmt: skip
# Writes of taking down in namespaces that were prepared, some of 16.
DOWN = (1, 5, 9, 13, 16)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the harness's own catches it, and no clean-up follows."""


class Steps:
    """The writes so far; at one of them the run is killed, as soon as it is done."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.last = 0

    def take(self, what: str) -> None:
        self.taken.append(what)
        if len(self.taken) == self.last:
            raise Killed


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    call: Callable[..., Any] = KubeObjects._call
    write = BucketClaim.write

    def counted(self: KubeObjects, what: str, ask: Callable[[], Any]) -> Any:
        try:
            return call(self, what, ask)
        finally:
            if what.partition(" ")[0] in {"create", "apply", "delete"}:
                made.take(what)

    def put(self: BucketClaim, *rest: Any) -> None:
        write(self, *rest)
        made.take("put claim")

    monkeypatch.setattr(KubeObjects, "_call", counted)
    monkeypatch.setattr(BucketClaim, "write", put)
    return made


def test_every_write_of_taking_a_cluster_is_tried_here(site: Site, objects: Objects, steps: Steps) -> None:
    objects.found.clear()
    site.target().up()
    assert tuple(steps.taken) == UP


@pytest.mark.parametrize("last", range(1, len(UP) + 1), ids=lambda last: f"{last} {UP[last - 1]}")
def test_nothing_is_left_of_a_run_that_is_killed_while_it_takes_a_cluster(
    site: Site, objects: Objects, client: Client, steps: Steps, last: int
) -> None:
    objects.found.clear()
    before = picture(site, objects, client)
    target = site.target()
    steps.last = last
    with pytest.raises(Killed):
        target.up()
    target.release()  # as the kernel does it
    swept(site)
    assert picture(site, objects, client) == before


@pytest.mark.parametrize("last", DOWN)
def test_nothing_is_left_of_a_run_that_is_killed_while_it_gives_the_cluster_back(
    site: Site, objects: Objects, client: Client, steps: Steps, last: int
) -> None:
    before = picture(site, objects, client)
    target = site.target()
    fill(target.up(), objects)
    client("s3").put_object(Bucket=BUCKET, Key="runs/run-1/a", Body=b"x")
    steps.taken, steps.last = [], last
    with pytest.raises(Killed):
        target.down()
    target.release()
    swept(site)
    assert picture(site, objects, client) == before
