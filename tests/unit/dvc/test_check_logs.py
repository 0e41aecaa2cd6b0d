"""What the check on the pods' logs tells, word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.dvc import judge
from harness.model import Leak, PodEvidence

from .conftest import Facts, Told, given, told

NONE = "no secret in the logs of the run's pods"
READ = "a secret of this run can be read by whoever may read logs: it stands in "


def leaking(**leaks: tuple[Leak, ...]) -> Facts:
    """All pods, those of this name with "-" for "_" leaking."""

    def pod(one: PodEvidence) -> PodEvidence:
        return replace(one, leaks=leaks.get(one.name.replace("-", "_"), ()))

    return given(pods=tuple(pod(one) for one in given()[1].pods))


def unread(why: str, *roles: str, **leaks: tuple[Leak, ...]) -> Facts:
    """The same, and of no pod (of these roles) the log of its main container was read to its end."""
    expectation, evidence = leaking(**leaks)
    pods = (replace(pod, unread=(f"base: {why}",)) if not roles or pod.role in roles else pod for pod in evidence.pods)
    return expectation, replace(evidence, pods=tuple(pods))


ROWS: dict[str, tuple[Facts, Told]] = {
    "none": (given(), (True, NONE, "none in those of 6 pods", "")),
    "no pods, which is another check's question": (given(pods=()), (True, NONE, "none in those of 0 pods", "")),
    "some could not be read": (
        unread("gone with its pod"),
        (False, NONE, "none in what was read; 6 logs not read to the end",
         ("whether a secret stands in a log could not be established, for not all of them could be read: "
          "pod pull_data-executor (pull_data), container base: gone with its pod; "
          "pod modify_data-executor (modify_data), container base: gone with its pod; "
          "pod push_data-executor (push_data), container base: gone with its pod; and 3 more.")),
    ),
    "three could not be read, all of which are shown": (
        unread("gone with its pod", "task"),
        (False, NONE, "none in what was read; 3 logs not read to the end",
         ("whether a secret stands in a log could not be established, for not all of them could be read: "
          "pod pull_data-task (pull_data), container base: gone with its pod; "
          "pod modify_data-task (modify_data), container base: gone with its pod; "
          "pod push_data-task (push_data), container base: gone with its pod.")),
    ),
    "what was read is enough to be red": (
        unread("gone with its pod", pull_data_task=(Leak("base", 1, 7),)),
        (False, NONE, "1 line with one",
         f"{READ}the log of task pull_data (pod pull_data-task, container base, line 7)."),
    ),
    "one line": (
        leaking(pull_data_task=(Leak("base", 1, 7),)),
        (False, NONE, "1 line with one",
         f"{READ}the log of task pull_data (pod pull_data-task, container base, line 7)."),
    ),
    "the task's own pod before the executor's": (
        leaking(pull_data_executor=(Leak("base", 2, 30),), pull_data_task=(Leak("base", 2, 7),)),
        (False, NONE, "4 lines with one",
         (f"{READ}the log of task pull_data (pod pull_data-task, container base, 2 lines, from line 7 on); "
          "it stands in the executor's log of task pull_data (pod pull_data-executor, container base, "
          "2 lines, from line 30 on).")),
    ),
    "three are shown": (
        leaking(push_data_task=(Leak("a", 1, 1), Leak("b", 1, 2), Leak("c", 1, 3))),
        (False, NONE, "3 lines with one",
         (f"{READ}the log of task push_data (pod push_data-task, container a, line 1); "
          "it stands in the log of task push_data (pod push_data-task, container b, line 2); "
          "it stands in the log of task push_data (pod push_data-task, container c, line 3).")),
    ),
    "a fourth is counted": (
        leaking(push_data_task=(Leak("a", 1, 1), Leak("b", 1, 2), Leak("c", 1, 3), Leak("d", 1, 4))),
        (False, NONE, "4 lines with one",
         (f"{READ}the log of task push_data (pod push_data-task, container a, line 1); "
          "it stands in the log of task push_data (pod push_data-task, container b, line 2); "
          "it stands in the log of task push_data (pod push_data-task, container c, line 3); and 1 more.")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_the_check_tells_whose_log_holds_a_secret_and_where(what: str) -> None:
    facts, expected = ROWS[what]
    assert told("logs.no-secrets", facts) == expected


def test_a_log_that_could_not_be_read_makes_no_run_red_and_none_green() -> None:
    verdict = judge(*unread("gone with its pod"))
    assert [check.id for check in verdict.undecided] == ["logs.no-secrets"]
    assert not verdict.green
