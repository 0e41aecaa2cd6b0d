"""The check on what pods of the run tried to reach: a pipeline that calls elsewhere needs it, or tells it something.

Attempts are blocked by the target's packet filter (`harness.targets.egress`), which keeps who tried what. A target
without one sees nothing, which is not to be taken for "nobody called".
"""

from __future__ import annotations

from typing import Final

from harness.dvc.case import Case
from harness.dvc.rules import Finding, Rule, counted
from harness.model import BlockedEgress, PodEvidence

NOT_WATCHED: Final = "not watched on this target"
_SHOWN = 3


def _none_outside(case: Case) -> Finding:
    pods = case.evidence.pods
    # The task's own pod first, for that is what a team wrote itself.
    tried = [(pod, entry) for pod in sorted(pods, key=lambda pod: pod.role != "task") for entry in pod.blocked]
    if not tried:
        return Finding(
            passed=True,
            expected="no pod of the run tries to leave the cluster",
            found=f"none of {counted(len(pods), 'pod')} did",
        )
    more = len(tried) - _SHOWN
    told = "; ".join(_told(pod, entry) for pod, entry in tried[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    found = f"{counted(len(tried), 'address', 'addresses')} tried, and blocked"
    if case.expectation.policy.blocked_calls:
        return Finding(passed=True, expected="any, by the policy's blocked_calls", found=f"{found}: {told}")
    return Finding(
        passed=False,
        expected="no pod of the run tries to leave the cluster",
        found=found,
        explanation=f"{told}. If the pipeline needs it, name it in egress_allow; if it may try in vain, say so in the "
        "policy's blocked_calls.",
    )


def _told(pod: PodEvidence, entry: BlockedEgress) -> str:
    whose = f"task {pod.task_id}" if pod.role == "task" else f"the executor of task {pod.task_id}"
    return f"{whose} called {entry.target} ({entry.protocol}, pod {pod.name})"


TRAFFIC_RULES: Final = (
    Rule(
        "traffic.none-outside",
        "the run called nobody outside the cluster",
        _none_outside,
        unseen=lambda expectation: "" if expectation.traffic_watched else NOT_WATCHED,
    ),
)
