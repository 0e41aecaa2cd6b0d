"""What the check on attempts to leave the cluster tells, word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.dvc import judge
from harness.model import BlockedEgress, PodEvidence, Watch

from .conftest import Facts, Told, given, told

NONE = "no pod of the run tries to leave the cluster"
NEXT = (
    ". If the pipeline needs it, name it in egress_allow; if it may try in vain, say so in the policy's blocked_calls."
)


def call(number: int, port: int | None = 443, protocol: str = "tcp") -> BlockedEgress:
    return BlockedEgress("10.244.0.9", f"192.0.2.{number}", protocol, port, 2)


def calling(*, policy: bool = False, **calls: tuple[BlockedEgress, ...]) -> Facts:
    """All pods, those of this name with "-" for "_" calling."""

    def pod(one: PodEvidence) -> PodEvidence:
        return replace(one, blocked=calls.get(one.name.replace("-", "_"), ()))

    return given(pods=tuple(pod(one) for one in given()[1].pods), policy={"blocked_calls": policy})


def on_node(name: str, *, ran: bool = True, policy: bool = False, **calls: tuple[BlockedEgress, ...]) -> Facts:
    """The same, one pod in the node's own network."""
    expectation, evidence = calling(policy=policy, **calls)
    pods = (replace(pod, host_network=pod.name == name, ran=ran) for pod in evidence.pods)
    return expectation, replace(evidence, pods=tuple(pods))


PULL_UNWATCHED = "task pull_data was not watched: pod pull_data-task is in the node's own network"
UNWATCHED = (
    "Nothing there is kept from leaving the cluster, nor seen: take hostNetwork away, or allow any call by the "
    "policy's blocked_calls."
)
PULL = "task pull_data called 192.0.2.1:443 (tcp, pod pull_data-task)"
ROWS: dict[str, tuple[Facts, Told]] = {
    "none": (given(), (True, NONE, "none of 6 pods did", "")),
    "no pods, which is another check's question": (given(pods=()), (True, NONE, "none of 0 pods did", "")),
    "one": (calling(pull_data_task=(call(1),)), (False, NONE, "1 address tried, and blocked", f"{PULL}{NEXT}")),
    "by a protocol without ports": (
        calling(pull_data_task=(call(1, None, "icmp"),)),
        (False, NONE, "1 address tried, and blocked",
         f"task pull_data called 192.0.2.1 (icmp, pod pull_data-task){NEXT}"),
    ),
    "the task's own pod before the executor's": (
        calling(pull_data_executor=(call(2),), pull_data_task=(call(1),)),
        (False, NONE, "2 addresses tried, and blocked",
         (f"{PULL}; the executor of task pull_data called 192.0.2.2:443 (tcp, pod pull_data-executor){NEXT}")),
    ),
    "three are shown, a fourth is counted": (
        calling(push_data_task=(call(1), call(2), call(3), call(4))),
        (False, NONE, "4 addresses tried, and blocked",
         ("task push_data called 192.0.2.1:443 (tcp, pod push_data-task); "
          "task push_data called 192.0.2.2:443 (tcp, pod push_data-task); "
          f"task push_data called 192.0.2.3:443 (tcp, pod push_data-task); and 1 more{NEXT}")),
    ),
    "one in the node's own network": (
        on_node("pull_data-task"),
        (False, NONE, "1 pod not watched", f"{PULL_UNWATCHED}. {UNWATCHED}"),
    ),
    "one there, and one that called": (
        on_node("pull_data-task", modify_data_task=(call(2),)),
        (False, NONE, "1 address tried, and blocked; 1 pod not watched",
         f"task modify_data called 192.0.2.2:443 (tcp, pod modify_data-task){NEXT} {PULL_UNWATCHED}. {UNWATCHED}"),
    ),
    "one there that never ran": (
        on_node("pull_data-task", ran=False), (True, NONE, "none of 6 pods did", ""),
    ),
    "one there where any call is allowed": (
        on_node("pull_data-task", policy=True),
        (True, "any, by the policy's blocked_calls", f"1 pod not watched: {PULL_UNWATCHED}", ""),
    ),
    "by nobody knows whom": (
        given(watch=Watch(unnamed=(call(1),))),
        (False, NONE, "1 address tried by nobody knows whom, and blocked",
         ("whether a pod of the run did could not be established, for nobody knows whose address it was: "
          "10.244.0.9 called 192.0.2.1:443 (tcp).")),
    ),
    "three by nobody knows whom, all of which are shown": (
        given(watch=Watch(unnamed=(call(1), call(2), call(3)))),
        (False, NONE, "3 addresses tried by nobody knows whom, and blocked",
         ("whether a pod of the run did could not be established, for nobody knows whose address it was: "
          "10.244.0.9 called 192.0.2.1:443 (tcp); 10.244.0.9 called 192.0.2.2:443 (tcp); "
          "10.244.0.9 called 192.0.2.3:443 (tcp).")),
    ),
    "by nobody knows whom, where any call is allowed": (
        given(watch=Watch(unnamed=(call(1),)), policy={"blocked_calls": True}),
        (True, "any, by the policy's blocked_calls",
         "1 address tried by nobody knows whom, and blocked: 10.244.0.9 called 192.0.2.1:443 (tcp)", ""),
    ),
    "allowed to try": (
        calling(policy=True, pull_data_task=(call(1),)),
        (True, "any, by the policy's blocked_calls", f"1 address tried, and blocked: {PULL}", ""),
    ),
}  # fmt: skip


def unwatched(facts: Facts) -> Facts:
    return replace(facts[0], traffic_watched=False), facts[1]


def test_where_nobody_watches_nothing_is_said_for_or_against_the_run() -> None:
    verdict = judge(*unwatched(given()))
    (check,) = [one for one in verdict.checks if not one.counts]
    assert (check.id, check.found) == ("traffic.none-outside", "not watched on this target")
    assert not check.passed, "nobody can say so"
    assert not check.evaluated
    assert verdict.green
    assert verdict.failures == ()
    assert verdict.headline == (
        f"green: commit bbbbbbbbbb, {len(verdict.checks) - 1} checks passed; traffic.none-outside: not watched on this "
        "target"
    )


def test_what_nobody_watches_turns_no_red_verdict_green() -> None:
    expectation, evidence = unwatched(given())
    verdict = judge(expectation, replace(evidence, tip_pointer=b"x"))
    assert not verdict.green
    assert [check.id for check in verdict.failures if check.evaluated] == ["pointer.at-tip"]
    assert "traffic.none-outside" not in {check.id for check in verdict.failures}


@pytest.mark.parametrize("what", ROWS)
def test_the_check_tells_who_called_whom(what: str) -> None:
    facts, expected = ROWS[what]
    assert told("traffic.none-outside", facts) == expected


def test_an_attempt_of_nobody_knows_whom_makes_no_run_red_and_none_green() -> None:
    verdict = judge(*given(watch=Watch(unnamed=(call(1),))))
    assert [check.id for check in verdict.undecided] == ["traffic.none-outside"]
    assert not verdict.green
