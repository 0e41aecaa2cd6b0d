"""What pods may send out of a kind node, by the packet filter of the node.

No network plug-in that enforces NetworkPolicy is to be had from package registries, and a policy would say nothing of
what it blocked. The node has nftables with either supply (kind's own node image carries it too), so the rules are
loaded there, and each blocked attempt stays in a set that can be read back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.allowlist import Allowed
from harness.errors import CommandFailed, EnvironmentFailed
from harness.model import BlockedEgress, Engine
from harness.process import Runner

# kind's defaults, said to it again in `kind-cluster.yaml.j2`
# (https://kind.sigs.k8s.io/docs/user/configuration/#pod-subnet).
POD_NETWORK: Final = IPv4Network("10.244.0.0/16")
SERVICE_NETWORK: Final = IPv4Network("10.96.0.0/16")

_FOLDER = Path(__file__).parent
_SECONDS = 60.0
_RULES = "/etc/harness-egress.nft"
_UNIT = "harness-egress.service"
_TABLE = ("inet", "harness_egress")


class Inside(Protocol):
    """Runs a program in the node, and gives back what it prints."""

    def __call__(self, *argv: str, stdin: str | None = None) -> str:
        """Run it; raises `CommandFailed`."""


def inside_node(node: str, *, engine: Engine, runner: Runner) -> Inside:
    """Runs programs in the node's container.

    Args:
        node: Its container.
        engine: Where that runs.
        runner: Runs docker.
    """

    def run(*argv: str, stdin: str | None = None) -> str:
        command: list[str | Path] = [engine.docker, "exec", "--privileged", "--interactive", node, *argv]
        return runner.run(command, env=engine.env, stdin=stdin, timeout=_SECONDS).stdout

    return run


@dataclass(frozen=True, slots=True)
class EgressRules:
    """The rules of one node.

    Attributes:
        inside: Runs programs where the rules are.
        allowed: What pods may reach outside the cluster.
        resolver_file: The file that the kubelet gives to pods with the node's own DNS, such as CoreDNS.
    """

    inside: Inside
    allowed: Sequence[Allowed]
    resolver_file: str

    def load(self) -> None:
        """Put the rules in force, in place of those before them; what was noted of blocked attempts is gone.

        Raises:
            EnvironmentFailed: The node does not take them. Nothing may run without: pods would reach everything.
        """
        rules = render(
            interface=self._interface(),
            resolvers=resolvers(self.inside("cat", self.resolver_file)),
            allowed=self.allowed,
        )
        try:
            self.inside("nft", "--file", "-", stdin=rules)
        except CommandFailed as error:
            raise EnvironmentFailed(
                "the node does not take the rules that keep pods from reaching out",
                evidence={"nft": error.stderr},
                next_step="the kernel must know nf_tables with sets, reject and conntrack: modprobe nf_tables",
            ) from error
        # For the node's next start: the rules themselves do not outlive its network namespace.
        self.inside("tee", _RULES, stdin=rules)
        self.inside("tee", f"/etc/systemd/system/{_UNIT}", stdin=(_FOLDER / _UNIT).read_text(encoding="utf-8"))
        self.inside("systemctl", "enable", _UNIT)

    def blocked(self) -> tuple[BlockedEgress, ...]:
        """What was tried and blocked since the rules were loaded, in a stable order; pods by their address only.

        Raises:
            CommandFailed: The node does not answer, or its rules are gone.
        """
        found = [self._listed("blocked"), self._listed("blocked_portless")]
        return tuple(sorted((entry for entries in found for entry in entries), key=_order))

    def _listed(self, name: str) -> list[BlockedEgress]:
        return list(read_set(self.inside("nft", "--json", "--numeric", "list", "set", *_TABLE, name)))

    def _interface(self) -> str:
        routes = json.loads(self.inside("ip", "-json", "-4", "route", "show", "default") or "[]")
        interfaces = {str(route["dev"]) for route in routes if "dev" in route}
        if len(interfaces) != 1:
            raise EnvironmentFailed(
                "the node has no single way out, so nothing can be kept from taking it",
                evidence={"default routes": ", ".join(sorted(interfaces)) or "none"},
            )
        return interfaces.pop()


def render(*, interface: str, resolvers: Iterable[IPv4Address], allowed: Iterable[Allowed]) -> str:
    """The rules as `nft --file` reads them.

    Args:
        interface: The node's own way out.
        resolvers: Name servers that pods may ask.
        allowed: What else they may reach.
    """
    templates = Environment(loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined)  # noqa: S701 - packet filter rules, not HTML
    return templates.get_template("egress.nft.j2").render(
        interface=interface,
        cluster=[POD_NETWORK, SERVICE_NETWORK],
        resolvers=list(resolvers),
        allowed=list(allowed),
    )


def resolvers(configuration: str) -> tuple[IPv4Address, ...]:
    """The name servers of a resolv.conf(5) that are reached over the network by IPv4."""
    found = []
    for line in configuration.splitlines():
        words = line.split()
        if words[:1] != ["nameserver"] or len(words) == 1:
            continue
        try:
            address = IPv4Address(words[1])
        except AddressValueError:
            continue  # by IPv6, which pods do not have
        if not address.is_loopback:
            found.append(address)
    return tuple(dict.fromkeys(found))


def read_set(listing: str) -> Iterable[BlockedEgress]:
    """Read what `nft --json list set` prints of one of the two sets (libnftables-json(5), element with a counter).

    Raises:
        EnvironmentFailed: It has another form: what was blocked must not be taken for nothing.
    """
    try:
        named = [entry["set"] for entry in json.loads(listing)["nftables"] if "set" in entry]
        return [_entry(element["elem"]) for found in named for element in found.get("elem", ())]
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailed("what the node has blocked cannot be read", evidence={"nft": listing[:2000]}) from error


def _entry(element: Mapping[str, Any]) -> BlockedEgress:
    source, destination, protocol, *port = element["val"]["concat"]
    return BlockedEgress(
        source=str(source),
        destination=str(destination),
        protocol=_PROTOCOLS.get(str(protocol), f"protocol {protocol}"),
        port=int(port[0]) if port else None,
        packets=int(element["counter"]["packets"]),
    )


# As IANA numbers them; nft names some of them only where the machine has /etc/protocols.
_PROTOCOLS: Final[Mapping[str, str]] = {
    "1": "icmp", "icmp": "icmp", "6": "tcp", "tcp": "tcp", "17": "udp", "udp": "udp", "132": "sctp", "sctp": "sctp",
}  # fmt: skip


def _order(entry: BlockedEgress) -> tuple[str, str, str, int]:
    return entry.source, entry.destination, entry.protocol, entry.port or 0
