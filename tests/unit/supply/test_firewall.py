from __future__ import annotations

from harness.supply.firewall import FilterState, clean_filter, filter_state
from tests.fakes import Call, FakeRunner

CLEAN = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"
AFTER_DOCKER = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n:DOCKER-USER - [0:0]\n"
    "-A INPUT -i lo -j ACCEPT\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n"
)
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"


class FakeIptables(FakeRunner):
    def __init__(self, filter_table: str) -> None:
        super().__init__()
        self.tables = {"filter": filter_table, "nat": NAT}
        self.restored: list[str] = []

    def answer(self, call: Call) -> str:
        if call.argv[0] == "iptables-restore":
            self.restored.append(str(call.stdin))
            return ""
        return self.tables[call.argv[-1]]


def test_a_filter_without_docker_is_untouched() -> None:
    assert filter_state(FakeIptables(CLEAN)) == FilterState(untouched=True, forward_policy="ACCEPT")


def test_another_dockers_chains_are_seen() -> None:
    assert filter_state(FakeIptables(AFTER_DOCKER)) == FilterState(untouched=False, forward_policy="DROP")


def test_only_our_engines_chains_rules_and_policy_are_taken_back() -> None:
    iptables = FakeIptables(AFTER_DOCKER)

    clean_filter(iptables, FilterState(untouched=True, forward_policy="ACCEPT"))

    assert iptables.restored == [
        (
            "*filter\n-D FORWARD -j DOCKER-USER\n-F DOCKER\n-F DOCKER-USER\n-X DOCKER\n-X DOCKER-USER\n"
            "-P FORWARD ACCEPT\nCOMMIT\n"
        )
    ]


def test_another_dockers_chains_are_left_alone() -> None:
    iptables = FakeIptables(AFTER_DOCKER)

    clean_filter(iptables, FilterState(untouched=False, forward_policy="DROP"))

    assert iptables.restored == []
