"""What `harness eks create` has prepared and nobody has removed past its time, for `harness sweep --target eks`.

Known by its tags alone: the harness's, made for an environment of this cluster, with a time that is over. What is
prepared for good has no such time and is not spoken of; what these credentials may not see is named once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

import boto3

from harness.eks_admin.bucket import Bucket
from harness.eks_admin.plan import ROLE, Asked, Names, journal_of, names, things
from harness.eks_admin.repository import Repository
from harness.eks_admin.role import Role
from harness.eks_admin.things import ENVIRONMENT, NEVER, Found, State, Thing
from harness.eks_settings import Identity
from harness.errors import CleanupFailed, EnvironmentFailed, UsageError
from harness.journal import Journal
from harness.kubeapi import KubeApi
from harness.names import LABEL_EXPIRES, LABEL_OWNER, OWNER
from harness.settings import Settings
from harness.targets.attached.expiry import is_past
from harness.targets.eks import attach
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
        suffixes = ["", *self._of_roles(hidden)]
        seen: set[str] = set()
        while suffixes:
            suffix = suffixes.pop(0)
            if suffix in seen:
                continue
            seen.add(suffix)
            standing = self._standing(suffix, until_end, hidden)
            suffixes += self._told(standing)
            yield from self._judged(standing)

    def _standing(self, suffix: str, until_end: ExitStack, hidden: dict[str, str]) -> list[tuple[Thing, Found | None]]:
        """What an environment may have, each with how it stands, None where nobody can tell, as it is to go.

        The role goes last: by its name are bucket and repositories found.
        """
        listed: dict[tuple[str, str], Thing] = {}
        for one in self._listed(suffix, until_end, hidden):
            listed.setdefault((one.kind, one.name), one)
        standing: list[tuple[Thing, Found | None]] = []
        for thing in sorted(listed.values(), key=lambda one: isinstance(one, Role)):
            found = None
            try:
                found = thing.look()
            except EnvironmentFailed as error:
                hidden[thing.what] = error.message
            standing.append((thing, found))
        return standing

    def _told(self, standing: list[tuple[Thing, Found | None]]) -> Iterator[str]:
        """Suffixes of the environments of this cluster that its things tell of: their roles may be gone."""
        for _, found in standing:
            name, _, suffix = (found.environment if found else "").partition(".")
            if name == self.cluster.name:
                yield suffix

    def _judged(self, standing: list[tuple[Thing, Found | None]]) -> Iterator[Leftover]:
        going: set[str] = set()
        staying: list[str] = []
        for thing, found in standing:
            leftover = None
            if found and found.state is State.OURS and found.expires != NEVER:
                leftover = self._leftover(thing, found, going, staying)
                yield leftover
            if not isinstance(thing, Bucket | Repository):
                continue
            if leftover and leftover.remove:
                going.add(thing.what)
            elif leftover or not found:
                staying.append(thing.what)

    def _leftover(self, thing: Thing, found: Found, going: set[str], staying: list[str]) -> Leftover:
        environment = thing.marks.environment
        of, past = f"{_MADE_BY} made it for {environment}", is_past(found.expires)
        if past is None:
            return Leftover(thing.what, f"{of}, and it does not say until when")
        if not past:
            return Leftover(thing.what, f"{of}, until {found.expires}")
        of = f"{of}, past its time since {found.expires}"
        if self.held:
            return Leftover(thing.what, f"{of}; {self.held}")
        if staying and isinstance(thing, Role):
            return Leftover(thing.what, f"{of}; it goes after {', '.join(staying)}")
        journal = journal_of(self.settings.state_dir, self.cluster.account, self.cluster.region, environment)
        return Leftover(thing.what, of, partial(_remove, thing, journal, going))

    def _listed(self, suffix: str, until_end: ExitStack, hidden: dict[str, str]) -> Iterator[Thing]:
        # With the bucket that is named and the one that there is without a name, by either way to an identity.
        for eks in (self.settings.eks, self.settings.eks.model_copy(update={"bucket": None})):
            for identity in Identity:
                try:
                    named = names(self.cluster, eks, suffix)
                except UsageError:
                    continue  # a role of somebody else's, whose name begins like ours
                try:
                    yield from reversed(self._planned(named, identity, until_end))
                except EnvironmentFailed as error:
                    hidden["the OIDC provider"] = error.message

    def _planned(self, named: Names, identity: Identity, until_end: ExitStack) -> list[Thing]:
        return things(
            self.cluster, named, Asked(identity=identity, may_empty=True), session=self.session, kube=self.kube,
            waiter=self.waiter, until_end=until_end,
        )  # fmt: skip

    def _of_roles(self, hidden: dict[str, str]) -> list[str]:
        """Suffixes of the environments that there may be, by the names of the account's roles."""
        iam = client(self.session, "iam")
        try:
            with explained("list the roles"):
                pages = list(iam.get_paginator("list_roles").paginate())
        except AwsRefused as refused:
            hidden["roles of environments with a suffix"] = refused.message
            return []
        finally:
            iam.close()
        listed = [str(role["RoleName"]) for role in chain.from_iterable(page["Roles"] for page in pages)]
        return [name.removeprefix(f"{ROLE}-") for name in listed if name.startswith(f"{ROLE}-")]

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
    return f"{attach.removed_by(cluster.name, cluster.tags.get(ENVIRONMENT, ''))} --eks-consent"


def _remove(thing: Thing, journal: Journal, going: set[str]) -> None:
    """Remove a thing, a role only after what is `going` before it; what is gone is taken out of that."""
    if isinstance(thing, Role) and going:
        raise CleanupFailed(f"it goes after {', '.join(sorted(going))}")
    thing.remove()
    going.discard(thing.what)
    for entry in journal.open():
        if (entry.kind, entry.name) == (thing.kind, thing.name):
            journal.removed(entry)
