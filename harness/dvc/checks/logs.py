"""The check on what the run's pods wrote: a secret in a log is a secret that others can read.

It sees the logs of every pod of the run, the executor's too, which hold the task's log again. Only secrets of this run
count, in any form that the redactor knows; what merely looks like one is masked, and judged by nobody. A log that could
not be read to its end proves nothing, so without a secret elsewhere the question stays open.
"""

from __future__ import annotations

from typing import Final

from harness.dvc.case import Case
from harness.dvc.rules import Finding, Rule, counted, cut
from harness.model import Leak, PodEvidence

_SHOWN = 3


def _no_secrets(case: Case) -> Finding:
    pods = case.evidence.pods
    # The task's own pod first: the executor's log only repeats it.
    leaks = [(pod, leak) for pod in sorted(pods, key=lambda pod: pod.role != "task") for leak in pod.leaks]
    expected = "no secret in the logs of the run's pods"
    if not leaks:
        unread = [f"pod {pod.name} ({pod.task_id}), container {what}" for pod in pods for what in pod.unread]
        if unread:
            return Finding(
                passed=False,
                expected=expected,
                found=f"none in what was read; {counted(len(unread), 'log')} not read to the end",
                explanation="whether a secret stands in a log could not be established, for not all of them could be "
                f"read: {cut(unread, _SHOWN)}.",
                established=False,
            )
        return Finding(passed=True, expected=expected, found=f"none in those of {counted(len(pods), 'pod')}")
    told = cut([_told(pod, leak) for pod, leak in leaks], _SHOWN)
    found = counted(sum(leak.lines for _pod, leak in leaks), "line") + " with one"
    return Finding(False, expected, found, f"a secret of this run can be read by whoever may read logs: {told}.")


def _told(pod: PodEvidence, leak: Leak) -> str:
    where = f"line {leak.first}" if leak.lines == 1 else f"{leak.lines} lines, from line {leak.first} on"
    log = f"the log of task {pod.task_id}" if pod.role == "task" else f"the executor's log of task {pod.task_id}"
    return f"it stands in {log} (pod {pod.name}, container {leak.container}, {where})"


LOG_RULES: Final = (Rule("logs.no-secrets", "no secret of this run stands in a log", _no_secrets),)
