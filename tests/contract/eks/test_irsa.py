"""A run whose pods get their role by IRSA: what is asked of the cluster before, and what the pods are told."""

from __future__ import annotations

import os
from typing import Any

import pytest

from harness.errors import EnvironmentFailed
from harness.lookalike.cloud import Cloud
from harness.targets.eks.target import refuse
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import CLUSTER, ROLE, Client

IRSA: dict[str, Any] = {"identity": "irsa"}


@pytest.fixture
def annotated(objects: Objects, client: Client, associated: str) -> None:
    """The service account names the role, and no association does."""
    client("eks").delete_pod_identity_association(clusterName=CLUSTER, associationId=associated)
    account = objects.found["ServiceAccount", "airflow", "airflow-dvc-sa"]
    account["metadata"]["annotations"] = {"eks.amazonaws.com/role-arn": ROLE}


@pytest.mark.usefixtures("annotated")
def test_an_annotated_account_is_taken_without_agent_or_association(site: Site, cloud: Cloud, objects: Objects) -> None:
    cloud.eks.cluster(CLUSTER).addons.clear()
    # Where the runner's own clients are led.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ["AWS_ENDPOINT_URL"]
    target = site.target(**IRSA)
    cluster = target.up()
    assert (cluster.irsa, cluster.pod_environment) == (True, {"AWS_ENDPOINT_URL_STS": endpoint})
    target.down()
    account = objects.found["ServiceAccount", "airflow", "airflow-dvc-sa"]
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": ROLE}, "it was there before the run"


def test_by_pod_identity_pods_are_told_nothing_of_sts(site: Site) -> None:
    cluster = site.target().up()
    assert (cluster.irsa, cluster.pod_environment) == (False, {})


@pytest.mark.usefixtures("annotated")
def test_by_pod_identity_an_annotation_does_not_do(site: Site) -> None:
    with pytest.raises(EnvironmentFailed, match="no role is associated") as caught:
        refuse(site.wanted("run-1"))
    assert "--eks-identity irsa" in caught.value.next_step


@pytest.mark.usefixtures("associated")
def test_an_association_which_would_win_is_refused(site: Site, objects: Objects) -> None:
    with pytest.raises(EnvironmentFailed, match=f"has an association with {ROLE}: .* not by IRSA") as caught:
        refuse(site.wanted("run-1", **IRSA))
    assert "--eks-identity pod-identity" in caught.value.next_step
    assert objects.writes == []


@pytest.mark.parametrize(
    ("there", "said"), [(True, "has no annotation eks.amazonaws.com/role-arn"), (False, "is not there")]
)
@pytest.mark.usefixtures("annotated")
def test_an_account_that_names_no_role_is_refused_with_the_remedy(
    site: Site,
    objects: Objects,
    there: bool,  # noqa: FBT001 - a pytest parameter
    said: str,
) -> None:
    key = ("ServiceAccount", "airflow", "airflow-dvc-sa")
    del objects.found[key]
    if there:
        objects.put("ServiceAccount", "airflow-dvc-sa", "airflow")
    with pytest.raises(EnvironmentFailed, match=f"airflow-dvc-sa of mlops {said}") as caught:
        refuse(site.wanted("run-1", **IRSA))
    assert "harness eks create --identity irsa" in caught.value.next_step
    assert objects.writes == []
