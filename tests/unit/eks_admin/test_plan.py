"""The names of what is prepared for a cluster."""

from __future__ import annotations

import pytest

from harness.eks_admin.plan import names
from harness.eks_settings import EksSettings
from harness.targets.eks.attach import EksCluster

CLUSTER = EksCluster("mlops", "arn:aws:eks:eu-central-1:111122223333:cluster/mlops", "", "", "1.34", {})


@pytest.mark.parametrize("prefix", ["airflow-dvc-harness", "team/e2e", ""])
@pytest.mark.parametrize("bucket", ["team-dvc", "b" * 56, None])
def test_the_settings_of_an_environments_runs_name_the_same_environment(bucket: str | None, prefix: str) -> None:
    made = names(CLUSTER, EksSettings(bucket=bucket, registry="ecr", ecr_prefix=prefix), "pr-7")
    told = EksSettings(bucket=made.bucket, registry="ecr", ecr_prefix=made.values["repositories"])
    assert names(CLUSTER, told, "pr-7") == made
    assert {made.bucket[-5:], made.role[-5:]} == {"-pr-7"}
    assert all("pr-7/" in one for one in made.repositories)
