"""The check on what pods of the run tried to reach: a pipeline that calls elsewhere needs it, or tells it something.

Attempts are blocked by the target's packet filter (`harness.targets.egress`), which keeps who tried what. It sees
what is forwarded, so nothing of a pod in the node's own network, nor of a call by a name that does not resolve. A
target without one sees nothing, which is not to be taken for "nobody called".
"""

from __future__ import annotations

from typing import Final

from harness.dvc.case import Case
from harness.dvc.rules import Finding, Rule, counted, cut
from harness.model import BlockedEgress, PodEvidence

NOT_WATCHED: Final = "not watched on this target"
_SHOWN = 3


def _none_outside(case: Case) -> Finding:
    pods = case.evidence.pods
    # The task's own pod first, for that is what a team wrote itself.
    ordered = sorted(pods, key=lambda pod: pod.role != "task")
    tried = [_told(pod, entry) for pod in ordered for entry in pod.blocked]
    unwatched = [_unwatched(pod) for pod in ordered if pod.host_network and pod.ran]
    unnamed = [f"{entry.source} called {entry.target} ({entry.protocol})" for entry in case.evidence.watch.unnamed]
    expected = "no pod of the run tries to leave the cluster"
    found = _found(tried, unwatched, unnamed) or f"none of {counted(len(pods), 'pod')} did"
    if case.expectation.policy.blocked_calls and (tried or unwatched or unnamed):
        what = cut([*tried, *unwatched, *unnamed], _SHOWN)
        return Finding(passed=True, expected="any, by the policy's blocked_calls", found=f"{found}: {what}")
    if tried or unwatched:
        return Finding(False, expected, found, " ".join([*_advice(tried, _NEXT), *_advice(unwatched, _NEXT_UNWATCHED)]))
    if unnamed:
        why = "whether a pod of the run did could not be established, for nobody knows whose address it was"
        return Finding(False, expected, found, f"{why}: {cut(unnamed, _SHOWN)}.", established=False)
    return Finding(True, expected, found)


_NEXT = (
    "If the pipeline needs it, name it in egress_allow; if it may try in vain, say so in the policy's blocked_calls."
)
_NEXT_UNWATCHED = (
    "Nothing there is kept from leaving the cluster, nor seen: take hostNetwork away, or allow any call by the "
    "policy's blocked_calls."
)


def _found(tried: list[str], unwatched: list[str], unnamed: list[str]) -> str:
    parts = [
        f"{counted(len(tried), 'address', 'addresses')} tried, and blocked" if tried else "",
        f"{counted(len(unwatched), 'pod')} not watched" if unwatched else "",
        f"{counted(len(unnamed), 'address', 'addresses')} tried by nobody knows whom, and blocked" if unnamed else "",
    ]
    return "; ".join(part for part in parts if part)


def _advice(what: list[str], advice: str) -> list[str]:
    return [f"{cut(what, _SHOWN)}. {advice}"] if what else []


def _unwatched(pod: PodEvidence) -> str:
    return f"{_whose(pod)} was not watched: pod {pod.name} is in the node's own network"


def _told(pod: PodEvidence, entry: BlockedEgress) -> str:
    return f"{_whose(pod)} called {entry.target} ({entry.protocol}, pod {pod.name})"


def _whose(pod: PodEvidence) -> str:
    return f"task {pod.task_id}" if pod.role == "task" else f"the executor of task {pod.task_id}"


TRAFFIC_RULES: Final = (
    Rule(
        "traffic.none-outside",
        "the run called nobody outside the cluster",
        _none_outside,
        unseen=lambda expectation: "" if expectation.traffic_watched else NOT_WATCHED,
    ),
)
