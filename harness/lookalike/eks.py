"""EKS: the cluster as it is described, its add-ons, access entries, associations, and tags of them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from harness.lookalike.associations import Associations
from harness.lookalike.errors import AwsError
from harness.lookalike.iam import Iam
from harness.lookalike.principals import Principal
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, Service, page, tag_context

_ADDON_ID: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class Cluster:
    """A cluster that stands for one of EKS.

    Attributes:
        endpoint: Of its API server.
        authority: PEM certificate that signed the API server's.
        issuer: OIDC issuer of its service account tokens.
        auto_mode: Whether it says that it is of EKS Auto Mode.
        addons: Version by name of the add-ons that are there, each ACTIVE.
    """

    name: str
    endpoint: str
    authority: str
    created: datetime
    version: str = "1.34"
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    status: str = "ACTIVE"
    tags: dict[str, str] = field(default_factory=dict)
    auto_mode: bool = False
    addons: dict[str, str] = field(default_factory=lambda: {"eks-pod-identity-agent": "v1.3.10-eksbuild.1"})

    def retag(self, tags: Mapping[str, str]) -> None:
        """Give it these tags and no others."""
        self.tags = dict(tags)


@dataclass(slots=True)
class AccessEntry:
    """Who a principal of IAM is in a cluster.

    Attributes:
        principal_arn: Of a role or user.
        username: With `{{SessionName}}` where a role's session is to be named; empty for the ARN itself.
        groups: In Kubernetes.
    """

    principal_arn: str
    username: str
    groups: tuple[str, ...]
    created: datetime


class Eks(Service):
    """The service."""

    name = "eks"

    def __init__(self, account: Account, iam: Iam) -> None:
        self._account = account
        self._iam = iam
        self._clusters: dict[str, Cluster] = {}
        self._entries: dict[tuple[str, str], AccessEntry] = {}
        self.associations = Associations(account, iam)
        self.operations = {
            **self.associations.operations(self.cluster),
            "DescribeCluster": Operation(
                lambda _c, q: {"cluster": self._described(self.cluster(q["name"]))},
                lambda q: [Check("eks:DescribeCluster", self.arn(q["name"]), self._resource_tags(self.arn(q["name"])))],
            ),
            "ListClusters": Operation(self._list, lambda _q: [Check("eks:ListClusters", self.arn("*"))]),
            "DescribeAddon": Operation(self._addon, self._on_addon("DescribeAddon")),
            "ListAddons": Operation(
                lambda _c, q: {"addons": sorted(self.cluster(q["clusterName"]).addons)},
                lambda q: [Check("eks:ListAddons", self.arn(q["clusterName"]))],
            ),
            "CreateAccessEntry": Operation(self._create_entry, self._on_cluster("CreateAccessEntry")),
            "DescribeAccessEntry": Operation(
                lambda _c, q: {"accessEntry": self._entry_described(q["clusterName"], self._entry(q))},
                self._on_cluster("DescribeAccessEntry"),
            ),
            "ListAccessEntries": Operation(self._list_entries, self._on_cluster("ListAccessEntries")),
            "DeleteAccessEntry": Operation(self._delete_entry, self._on_cluster("DeleteAccessEntry")),
            "ListTagsForResource": Operation(
                lambda _c, q: {"tags": dict(self._tags(q["resourceArn"])[0])}, self._on_tags("ListTagsForResource")
            ),
            "TagResource": Operation(self._tag, self._on_tags("TagResource")),
            "UntagResource": Operation(self._untag, self._on_tags("UntagResource")),
        }

    def arn(self, cluster: str) -> str:
        """Of a cluster."""
        return self._account.arn("eks", f"cluster/{cluster}")

    def add_cluster(self, cluster: Cluster) -> None:
        """Make a cluster known; the look-alike creates none."""
        self._clusters[cluster.name] = cluster

    def remove_cluster(self, name: str) -> None:
        """Make a cluster unknown; one that is not known is passed over."""
        self._clusters.pop(name, None)

    def cluster(self, name: str) -> Cluster:
        """A cluster by name.

        Raises:
            AwsError: There is none.
        """
        if (cluster := self._clusters.get(name)) is None:
            message = f"No cluster found for name: {name}."
            raise AwsError("ResourceNotFoundException", message, status=404)
        return cluster

    def of_issuer(self, url: str) -> Cluster | None:
        """The cluster that issues tokens under that URL."""
        return next((cluster for cluster in self._clusters.values() if cluster.issuer == url), None)

    def access_entry(self, cluster: str, principal_arn: str) -> AccessEntry | None:
        """Who a role or user is in a cluster; None for nobody."""
        return self._entries.get((cluster, principal_arn))

    def _described(self, cluster: Cluster) -> Output:
        return {
            "name": cluster.name,
            "arn": self.arn(cluster.name),
            "createdAt": cluster.created,
            "version": cluster.version,
            "endpoint": cluster.endpoint,
            "roleArn": self._account.arn("iam", "role/eks-cluster-role"),
            "resourcesVpcConfig": {"subnetIds": [], "securityGroupIds": [], "endpointPublicAccess": True},
            "identity": {"oidc": {"issuer": cluster.issuer}},
            "status": cluster.status,
            "certificateAuthority": {"data": base64.b64encode(cluster.authority.encode()).decode()},
            "platformVersion": "eks.1",
            "tags": dict(cluster.tags),
            "health": {"issues": []},
            "accessConfig": {"authenticationMode": "API"},
            "computeConfig": {"enabled": cluster.auto_mode},
        }

    def _list(self, _caller: Principal, q: Parameters) -> Output:
        items, following = page(sorted(self._clusters), size=q.get("maxResults"), token=q.get("nextToken"))
        return {"clusters": items, **({"nextToken": following} if following else {})}

    def _addon(self, _caller: Principal, q: Parameters) -> Output:
        cluster = self.cluster(q["clusterName"])
        name = q["addonName"]
        if name not in cluster.addons:
            message = f"No addon: {name} found in cluster: {cluster.name}"
            raise AwsError("ResourceNotFoundException", message, status=404, members={"addonName": name})
        return {
            "addon": {
                "addonName": name, "clusterName": cluster.name, "status": "ACTIVE",
                "addonVersion": cluster.addons[name], "health": {"issues": []}, "createdAt": cluster.created,
                "addonArn": self._account.arn("eks", f"addon/{cluster.name}/{name}/{_ADDON_ID}"),
            }
        }  # fmt: skip

    def _on_addon(self, operation: str) -> Callable[[Parameters], Sequence[Check]]:
        return lambda q: [
            Check(f"eks:{operation}", self._account.arn("eks", f"addon/{q['clusterName']}/{q['addonName']}/*"))
        ]

    def _on_cluster(self, operation: str) -> Callable[[Parameters], Sequence[Check]]:
        return lambda q: [Check(f"eks:{operation}", self.arn(q["clusterName"]))]

    def _create_entry(self, _caller: Principal, q: Parameters) -> Output:
        key = (self.cluster(q["clusterName"]).name, q["principalArn"])
        if key in self._entries:
            message = "The specified access entry resource is already in use on this cluster."
            raise AwsError("ResourceInUseException", message, status=409)
        entry = AccessEntry(
            q["principalArn"], q.get("username", ""), tuple(q.get("kubernetesGroups", ())), self._account.moment()
        )
        self._entries[key] = entry
        return {"accessEntry": self._entry_described(q["clusterName"], entry)}

    def _entry(self, q: Parameters) -> AccessEntry:
        entry = self._entries.get((self.cluster(q["clusterName"]).name, q["principalArn"]))
        if entry is None:
            message = f"The specified principalArn could not be found: {q['principalArn']}."
            raise AwsError("ResourceNotFoundException", message, status=404)
        return entry

    def _entry_described(self, cluster: str, entry: AccessEntry) -> Output:
        return {
            "clusterName": cluster, "principalArn": entry.principal_arn, "kubernetesGroups": list(entry.groups),
            "username": entry.username or entry.principal_arn, "type": "STANDARD", "createdAt": entry.created,
        }  # fmt: skip

    def _list_entries(self, _caller: Principal, q: Parameters) -> Output:
        cluster = self.cluster(q["clusterName"]).name
        found = sorted(principal for of, principal in self._entries if of == cluster)
        items, following = page(found, size=q.get("maxResults"), token=q.get("nextToken"))
        return {"accessEntries": items, **({"nextToken": following} if following else {})}

    def _delete_entry(self, _caller: Principal, q: Parameters) -> Output:
        del self._entries[q["clusterName"], self._entry(q).principal_arn]
        return {}

    def _tags(self, arn: str) -> tuple[Mapping[str, str], Callable[[Mapping[str, str]], None]]:
        """Tags of a thing, and how to set them."""
        for cluster in self._clusters.values():
            if self.arn(cluster.name) == arn:
                return cluster.tags, cluster.retag
        if (association := self.associations.by_arn(arn)) is not None:
            return association.tags, lambda tags: self.associations.retag(association, tags)
        raise AwsError("NotFoundException", f"No resource found for ARN {arn}", status=404)

    def _resource_tags(self, arn: str) -> dict[str, Any]:
        try:
            return tag_context(self._tags(arn)[0], "aws:ResourceTag")
        except AwsError:
            return {}  # no such thing: the handler says so, after the policies were asked

    def _on_tags(self, operation: str) -> Callable[[Parameters], Sequence[Check]]:
        def checks(q: Parameters) -> Sequence[Check]:
            context = self._resource_tags(q["resourceArn"]) | tag_context(q.get("tags", {}))
            return [Check(f"eks:{operation}", q["resourceArn"], context)]

        return checks

    def _tag(self, _caller: Principal, q: Parameters) -> Output:
        tags, put = self._tags(q["resourceArn"])
        put({**tags, **q["tags"]})
        return {}

    def _untag(self, _caller: Principal, q: Parameters) -> Output:
        tags, put = self._tags(q["resourceArn"])
        put({name: value for name, value in tags.items() if name not in q["tagKeys"]})
        return {}
