"""Settings of the EKS target: nothing allowed by default, names that AWS takes, one way into the environment."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.errors import UsageError
from harness.options import settings_from
from harness.settings import resolve

ARN = "arn:aws:eks:eu-central-1:111122223333:cluster/mlops"


def test_nothing_is_allowed_by_default() -> None:
    eks = resolve().eks
    assert (eks.cluster, eks.accounts, eks.clusters, eks.consent) == (None, (), (), False)


def test_they_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_EKS__CLUSTER", "mlops")
    monkeypatch.setenv("HARNESS_EKS__ACCOUNTS", '["111122223333"]')
    monkeypatch.setenv("HARNESS_EKS__CLUSTERS", f'["{ARN}"]')
    monkeypatch.setenv("HARNESS_EKS__CONSENT", "true")
    eks = resolve().eks
    assert (eks.cluster, eks.accounts, eks.clusters, eks.consent) == ("mlops", ("111122223333",), (ARN,), True)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CLUSTER", "a cluster", "eks.cluster"),
        ("ACCOUNTS", '["1234"]', "twelve digits"),
        ("CLUSTERS", '["mlops"]', "arn:aws:eks:REGION:ACCOUNT:cluster/NAME"),
        ("TAG", "allowed", "NAME=VALUE"),
        ("REGION", "mars 1", "eks.region"),
        ("REGION", "\u00fc", "such as eu-central-1"),
        ("REGION", "EU-CENTRAL-1", "eks.region"),
        ("BUCKET", "arn:aws:s3:::dvc", "not its ARN"),
        ("PREFIX", "/team", "eks.prefix"),
        ("PREFIX", "team/", "without a slash"),
        ("PREFIX", "team//e2e", "eks.prefix"),
        ("REGISTRY", "registry.example/team:1", "without a tag"),
        ("ECR_PREFIX", "Team", "lower case"),
        ("ECR_PREFIX", "team/", "no slash at its ends"),
        ("MAX_COST", "0", "eks.max_cost"),
        ("MAX_LIFETIME", "25", "eks.max_lifetime"),
        ("CONSENTT", "true", "eks.consentt"),
        ("SHARED_STORAGE", "nfs", "eks.shared_storage"),
        ("EFS_FILE_SYSTEM", "fs-1", "such as fs-0123456789abcdef0"),
        ("EFS_FILE_SYSTEM", "fs-0123456789abcdef0", "of no use without shared_storage = efs"),
    ],
)
def test_what_cannot_be_used_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, said: str
) -> None:
    monkeypatch.setenv(f"HARNESS_EKS__{name}", value)
    with pytest.raises(UsageError, match=re.escape(said)):
        resolve()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("gp3", "ReadWriteOnce")),
        ({"STORAGE_CLASS": ""}, ("", "ReadWriteOnce")),
        ({"SHARED_STORAGE": "efs"}, ("efs", "ReadWriteMany")),
        ({"SHARED_STORAGE": "efs", "STORAGE_CLASS": "team"}, ("team", "ReadWriteMany")),
    ],
)
def test_where_the_shared_claim_is_says_its_class_and_mode(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: tuple[str, str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"HARNESS_EKS__{name}", value)
    eks = resolve().eks
    assert (eks.claim_class, eks.claim_access) == found


def test_a_claim_on_efs_needs_a_class_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_EKS__SHARED_STORAGE", "efs")
    monkeypatch.setenv("HARNESS_EKS__STORAGE_CLASS", "")
    with pytest.raises(UsageError, match="needs the name of a storage class"):
        resolve()


def test_the_flag_is_one_of_eks() -> None:
    assert settings_from({"shared_storage": "efs"}).eks.claim_access == "ReadWriteMany"
