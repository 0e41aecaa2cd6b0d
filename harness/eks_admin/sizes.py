"""What a file for eksctl asks for, as far as it costs: held to be of the cluster that was named, and priced.

Defaults are eksctl's own (eksctl-io/eksctl, pkg/apis/eksctl.io/v1alpha5/types.go and validation.go, August 2026). Spot
counts as on demand, several types as the dearest, a group as large as it may grow: an estimate errs on the dear side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from harness.errors import UsageError
from harness.targets.eks.prices import Nodes, Plan

_NODE_TYPE: Final = "m5.large"
_NODES: Final = 2
_NODE_GB: Final = 80
_ZONES: Final = 3
_NAT: Final = "Single"
# What they cost nobody knows before: it goes by the pods, or by prices that are not in the file.
_UNPRICED: Final = ("autoModeConfig", "fargateProfiles", "karpenter", "outpost", "controlPlaneScalingConfig")
_UNPRICED_NODES: Final = ("instanceSelector", "launchTemplate")
_LIKE: Final = "see fixtures/eks/mlops-cluster.yaml"


def plan_of(config: str, *, hours: float, name: str, region: str, tags: Mapping[str, str]) -> Plan:
    """What the cluster of a file would cost.

    Args:
        config: The file, filled in.
        hours: For how long.
        name: That it must have: guards and removal go by it.
        region: Where it must be.
        tags: Those that it must have: without them nobody would know whose it is.

    Raises:
        UsageError: It is none, is of another cluster, or asks for something that has no price.
    """
    try:
        document = _mapping(yaml.safe_load(config), "the file")
        meta = _mapping(document.get("metadata"), "metadata")
        _hold(meta, name, region, tags)
        groups = tuple(
            _nodes(_mapping(one, "a node group"))
            for key in ("managedNodeGroups", "nodeGroups")
            for one in document.get(key) or ()
        )
        nat = _mapping(_mapping(document.get("vpc"), "vpc").get("nat"), "vpc.nat").get("gateway") or _NAT
        zones = len(document.get("availabilityZones") or ()) or _ZONES
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise UsageError(f"the file for eksctl cannot be read: {error}", next_step=_LIKE) from None
    if unpriced := [key for key in _UNPRICED if document.get(key) not in (None, [], {}, {"enabled": False})]:
        raise _no_price(unpriced)
    gateways = {"Disable": 0, "Single": 1}.get(nat, zones)
    version = str(meta.get("version") or "")
    return Plan(hours, version, creates_cluster=True, nodes=groups, nat_gateways=gateways)


def _hold(meta: Mapping[str, Any], name: str, region: str, tags: Mapping[str, str]) -> None:
    there = {str(key): str(value) for key, value in _mapping(meta.get("tags"), "metadata.tags").items()}
    wanted = {"name": name, "region": region, **{f"tag {key}": value for key, value in tags.items()}}
    found = {"name": meta.get("name"), "region": meta.get("region"), **{f"tag {key}": there.get(key) for key in tags}}
    if wrong := {what: str(found[what]) for what in wanted if found[what] != wanted[what]}:
        raise UsageError(
            "the file for eksctl does not make the cluster that was named, or not as the harness's",
            evidence={what: f"{said}, expected {wanted[what]}" for what, said in wrong.items()},
            next_step="take metadata from fixtures/eks/mlops-cluster.yaml as it is, with what is in braces",
        )
    if not meta.get("version"):
        raise UsageError(
            "the file for eksctl names no metadata.version, so its price is not known",
            next_step='write version: "${version}", or a Kubernetes minor in quotes',
        )


def _nodes(group: Mapping[str, Any]) -> Nodes:
    if unpriced := [key for key in _UNPRICED_NODES if group.get(key)]:
        raise _no_price(unpriced)
    sizes = [int(group[key]) for key in ("minSize", "maxSize", "desiredCapacity") if group.get(key) is not None]
    volumes = [group, *(_mapping(one, "a volume") for one in group.get("additionalVolumes") or ())]
    gb = sum(int(one.get("volumeSize") or _NODE_GB) for one in volumes)
    return Nodes(tuple(_types(group)), max(1, *sizes) if sizes else _NODES, gb)


def _types(group: Mapping[str, Any]) -> Iterator[str]:
    of_mixed = _mapping(group.get("instancesDistribution"), "instancesDistribution").get("instanceTypes")
    named = [*(group.get("instanceTypes") or ()), *(of_mixed or ())]
    single = group.get("instanceType")
    # "mixed" stands for the types of instancesDistribution.
    if single and single != "mixed":
        named.append(single)
    yield from map(str, named or (_NODE_TYPE,))


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{what} is no mapping")
    return value


def _no_price(keys: list[str]) -> UsageError:
    return UsageError(
        f"no price is known for {', '.join(keys)} of the file for eksctl",
        next_step="leave it out, or make that cluster yourself and name it without --eks-create",
    )
