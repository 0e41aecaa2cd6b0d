"""The rules in a real packet filter: what passes, what does not, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.allowlist import Allowed
from harness.errors import CommandFailed
from harness.model import BlockedEgress
from harness.targets.egress import EgressRules, read_set

from .conftest import FAR, NODE, PODS, RESOLVER, WORLD, Net

REFUSED = "EHOSTUNREACH"  # what Linux tells a program of "administratively prohibited"


def rules(net: Net, *allowed: str) -> EgressRules:
    """Rules in force in the node."""

    def inside(*argv: str, stdin: str | None = None) -> str:
        match argv:
            case ["cat", _]:
                return f"nameserver {RESOLVER}\n"
            case ["tee" | "systemctl", *_]:
                return ""
        return net.node(*argv, stdin=stdin)

    made = EgressRules(inside, [Allowed.read(entry) for entry in allowed], "/etc/resolv.conf")
    made.load()
    return made


def tried(found: Sequence[BlockedEgress]) -> set[tuple[str, str, str, int | None]]:
    return {(one.source, one.destination, one.protocol, one.port) for one in found}


def test_the_world_answers_where_no_rules_are(net: Net) -> None:
    """Else the tests below would show nothing."""
    assert {net.talk("a", "tcp", WORLD, 443), net.talk("a", "udp", FAR, 443), net.talk("a", "ping", WORLD)} == {
        "answered"
    }


@pytest.mark.parametrize("kind", ["tcp", "udp", "ping"])
def test_what_leaves_the_node_is_refused_at_once_and_named(net: Net, kind: str) -> None:
    made = rules(net)

    assert net.talk("a", kind, WORLD, 443) == REFUSED
    protocol, port = ("icmp", None) if kind == "ping" else (kind, 443)
    assert tried(made.blocked()) == {(PODS["a"], WORLD, protocol, port)}


def test_each_pod_and_each_target_is_told_apart_and_counted(net: Net) -> None:
    made = rules(net)

    for pod, address, port in (("a", WORLD, 443), ("a", WORLD, 443), ("a", WORLD, 80), ("b", FAR, 443)):
        net.talk(pod, "tcp", address, port)

    found = made.blocked()
    assert tried(found) == {
        (PODS["a"], WORLD, "tcp", 80),
        (PODS["a"], WORLD, "tcp", 443),
        (PODS["b"], FAR, "tcp", 443),
    }
    assert {one.packets for one in found if one.port == 443 and one.source == PODS["a"]} == {2}


@pytest.mark.parametrize(
    ("entry", "reached"),
    [
        (WORLD, {(WORLD, 443), (WORLD, 80)}),
        ("192.0.2.0/25:443", {(WORLD, 443), (RESOLVER, 443)}),
        ("0.0.0.0/0", {(WORLD, 443), (WORLD, 80), (RESOLVER, 443), (FAR, 443)}),
    ],
)
def test_what_is_allowed_passes_and_nothing_else(net: Net, entry: str, reached: set[tuple[str, int]]) -> None:
    made = rules(net, entry)
    everything = {(WORLD, 443), (WORLD, 80), (RESOLVER, 443), (FAR, 443)}

    answers = {place: net.talk("a", "tcp", *place) for place in everything}

    assert {place for place, answer in answers.items() if answer == "answered"} == reached
    assert {(one.destination, one.port) for one in made.blocked()} == everything - reached


def test_names_are_resolved_by_the_nodes_own_name_servers_only(net: Net) -> None:
    made = rules(net)

    assert net.talk("a", "udp", RESOLVER, 53) == net.talk("a", "tcp", RESOLVER, 53) == "answered"
    assert net.talk("a", "udp", RESOLVER, 443) == net.talk("a", "udp", WORLD, 53) == REFUSED
    assert {(one.destination, one.port) for one in made.blocked()} == {(RESOLVER, 443), (WORLD, 53)}


def test_pods_reach_each_other_and_the_node(net: Net) -> None:
    made = rules(net)

    assert net.talk("a", "tcp", PODS["b"], 8080) == "answered"
    assert net.talk("a", "tcp", NODE, 6443) == "answered"
    assert made.blocked() == ()


def test_who_comes_in_is_answered(net: Net) -> None:
    """The harness at a NodePort, and the kubelet's probes."""
    made = rules(net)

    assert net.talk("world", "tcp", PODS["b"], 8080) == "answered"
    assert net.talk("node", "tcp", PODS["b"], 8080) == "answered"
    assert made.blocked() == ()


def test_the_node_itself_and_pods_in_its_network_are_not_limited(net: Net) -> None:
    made = rules(net)

    assert net.talk("node", "tcp", FAR, 443) == "answered"
    assert made.blocked() == ()


@pytest.mark.parametrize("address", ["10.244.0.99", "10.96.0.77"])
def test_an_address_of_the_cluster_that_nobody_has_does_not_leave_it_and_is_no_attempt(net: Net, address: str) -> None:
    made = rules(net)

    assert net.talk("a", "tcp", address, 443) == REFUSED
    assert made.blocked() == ()


def test_a_pod_that_forges_its_address_does_not_get_out(net: Net) -> None:
    made = rules(net)
    net.run("a", "ip", "address", "add", "203.0.113.9/32", "dev", "eth0")
    net.run("a", "ip", "route", "add", f"{FAR}/32", "via", "10.244.0.1", "src", "203.0.113.9")
    try:
        net.talk("a", "tcp", FAR, 443)
    finally:
        net.run("a", "ip", "address", "delete", "203.0.113.9/32", "dev", "eth0")

    assert tried(made.blocked()) == {("203.0.113.9", FAR, "tcp", 443)}


def test_loading_again_replaces_rules_and_what_was_noted(net: Net) -> None:
    rules(net, WORLD)
    net.talk("a", "tcp", FAR, 443)

    again = rules(net)

    assert again.blocked() == ()
    assert net.talk("a", "tcp", WORLD, 443) == REFUSED


def test_rules_that_are_gone_are_not_taken_for_nothing_blocked(net: Net) -> None:
    made = rules(net)
    net.run("node", "nft", "delete", "table", "inet", "harness_egress")

    with pytest.raises(CommandFailed, match=r"harness_egress|No such file"):
        made.blocked()


def test_an_empty_set_of_the_real_program_is_read_as_nothing(net: Net) -> None:
    rules(net)

    listing = net.node("nft", "--json", "--numeric", "list", "set", "inet", "harness_egress", "blocked")

    assert list(read_set(listing)) == []
