"""What a run on EKS would cost, by a dated price file: an estimate to be shown and held to a limit, not a bill."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

from harness.errors import UsageError

_FILE: Final = Path(__file__).with_name("prices.toml")
_HOURS_A_MONTH: Final = 730
# After so many days the estimate says that its prices are old.
_FRESH_DAYS: Final = 180


@dataclass(frozen=True, slots=True)
class Nodes:
    """A group of nodes.

    Attributes:
        types: EC2 types that they may be of; the dearest counts.
        count: How many.
        gb: Volumes of each, GB.
    """

    types: tuple[str, ...]
    count: int
    gb: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run uses.

    Attributes:
        hours: For how long.
        version: Kubernetes minor of the cluster, for extended support.
        creates_cluster: Whether control plane and nodes are the run's own; those of a cluster that is there run anyway.
        nodes: Of the run's own cluster.
        nat_gateways: How many.
        claim_gb: Volumes of the run, GB.
        claim_on_efs: Whether they are on EFS, not on EBS.
    """

    hours: float
    version: str
    creates_cluster: bool = False
    nodes: tuple[Nodes, ...] = ()
    nat_gateways: int = 0
    claim_gb: int = 10
    claim_on_efs: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What it would cost.

    Attributes:
        lines: USD by what it is for.
        hours: For how long.
        date: Of the prices.
        region: Of the prices.
        stale: Whether the prices are old.
        extended: Whether the control plane is in extended support, which costs several times as much.
    """

    lines: dict[str, float]
    hours: float
    date: date
    region: str
    stale: bool
    extended: bool = False

    @property
    def total(self) -> float:
        """USD."""
        return sum(self.lines.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {cost:.2f}" for name, cost in self.lines.items())
        old = ", which is old" if self.stale else ""
        return (
            f"about {self.total:.2f} USD for {self.hours:g} h ({parts}; list prices of {self.date}{old}, {self.region})"
        )


@cache
def _prices() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def estimate(plan: Plan, *, today: date) -> Estimate:
    """What a plan would cost.

    Raises:
        UsageError: The price file does not know the nodes' type.
    """
    prices = _prices()
    hourly = prices["hourly"]
    lines: dict[str, float] = {}
    extended = plan.creates_cluster and today > prices["standard_support"].get(plan.version, date.min)
    if plan.creates_cluster:
        kind = "control plane in extended support" if extended else "control plane"
        lines[kind] = plan.hours * hourly["control_plane_extended" if extended else "control_plane"]
        for group in plan.nodes:
            dearest = _dearest(group.types, hourly["node"])
            name = f"{group.count} x {dearest}"
            lines[name] = lines.get(name, 0) + plan.hours * group.count * hourly["node"][dearest]
    if plan.nat_gateways:
        lines["NAT"] = plan.hours * plan.nat_gateways * hourly["nat_gateway"]
    monthly = prices["monthly"]
    on_ebs = (0 if plan.claim_on_efs else plan.claim_gb) + sum(one.count * one.gb for one in plan.nodes)
    lines["volumes"] = plan.hours * on_ebs * monthly["gp3_gb"] / _HOURS_A_MONTH
    if plan.claim_on_efs:
        lines["EFS"] = plan.hours * plan.claim_gb * monthly["efs_gb"] / _HOURS_A_MONTH
    stale = (today - prices["date"]).days > _FRESH_DAYS
    return Estimate(lines, plan.hours, prices["date"], prices["region"], stale, extended)


def _dearest(types: tuple[str, ...], known: dict[str, float]) -> str:
    for one in types:
        if one not in known:
            raise UsageError(f"no price is known for {one}", next_step=f"add it to {_FILE.name}, with a date")
    return max(types, key=known.__getitem__)
