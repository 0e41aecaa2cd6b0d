"""What a file for eksctl costs: as large as it may grow, eksctl's defaults where it is silent, nothing for free."""

from __future__ import annotations

from datetime import date
from string import Template
from typing import Any

import pytest
import yaml

from harness.assets import asset
from harness.eks_admin.sizes import plan_of
from harness.errors import UsageError
from harness.targets.eks.prices import Nodes, Plan, estimate
from harness.versions import versions

NAMES = {"name": "mlops", "region": "us-west-2", "version": versions().eks, "environment": "mlops",
         "expires": "never", "allowed_name": "harness.allowed", "allowed_value": "true"}  # fmt: skip
METADATA = {"name": "mlops", "region": "us-west-2", "version": "1.35", "tags": {"a": "b"}}


def plan(**document: Any) -> Plan:
    config = yaml.safe_dump({"metadata": METADATA, **document})
    return plan_of(config, hours=1, name="mlops", region="us-west-2", tags={"a": "b"})


def test_the_file_of_the_harness_is_two_spot_nodes_without_nat() -> None:
    own = (asset("fixtures") / "eks" / "mlops-cluster.yaml").read_text()
    found = plan_of(Template(own).substitute(NAMES), hours=4, name="mlops", region="us-west-2", tags={})
    assert found == Plan(
        4, versions().eks, creates_cluster=True, nodes=(Nodes(("t3.large", "t3a.large"), 2, 40),), nat_gateways=0
    )


def test_the_minor_of_clusters_that_are_made_is_the_one_whose_standard_support_lasts_longest() -> None:
    days = [estimate(Plan(1, minor, creates_cluster=True), today=date(2027, 3, 27)) for minor in ("1.34", "1.35")]
    assert [one.extended for one in days] == [True, False]
    assert not estimate(Plan(1, versions().eks, creates_cluster=True), today=date(2027, 3, 27)).extended


@pytest.mark.parametrize(
    ("group", "nodes"),
    [
        ({}, Nodes(("m5.large",), 2, 80)),
        ({"instanceType": "t3.large", "desiredCapacity": 1, "maxSize": 9}, Nodes(("t3.large",), 9, 80)),
        ({"minSize": 0, "desiredCapacity": 0}, Nodes(("m5.large",), 1, 80)),
        ({"volumeSize": 10, "additionalVolumes": [{"volumeSize": 500}]}, Nodes(("m5.large",), 2, 510)),
        (
            {"instanceType": "mixed", "instancesDistribution": {"instanceTypes": ["t3.large", "t3.xlarge"]}},
            Nodes(("t3.large", "t3.xlarge"), 2, 80),
        ),
    ],
)
@pytest.mark.parametrize("kind", ["managedNodeGroups", "nodeGroups"])
def test_a_group_is_as_large_as_it_may_grow(kind: str, group: dict[str, Any], nodes: Nodes) -> None:
    assert plan(**{kind: [group]}).nodes == (nodes,)


@pytest.mark.parametrize(
    ("document", "gateways"),
    [
        ({}, 1),
        ({"vpc": {"nat": {"gateway": "Disable"}}}, 0),
        ({"vpc": {"nat": {"gateway": "HighlyAvailable"}}}, 3),
        ({"vpc": {"nat": {"gateway": "HighlyAvailable"}}, "availabilityZones": ["a", "b"]}, 2),
    ],
)
def test_nat_is_there_unless_it_is_turned_off(document: dict[str, Any], gateways: int) -> None:
    assert plan(**document).nat_gateways == gateways


@pytest.mark.parametrize(
    "document",
    [
        {"fargateProfiles": [{"name": "a"}]},
        {"autoModeConfig": {"enabled": True}},
        {"managedNodeGroups": [{"instanceSelector": {"vCPUs": 2}}]},
    ],
)
def test_what_has_no_price_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no price is known for"):
        plan(**document)


def test_of_several_types_the_dearest_counts() -> None:
    found = estimate(plan(nodeGroups=[{"instanceTypes": ["t3.xlarge", "t3.medium"]}]), today=date(2026, 11, 21))
    assert found.lines["2 x t3.xlarge"] == pytest.approx(2 * 0.1664)


def test_a_file_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="the file for eksctl cannot be read"):
        plan_of("metadata: [", hours=1, name="mlops", region="us-west-2", tags={})
