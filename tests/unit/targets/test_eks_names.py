"""Names that the EKS target makes: of its environment here, of images in a registry, of the keys of a run."""

from __future__ import annotations

import pytest

from harness.assets import asset
from harness.eks_settings import EksSettings
from harness.errors import GuardError, UsageError
from harness.imagenames import below
from harness.settings import TargetKind, settings_alone
from harness.targets import TARGETS
from harness.targets.eks.prefix import empty, prefix_of
from harness.targets.eks.target import check_settings, own_name


def name_of(cluster: str) -> str:
    found = own_name(settings_alone(eks=EksSettings(cluster=cluster)))
    assert found is not None
    # It is taken as --cluster, too.
    assert settings_alone(cluster_name=found).cluster_name == found
    return found


def test_the_environment_is_called_by_its_cluster() -> None:
    assert name_of("mlops") == "eks-mlops"


def test_two_clusters_never_share_a_name() -> None:
    clusters = ("mlops-e2e", "mlops_e2e", "MLOPS-e2e", "m" * 100, "m" * 99, "a-_")
    assert len({name_of(cluster) for cluster in clusters}) == len(clusters)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("postgres:17", "registry.example/team/postgres:17"),
        ("apache/airflow:3.3.2", "registry.example/team/apache/airflow:3.3.2"),
        ("registry.k8s.io/git-sync/git-sync:v4.4.2", "registry.example/team/git-sync/git-sync:v4.4.2"),
        ("localhost:5000/x:1", "registry.example/team/x:1"),
    ],
)
def test_an_image_in_a_registry_keeps_its_path_and_tag(reference: str, expected: str) -> None:
    assert below("registry.example/team", reference) == expected


def test_what_is_missing_is_named_with_its_flags() -> None:
    with pytest.raises(UsageError) as caught:
        check_settings(settings_alone(target=TargetKind.EKS))
    assert caught.value.evidence == {
        "eks.cluster": "--eks-cluster, or HARNESS_EKS__CLUSTER",
        "eks.bucket": "--eks-bucket, or HARNESS_EKS__BUCKET",
    }


def test_the_keys_of_a_run_begin_as_its_seed_has_them() -> None:
    assert prefix_of("team/e2e/", "20260131-1") == "team/e2e/runs/20260131-1/"
    assert prefix_of("", "20260131-1") == "runs/20260131-1/"


@pytest.mark.parametrize("prefix", ["", "/", "team/", "team/e2e/run"])
def test_nothing_but_the_prefix_of_a_run_is_emptied(prefix: str) -> None:
    with pytest.raises(GuardError, match="is not the prefix of a run"):
        empty(None, "bucket", prefix)  # type: ignore[arg-type] # is not asked


def test_every_target_has_its_values_and_its_words() -> None:
    for kind, target in TARGETS.items():
        assert (asset("helm") / f"{kind}.yaml").is_file()
        assert target.noun
