"""The bucket is of an account that may be written to, whatever its policy opens to the caller."""

from __future__ import annotations

import pytest

from harness.errors import GuardError
from harness.lookalike.cloud import Cloud
from harness.targets.eks.target import refuse
from tests.contract.eks.aftermath import fill
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.eks.test_sweep import late, sweep
from tests.contract.eks.test_target import keys, put
from tests.contract.lookalike.conftest import ACCOUNT, BUCKET, Client

THEIRS = "444455556666"


def give(cloud: Cloud, owner: str) -> None:
    """Let the bucket be another account's that opened it to this one: not even its name tells."""
    assert cloud.witness is not None
    cloud.witness.owners[BUCKET] = owner


def test_another_accounts_is_refused_before_anything_is_written(
    site: Site, objects: Objects, cloud: Cloud, client: Client
) -> None:
    give(cloud, THEIRS)
    with pytest.raises(GuardError, match="the bucket dvc is of no account on the allow-list") as caught:
        refuse(site.wanted("run-1"))
    assert caught.value.evidence == {"allowed": ACCOUNT}
    with pytest.raises(GuardError, match="allow-list"):
        site.target("run-2").up()
    assert objects.writes == []
    assert keys(client) == set()


def test_one_of_another_account_that_is_allowed_is_used(site: Site, cloud: Cloud) -> None:
    give(cloud, THEIRS)
    bucket = site.target(accounts=(ACCOUNT, THEIRS)).up().bucket
    assert bucket is not None
    assert bucket.name == BUCKET


def test_a_sweep_removes_nothing_from_another_accounts(
    site: Site, objects: Objects, cloud: Cloud, client: Client
) -> None:
    target = site.target("run-0")
    fill(target.up(), objects)
    put(client, "runs/run-0/a")
    target.release()
    late(objects, client, "runs/run-0/")
    before = keys(client)
    give(cloud, THEIRS)
    with pytest.raises(GuardError, match="the bucket dvc is of no account"):
        sweep(site, yes=True)
    assert keys(client) == before
