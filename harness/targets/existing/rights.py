"""What a run does in a cluster, asked of its API server before the first write: each right that is missing, by name.

What a run does in its two namespaces is much, and more is what its charts and its reaper hand on: nobody may give a
role that they have not themselves. So whoever may everything there is asked once, and anybody else right by right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.targets.attached.claim import NAMESPACES, WEBHOOK
from harness.targets.attached.reaper import groups

_API: Final = "authorization.k8s.io/v1"
_VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
_WEBHOOKS: Final = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations")
_ROLES: Final = "fixtures/eks/cluster-access.yaml"


@dataclass(frozen=True, slots=True)
class Right:
    """To do one thing.

    Attributes:
        verb: Such as "create"; "*" for all.
        resource: Plural name, with a subresource behind a slash or without; "*" for all.
        group: Of its API; empty for the core.
        namespace: Where; empty for what is outside of namespaces.
        name: Of the one object; empty for any.
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def thing(self) -> str:
        """What it is about, such as "deployments.apps", with the name of the one object."""
        return f"{self.resource}{f'.{self.group}' if self.group else ''}{f' {self.name}' if self.name else ''}"

    def review(self) -> Mapping[str, object]:
        """The question whether the caller has it."""
        resource, _, subresource = self.resource.partition("/")
        asked = {"verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource,
                 "namespace": self.namespace, "name": self.name}  # fmt: skip
        return {
            "apiVersion": _API,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }


def check_rights(kube: KubeApi, context: str) -> None:
    """Hold the caller to have every right that a run needs, and the namespaces to be there or theirs to make.

    Args:
        kube: The cluster.
        context: Its name, for the reader.

    Raises:
        EnvironmentFailed: Some are missing; names each.
        KubeUnavailable: The server does not answer.
    """
    missing = _missing(kube, _outside())
    if not missing:
        # Only who may ask can know which of the two are to be made.
        absent = [name for name in NAMESPACES if kube.get("Namespace", name) is None]
        missing = _missing(kube, _making(absent))
    for namespace in NAMESPACES:
        if not _allowed(kube, Right("*", "*", "*", namespace)):
            missing += _missing(kube, _inside(namespace))
    if missing:
        places = dict.fromkeys(one.namespace for one in missing)
        raise EnvironmentFailed(
            f"the user of the context {context} may not do all that a run does",
            evidence={
                f"not allowed {f'in namespace {place}' if place else 'in the cluster'}": _listed(
                    [one for one in missing if one.namespace == place]
                )
                for place in places
            },
            next_step=f"have these rights given ({_ROLES} has roles that do), or name another context",
        )


def _listed(rights: Iterable[Right]) -> str:
    """For the reader: things about which the same is missing stand together, each by name."""
    verbs: dict[str, list[str]] = {}
    for one in rights:
        verbs.setdefault(one.thing, []).append(one.verb)
    things: dict[str, list[str]] = {}
    for thing, missing in verbs.items():
        things.setdefault(", ".join(missing), []).append(thing)
    return "; ".join(f"{which} {', '.join(about)}" for which, about in things.items())


def _outside() -> Iterator[Right]:
    for namespace in NAMESPACES:
        yield Right("get", "namespaces", name=namespace)
        yield Right("patch", "namespaces", name=namespace)
    yield Right("get", "serviceaccounts", namespace="default", name="default")
    yield Right("list", "nodes")
    yield Right("list", "persistentvolumes")
    yield Right("list", "storageclasses", "storage.k8s.io")
    group, resource = _WEBHOOKS
    yield Right("create", resource, group)
    for verb in ("get", "patch", "delete"):
        yield Right(verb, resource, group, name=WEBHOOK)


def _making(absent: Iterable[str]) -> Iterator[Right]:
    for name in absent:
        yield Right("create", "namespaces")
        yield Right("delete", "namespaces", name=name)


def _inside(namespace: str) -> Iterator[Right]:
    for group, plurals in groups().items():
        for plural in plurals:
            for verb in _VERBS:
                yield Right(verb, plural, group, namespace)
    yield Right("get", "pods/log", namespace=namespace)
    yield Right("list", "events", namespace=namespace)
    yield Right("list", "endpointslices", "discovery.k8s.io", namespace)
    for verb in ("get", "create"):  # by web sockets the one, by SPDY the other
        yield Right(verb, "pods/exec", namespace=namespace)
        yield Right(verb, "pods/portforward", namespace=namespace)


def _missing(kube: KubeApi, rights: Iterable[Right]) -> list[Right]:
    return [one for one in dict.fromkeys(rights) if not _allowed(kube, one)]


def _allowed(kube: KubeApi, right: Right) -> bool:
    return bool((kube.create(right.review()).get("status") or {}).get("allowed"))
