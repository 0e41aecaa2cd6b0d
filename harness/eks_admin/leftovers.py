"""What `harness eks create` has prepared and nobody has removed past its time, for `harness sweep --target eks`.

Known by its tags alone: the harness's, made for an environment of this cluster, with a time that is over. What is
prepared for good has no such time and is not spoken of; what these credentials may not see is named once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

import boto3

from harness.eks_admin.plan import ROLE, Asked, Names, journal_of, names, things
from harness.eks_admin.things import ENVIRONMENT, NEVER, Found, State, Thing
from harness.eks_settings import Identity
from harness.errors import EnvironmentFailed, UsageError
from harness.journal import Journal
from harness.kubeapi import KubeApi
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, LABEL_EXPIRES, LABEL_OWNER, OWNER
from harness.settings import Settings
from harness.targets.attached.claim import NAMESPACES
from harness.targets.attached.expiry import is_past
from harness.targets.eks.attach import EksCluster
from harness.targets.eks.aws import AwsRefused, client, explained
from harness.targets.eks.leftovers import Leftover
from harness.wait import Waiter

_MADE_BY: Final = "harness eks create"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Looks for what was prepared for a cluster.

    Attributes:
        settings: Where journals are, and which bucket is named.
        cluster: The cluster.
        session: Whose.
        kube: The cluster's API.
        waiter: How patient to be with what goes slowly.
        held: Why nothing of it may go, such as a run that is using it; empty if nothing is against it.
    """

    settings: Settings
    cluster: EksCluster
    session: boto3.Session
    kube: KubeApi
    waiter: Waiter
    held: str

    def found(self, until_end: ExitStack) -> list[Leftover]:
        """What is past its time, in the order in which it is to go, and what nobody can tell of.

        Args:
            until_end: Closes the clients, when all is removed.

        Raises:
            EnvironmentFailed: The cluster or AWS does not answer.
        """
        hidden: dict[str, str] = {}
        found = [*self._things(until_end, hidden), *self._cluster()]
        if hidden:
            what, why = ", ".join(hidden), next(iter(hidden.values()))
            found.append(Leftover(f"what {_MADE_BY} may have prepared", f"these cannot be seen: {what}; {why}"))
        return found

    def _things(self, until_end: ExitStack, hidden: dict[str, str]) -> Iterator[Leftover]:
        # Of one environment: the association and what is in the cluster have the same names in all.
        seen: set[tuple[str, str, str]] = set()
        for suffix in self._suffixes(hidden):
            for named, listed in self._environment(suffix, until_end, hidden):
                for thing in reversed(listed):
                    key = (named.environment, thing.kind, thing.name)
                    if key in seen:
                        continue
                    seen.add(key)
                    try:
                        found = thing.look()
                    except EnvironmentFailed as error:
                        hidden[thing.what] = error.message
                        continue
                    yield from self._judged(thing, found, named)

    def _judged(self, thing: Thing, found: Found, named: Names) -> Iterator[Leftover]:
        if found.state is not State.OURS or found.expires == NEVER:
            return
        of, past = f"{_MADE_BY} made it for {named.environment}", is_past(found.expires)
        if past is None:
            yield Leftover(thing.what, f"{of}, and it does not say until when")
        elif not past:
            yield Leftover(thing.what, f"{of}, until {found.expires}")
        elif self.held:
            yield Leftover(thing.what, f"{of}, past its time since {found.expires}; {self.held}")
        else:
            remove = partial(
                _remove, thing, journal_of(self.settings.state_dir, self.cluster.region, named.environment)
            )
            yield Leftover(thing.what, f"{of}, past its time since {found.expires}", remove)

    def _environment(
        self, suffix: str, until_end: ExitStack, hidden: dict[str, str]
    ) -> Iterator[tuple[Names, list[Thing]]]:
        # With the bucket that is named and the one that there is without a name, by either way to an identity.
        for eks in (self.settings.eks, self.settings.eks.model_copy(update={"bucket": None})):
            for identity in Identity:
                try:
                    named = names(self.cluster, eks, suffix)
                except UsageError:
                    continue  # a role of somebody else's, whose name begins like ours
                try:
                    yield named, self._planned(named, identity, until_end)
                except EnvironmentFailed as error:
                    hidden["the OIDC provider"] = error.message

    def _planned(self, named: Names, identity: Identity, until_end: ExitStack) -> list[Thing]:
        return things(
            self.cluster, named, Asked(identity=identity, may_empty=True), session=self.session, kube=self.kube,
            waiter=self.waiter, until_end=until_end,
        )  # fmt: skip

    def _suffixes(self, hidden: dict[str, str]) -> list[str]:
        """Those of the environments that there may be: by the roles' names, and by what the cluster's objects say."""
        found = {"": None}
        try:
            found |= dict.fromkeys(self._of_roles())
        except AwsRefused as refused:
            hidden["roles of environments with a suffix"] = refused.message
        for environment in self._of_objects():
            name, _, suffix = environment.partition(".")
            if name == self.cluster.name:
                found[suffix] = None
        return list(found)

    def _of_roles(self) -> Iterator[str]:
        iam = client(self.session, "iam")
        try:
            with explained("list the roles"):
                pages = list(iam.get_paginator("list_roles").paginate())
        finally:
            iam.close()
        for role in chain.from_iterable(page["Roles"] for page in pages):
            if role["RoleName"].startswith(f"{ROLE}-"):
                yield role["RoleName"].removeprefix(f"{ROLE}-")

    def _of_objects(self) -> Iterator[str]:
        account = self.kube.get("ServiceAccount", DVC_SERVICE_ACCOUNT, AIRFLOW_NAMESPACE)
        for one in (*(self.kube.get("Namespace", name) for name in NAMESPACES), account):
            labels: Mapping[str, str] = ((one or {}).get("metadata") or {}).get("labels") or {}
            yield labels.get(ENVIRONMENT, "")

    def _cluster(self) -> Iterator[Leftover]:
        tags, name = self.cluster.tags, self.cluster.name
        expires = tags.get(LABEL_EXPIRES, NEVER)
        if tags.get(LABEL_OWNER) == OWNER and tags.get(ENVIRONMENT, "").partition(".")[0] == name and is_past(expires):
            # Not removed here: eksctl is not where sweeps are, and with a cluster goes what else somebody has in it.
            command = removed_by(self.cluster)
            why = f"{_MADE_BY} made it, past its time since {expires}: {command} removes it"
            yield Leftover(f"cluster {name}", why, by_hand=command)


def removed_by(cluster: EksCluster) -> str:
    """The command that removes a cluster of ours, with the suffix of its environment."""
    suffix = cluster.tags.get(ENVIRONMENT, "").partition(".")[2]
    more = f" --suffix {suffix}" if suffix else ""
    return f"harness eks delete --eks-cluster {cluster.name}{more} --eks-consent"


def _remove(thing: Thing, journal: Journal) -> None:
    thing.remove()
    for entry in journal.open():
        if (entry.kind, entry.name) == (thing.kind, thing.name):
            journal.removed(entry)
