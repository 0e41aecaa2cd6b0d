"""What a run on EKS would cost: by the file's prices, with its date, dear rather than cheap where in doubt."""

from __future__ import annotations

from datetime import date

import pytest

from harness.errors import UsageError
from harness.targets.eks.prices import Nodes, Plan, estimate

TODAY = date(2026, 11, 21)
TWO = Nodes(("t3.large", "t3a.large"), 2, 40)


def test_a_cluster_that_is_there_costs_its_volumes_alone() -> None:
    found = estimate(Plan(hours=1, version="1.34", claim_gb=73), today=TODAY)
    assert found.lines == {"volumes": pytest.approx(73 * 0.08 / 730)}


def test_a_claim_on_efs_costs_what_efs_costs() -> None:
    found = estimate(Plan(hours=730, version="1.34", claim_gb=2, claim_on_efs=True), today=TODAY)
    assert found.lines == {"volumes": 0, "EFS": pytest.approx(0.60)}


def test_a_cluster_of_our_own_costs_control_plane_nodes_volumes_and_nat() -> None:
    plan = Plan(hours=2, version="1.35", creates_cluster=True, nodes=(TWO,), claim_gb=10, nat_gateways=1)
    found = estimate(plan, today=TODAY)
    assert found.lines == {
        "control plane": pytest.approx(0.20),
        "2 x t3.large": pytest.approx(2 * 2 * 0.0832),
        "NAT": pytest.approx(0.09),
        "volumes": pytest.approx(2 * 90 * 0.08 / 730),
    }
    assert found.total == pytest.approx(sum(found.lines.values()))


@pytest.mark.parametrize(
    ("version", "today", "name"),
    [
        ("1.34", date(2026, 12, 2), "control plane"),
        ("1.34", date(2026, 12, 3), "control plane in extended support"),
        ("1.12", TODAY, "control plane in extended support"),
    ],
)
def test_extended_support_begins_the_day_after_the_last(version: str, today: date, name: str) -> None:
    found = estimate(Plan(hours=1, version=version, creates_cluster=True), today=today)
    assert name in found.lines


def test_the_estimate_names_the_date_of_its_prices_and_that_they_are_old() -> None:
    plan = Plan(hours=1, version="1.35")
    assert "list prices of 2026-11-21, us-west-2" in str(estimate(plan, today=TODAY))
    assert "which is old" in str(estimate(plan, today=date(2027, 11, 21)))


def test_a_node_without_a_price_is_not_free() -> None:
    with pytest.raises(UsageError, match=r"no price is known for x9\.huge"):
        estimate(
            Plan(hours=1, version="1.35", creates_cluster=True, nodes=(Nodes(("t3.large", "x9.huge"), 1, 1),)),
            today=TODAY,
        )
