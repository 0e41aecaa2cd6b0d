from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.process import Completed
from harness.supply.firewall import FilterState, clean_filter, filter_state

CLEAN = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"
AFTER_DOCKER = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n:DOCKER-USER - [0:0]\n"
    "-A INPUT -i lo -j ACCEPT\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n"
)
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"


class FakeIptables:
    def __init__(self, filter_table: str) -> None:
        self.tables = {"filter": filter_table, "nat": NAT}
        self.restored: list[str] = []

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | bytes | None = None,
        timeout: float = 0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        next_step: str = "",
    ) -> Completed:
        if argv[0] == "iptables-restore":
            self.restored.append(str(stdin))
            return Completed(("iptables-restore",), 0, "", "", 0.0)
        return Completed(("iptables-save",), 0, self.tables[str(argv[-1])], "", 0.0)

    def pipe(
        self,
        source: Sequence[str | Path],
        sink: Sequence[str | Path],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        raise AssertionError("nothing is piped here")


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
