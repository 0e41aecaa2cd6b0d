"""A host outside the cluster that is the tests' own: a network namespace on the cluster's own network, beside the node.

Nobody else's address is ever tried, and what the packet filter lets through is seen by the one it was meant for.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from harness.model import Cluster, Engine
from harness.process import Runner

PORT = 443
# Nobody tries it but the control, which shows that the way is open but for the filter.
CONTROL_PORT = 8443
_WITNESS = Path(__file__).with_name("witness.py")
_PATH = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


@dataclass(frozen=True, slots=True)
class Outside:
    """The host.

    Attributes:
        address: Where it is.
        witness: The program that answers and counts.
    """

    address: str
    witness: subprocess.Popen[str]

    def seen(self) -> Mapping[str, int]:
        """How many packets came for it, by "protocol/port"; ends it."""
        told, _ = self.witness.communicate(timeout=20)
        found: Mapping[str, int] = json.loads(told)
        return found


@contextmanager
def host_outside(cluster: Cluster, *, engine: Engine, runner: Runner) -> Iterator[Outside]:
    """Put a host beside the node, until the block ends. Takes root and iproute2.

    Args:
        cluster: Whose network.
        engine: Where its node runs; on this machine.
        runner: Runs docker and ip.
    """
    told = runner.run([engine.docker, "network", "inspect", cluster.name], env=engine.env, timeout=20).stdout
    (network,) = json.loads(told)
    (subnet,) = (IPv4Network(one["Subnet"]) for one in network["IPAM"]["Config"] if ":" not in one["Subnet"])
    taken = {IPv4Interface(one["IPv4Address"]).ip for one in network["Containers"].values()}
    address = next(one for one in reversed(list(subnet.hosts())) if one not in taken)
    bridge = (network.get("Options") or {}).get("com.docker.network.bridge.name") or f"br-{network['Id'][:12]}"
    name = f"outside-{secrets.token_hex(3)}"

    def ip(*argv: str) -> None:
        runner.run(["ip", *argv], env=_PATH, timeout=20)

    with ExitStack() as opened:
        ip("netns", "add", name)
        opened.callback(ip, "netns", "delete", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", name, "master", bridge, "up")
        ip("-n", name, "address", "add", f"{address}/{subnet.prefixlen}", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", name, "link", "set", device, "up")
        command = ["ip", "netns", "exec", name, sys.executable, str(_WITNESS), str(address), str(PORT)]
        witness = opened.enter_context(
            subprocess.Popen(
                [*command, str(CONTROL_PORT)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **_PATH},
            )
        )  # fmt: skip
        opened.callback(witness.kill)
        assert witness.stdout is not None
        assert witness.stdout.readline() == "ready\n"
        yield Outside(str(address), witness)
