"""The rules as text, and what is read of them and of the node."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from harness.allowlist import Allowed
from harness.errors import CommandFailed, EnvironmentFailed
from harness.model import BlockedEgress
from harness.targets.egress import EgressRules, read_set, render, resolvers

# What nft 1.0.6 prints of a set after one blocked connection (tests/contract/egress makes it say it).
_LISTED = """{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"set": {"family": "inet", "name": "blocked",
"table": "harness_egress", "elem": [{"elem": {"val": {"concat": ["10.244.0.5", "192.0.2.1", 6, 443]}, "timeout": 86400,
"expires": 86399, "counter": {"packets": 2, "bytes": 120}}}]}}]}"""


@pytest.mark.parametrize(
    ("entry", "network", "port"),
    [
        ("192.0.2.7", "192.0.2.7/32", None),
        ("192.0.2.7:443", "192.0.2.7/32", 443),
        ("10.20.0.0/16", "10.20.0.0/16", None),
        ("10.20.0.0/16:65535", "10.20.0.0/16", 65535),
    ],
)
def test_an_entry_is_an_address_or_a_network_with_a_port_or_without(entry: str, network: str, port: int | None) -> None:
    assert Allowed.read(entry) == Allowed(IPv4Network(network), port)


@pytest.mark.parametrize(
    "entry",
    ["", "example.invalid", "10.20.0.1/16", "192.0.2.7:", "192.0.2.7:0", "192.0.2.7:65536", "192.0.2.7:x", "::1", "a:1",
     "192.0.2.7:443 accept", "192.0.2.7/33", "192.0.2.7:٤"],
)  # fmt: skip
def test_anything_else_is_refused_with_the_form_that_is_taken(entry: str) -> None:
    with pytest.raises(ValueError, match=r"such as 10\.20\.0\.0/16:443"):
        Allowed.read(entry)


def test_name_servers_are_those_that_a_pod_reaches() -> None:
    text = "search a.example\nnameserver 192.0.2.53\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver\n"

    assert resolvers(f"{text}nameserver 192.0.2.53\n") == (IPv4Address("192.0.2.53"),)


def test_rules_without_name_servers_and_exceptions_let_nothing_out() -> None:
    text = render(interface="eth0", resolvers=(), allowed=())

    accepted = [line.strip() for line in text.splitlines() if line.strip().endswith("accept")]
    assert accepted == ['oifname != "eth0" accept', "ct state established,related accept"]


def test_what_is_listed_is_read_with_its_count() -> None:
    assert list(read_set(_LISTED)) == [BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 2)]


@pytest.mark.parametrize("said", ["", "{}", '{"nftables": [{"set": {"elem": [{"elem": {"val": 1}}]}}]}'])
def test_a_listing_of_another_form_is_not_taken_for_nothing(said: str) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        read_set(said)


@pytest.mark.parametrize("routes", ["", "[]", '[{"dev": "eth0"}, {"dev": "eth1"}]'])
def test_a_node_without_one_way_out_is_refused(routes: str) -> None:
    def inside(*argv: str, stdin: str | None = None) -> str:
        del stdin
        return routes if argv[0] == "ip" else ""

    with pytest.raises(EnvironmentFailed, match="no single way out"):
        EgressRules(inside, (), "/etc/resolv.conf").load()


def test_a_node_that_refuses_the_rules_ends_the_run_with_its_words() -> None:
    def inside(*argv: str, stdin: str | None = None) -> str:
        if argv[0] == "nft":
            raise CommandFailed(argv=argv, code=1, stdout="", stderr="Operation not supported")
        return '[{"dev": "eth0"}]' if argv[0] == "ip" else ""

    with pytest.raises(EnvironmentFailed, match="Operation not supported"):
        EgressRules(inside, (), "/etc/resolv.conf").load()
