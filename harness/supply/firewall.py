"""What a Docker daemon leaves in the host's packet filter, and its removal.

dockerd makes the chains DOCKER*, hooks them into FORWARD, PREROUTING, OUTPUT and POSTROUTING, sets FORWARD's policy to
DROP, and leaves all of it behind when it stops (moby 20.10, libnetwork/iptables). An engine of ours cleans up after
itself, but only where no such chain was there before it came: another Docker's rules are not ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.process import Runner

_TABLES = ("filter", "nat")
_CHAIN = re.compile(r"^:(DOCKER\S*) ", re.MULTILINE)
_FORWARD = re.compile(r"^:FORWARD (\w+) ", re.MULTILINE)
_SECONDS = 30.0
# iptables is where Debian puts it, which a user's PATH may lack.
_PATH = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}


@dataclass(frozen=True, slots=True)
class FilterState:
    """The packet filter before an engine of ours started.

    Attributes:
        untouched: Whether no Docker had left chains there.
        forward_policy: Policy of FORWARD in the filter table.
    """

    untouched: bool
    forward_policy: str


def filter_state(runner: Runner) -> FilterState:
    """The packet filter as it is now."""
    tables = {table: _saved(runner, table) for table in _TABLES}
    policy = _FORWARD.search(tables["filter"])
    untouched = not any(_CHAIN.search(text) for text in tables.values())
    return FilterState(untouched, policy[1] if policy else "ACCEPT")


def clean_filter(runner: Runner, before: FilterState) -> None:
    """Remove the chains of an engine of ours that has stopped, and every rule that jumps to them.

    Raises:
        CommandFailed: iptables refused it.
    """
    if not before.untouched:
        return
    for table in _TABLES:
        saved = _saved(runner, table)
        chains = _CHAIN.findall(saved)
        if not chains:
            continue
        kept = [line for line in saved.splitlines() if line.startswith("-A") and _ours(line, chains)]
        lines = [f"*{table}"]
        lines += [line.replace("-A", "-D", 1) for line in kept]
        lines += [f"-F {chain}" for chain in chains]
        lines += [f"-X {chain}" for chain in chains]
        if table == "filter":
            lines.append(f"-P FORWARD {before.forward_policy}")
        runner.run(
            ["iptables-restore", "--noflush"], env=_PATH, stdin="\n".join([*lines, "COMMIT", ""]), timeout=_SECONDS
        )


def _ours(rule: str, chains: list[str]) -> bool:
    """A rule of one of the host's own chains that exists for a chain of Docker's, or for its default bridge."""
    words = rule.split()
    return words[1] not in chains and any(word in chains for word in words[2:])


def _saved(runner: Runner, table: str) -> str:
    return runner.run(["iptables-save", "-t", table], env=_PATH, timeout=_SECONDS).stdout
