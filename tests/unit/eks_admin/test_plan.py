"""The names of what is prepared for a cluster."""

from __future__ import annotations

import pytest

from harness.eks_admin.plan import Asked, names
from harness.eks_settings import EksSettings
from harness.errors import UsageError
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


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::111122223333:policy/limit",
        "arn:aws:iam::aws:policy/PowerUserAccess",
        "arn:aws-cn:iam::111122223333:policy/teams/data/limit_1",
        "",
    ],
)
def test_a_policy_of_any_partition_account_and_path_may_be_a_boundary(arn: str) -> None:
    assert Asked(boundary=arn).boundary == arn


@pytest.mark.parametrize(
    "arn",
    [
        "limit",
        "arn:aws:iam::111122223333:role/limit",
        "arn:aws:iam::1234:policy/limit",
        "arn:aws:iam::111122223333:policy/",
        "arn:aws:iam::111122223333:policy/a b",
    ],
)
def test_what_is_no_policy_is_no_boundary(arn: str) -> None:
    with pytest.raises(UsageError, match="not the ARN of an IAM policy"):
        Asked(boundary=arn)
