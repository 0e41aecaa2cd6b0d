"""What runs have left in an EKS cluster and its bucket, by what it says of itself; and its removal.

Asked by whoever has no journal of it: another machine, a nightly job. What may go says that it is the harness's, whose
it is, and that its time is past. All else stays, and is named with the reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import boto3

from harness.kubeapi import KubeApi
from harness.names import LABEL_EXPIRES, LABEL_OWNER, LABEL_RUN, OWNER, SERVICES_NAMESPACE
from harness.targets.attached.claim import NAME, NAMESPACES, WEBHOOK, Claim
from harness.targets.attached.expiry import is_past
from harness.targets.eks.aws import AwsRefused
from harness.targets.eks.bucket import check_owner, claimed, remove_claim
from harness.targets.eks.prefix import empty
from harness.wait import Waiter

_LOST: Final = frozenset({"Released", "Failed"})
_NO_BUCKET: Final = "NoSuchBucket"
_WEBHOOKS: Final = "MutatingWebhookConfiguration"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that is there.

    Attributes:
        what: It, for the reader.
        why: Whose it is, and why it may go or stays.
        remove: Removes it; None for what stays.
        by_hand: Command that removes what costs until somebody does; empty for all else.
    """

    what: str
    why: str
    remove: Callable[[], object] | None = field(default=None, repr=False)
    by_hand: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """Looks for what was left.

    Attributes:
        kube: The cluster.
        session: Whose.
        bucket: The bucket.
        root: Of the harness's keys in it, with a slash at its end or empty.
        accounts: Those that may be written to; the bucket is of one of them.
        known: Runs that this machine knows, with what removes what is theirs.
        waiter: How patient to be with what goes slowly.
    """

    kube: KubeApi
    session: boto3.Session
    bucket: str
    root: str
    accounts: tuple[str, ...]
    known: Mapping[str, str]
    waiter: Waiter

    def found(self) -> list[Leftover]:
        """All that there is, in the order in which it is to go.

        Raises:
            EnvironmentFailed: The cluster or AWS does not say.
        """
        holder = self._holder()
        return [*self._namespaces(holder), *self._webhook(holder), *self._volumes(), *self._keys(holder)]

    def held(self) -> str:
        """Why nothing may be taken from under the cluster's runs: one has it, or this machine knows one; else empty.

        Raises:
            EnvironmentFailed: The cluster does not say.
        """
        run, expires = _said(holder := self._holder())
        if not holder or (run not in self.known and is_past(expires)):
            return ""
        return f"run {run or 'unknown'} has the cluster"

    def _holder(self) -> Mapping[str, Any]:
        """The claim; nothing where there is none."""
        return self.kube.get("ConfigMap", NAME, SERVICES_NAMESPACE) or {}

    def _namespaces(self, holder: Mapping[str, Any]) -> Iterator[Leftover]:
        run, expires = _said(holder)
        if holder:
            what = f"the claim on the namespaces {' and '.join(NAMESPACES)}"
            if _label(holder, LABEL_OWNER) != OWNER or not run or not _readable(holder):
                yield Leftover(what, "it is not such as the harness writes it")
            else:
                yield self._claimed(run, expires)
        others: dict[str, str] = {}
        for name in NAMESPACES:
            found = self.kube.get("Namespace", name)
            if found is None:
                continue
            if _label(found, LABEL_OWNER) != OWNER:
                yield Leftover(f"namespace {name}", f"it is not the harness's: it has no label {LABEL_OWNER}={OWNER}")
            elif (made_by := _label(found, LABEL_RUN)) and made_by != run:
                others[made_by] = _label(found, LABEL_EXPIRES)
        for other, past in others.items():
            yield self._claimed(other, past)

    def _claimed(self, run: str, expires: str) -> Leftover:
        claim = Claim(self.kube, run)
        what = f"what run {run} made in the cluster: {_counted(claim.would_remove())}"
        return self._judged(what, run, expires, partial(claim.remove, self.waiter))

    def _webhook(self, holder: Mapping[str, Any]) -> Iterator[Leftover]:
        found = self.kube.get(_WEBHOOKS, WEBHOOK)
        if found is None:
            return
        what, run = f"webhook {WEBHOOK}", _label(found, LABEL_RUN)
        if _label(found, LABEL_OWNER) != OWNER:
            yield Leftover(what, f"it is not the harness's: it has no label {LABEL_OWNER}={OWNER}")
        elif holder and run in {"", _said(holder)[0]}:
            return  # it goes, or stays, with the claim
        elif not run:
            yield Leftover(what, "nothing says which run's it is")
        else:
            yield self._judged(what, run, _label(found, LABEL_EXPIRES), partial(self.kube.delete, _WEBHOOKS, WEBHOOK))

    def _volumes(self) -> Iterator[Leftover]:
        for one in self.kube.list("PersistentVolume"):
            claim = (one.get("spec") or {}).get("claimRef") or {}
            phase = (one.get("status") or {}).get("phase")
            if claim.get("namespace") in NAMESPACES and phase in _LOST:
                of = f"{claim['namespace']}/{claim.get('name')}"
                why = f"it is {phase}: its claim {of} is gone, and its driver keeps it"
                yield Leftover(f"volume {one['metadata']['name']}", why)

    def _keys(self, holder: Mapping[str, Any]) -> Iterator[Leftover]:
        run, expires = _said(holder)
        try:
            check_owner(self.session, self.bucket, self.root, self.accounts)
            found = claimed(self.session, self.bucket, self.root)
        except AwsRefused as refused:
            if refused.code != _NO_BUCKET:
                raise
            # One that was prepared and is swept; or nobody's.
            yield Leftover(f"s3://{self.bucket}/", "there is no such bucket")
            return
        for prefix, claim in found.items():
            what = f"s3://{self.bucket}/{prefix}"
            if isinstance(claim, AwsRefused):
                yield Leftover(what, f"what says whose it is cannot be seen: {claim.message}")
            elif claim is None:
                yield Leftover(what, "nothing says whose it is, or since when it is left behind")
            elif claim.run == run and is_past(expires) is False:
                yield Leftover(what, f"run {run} has the cluster until {expires}")
            else:
                yield self._judged(what, claim.run, claim.expires, partial(self._empty, prefix))

    def _empty(self, prefix: str) -> None:
        empty(self.session, self.bucket, prefix)
        remove_claim(self.session, self.bucket, prefix)

    def _judged(self, what: str, run: str, expires: str, remove: Callable[[], object]) -> Leftover:
        if run in self.known:
            return Leftover(what, f"run {run} is this machine's: {self.known[run]}")
        past = is_past(expires)
        if past is None:
            return Leftover(what, f"run {run} does not say when it is past its time")
        if not past:
            return Leftover(what, f"run {run} has it until {expires}")
        return Leftover(what, f"run {run}, past its time since {expires}", remove)


def _said(holder: Mapping[str, Any]) -> tuple[str, str]:
    data = holder.get("data") or {}
    return str(data.get("run") or ""), str(data.get("expires") or "")


def _readable(holder: Mapping[str, Any]) -> bool:
    """Whether a claim says what was there before it: without that nobody knows what may go."""
    try:
        before = json.loads(holder["data"]["before"])
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(before, dict) and all(isinstance(names, list) for names in before.values())


def _counted(things: list[str]) -> str:
    """Namespaces by name, objects by how many there are of each kind."""
    namespaces = [one for one in things if one.startswith("namespace ")]
    kinds = Counter(one.partition("/")[2].partition("/")[0] for one in things if one not in namespaces)
    return ", ".join([*namespaces, *(f"{count} {kind}" for kind, count in sorted(kinds.items()))]) or "nothing else"


def _label(found: Mapping[str, Any], name: str) -> str:
    return str((found["metadata"].get("labels") or {}).get(name) or "")
