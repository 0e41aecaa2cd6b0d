"""A node, two pods and the world outside, as network namespaces of the test's own: the real packet filter, no address
that anybody has (RFC 5737), and no way from any of them to the machine's own network.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.process import SubprocessRunner, which
from harness.targets.egress import Inside

NODE, WORLD = "192.0.2.2", "192.0.2.1"
RESOLVER, FAR = "192.0.2.53", "198.51.100.7"
PODS = {"a": "10.244.0.5", "b": "10.244.0.6"}
_GATEWAY = "10.244.0.1"
_TALK = Path(__file__).with_name("talk.py")
_PATH = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


@dataclass(frozen=True, slots=True)
class Net:
    """The namespaces, by the names "node", "world", "a" and "b"."""

    prefix: str
    runner: SubprocessRunner

    def run(self, where: str, *argv: str, stdin: str | None = None) -> str:
        command = ["ip", "netns", "exec", f"{self.prefix}-{where}", *argv]
        return self.runner.run(command, env=_PATH, stdin=stdin, timeout=20).stdout

    def talk(self, where: str, kind: str, address: str, port: int = 0) -> str:
        return self.run(where, sys.executable, str(_TALK), kind, address, str(port)).strip()

    @property
    def node(self) -> Inside:
        """Runs programs in the node, as `docker exec` does in a real one."""
        return lambda *argv, stdin=None: self.run("node", *argv, stdin=stdin)


def _listen(opened: ExitStack, net: Net, where: str, *places: str) -> None:
    command = ["ip", "netns", "exec", f"{net.prefix}-{where}", sys.executable, str(_TALK), "listen", *places]
    listener = opened.enter_context(
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **_PATH})
    )
    opened.callback(listener.kill)
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    """Pods behind a node as the node image's network plug-in makes it: a veth pair each, masqueraded on the way out."""
    if os.geteuid() != 0 or any(which(name, path=_PATH["PATH"]) is None for name in ("ip", "nft")):
        pytest.skip("making network namespaces takes root, iproute2 and nftables")
    runner = SubprocessRunner()
    net = Net(f"egress-{secrets.token_hex(3)}", runner)

    def ip(*argv: str) -> None:
        runner.run(["ip", *argv], env=_PATH, timeout=20)

    def pair(inner: str, inner_name: str, outer: str, outer_name: str) -> None:
        ip(
            *("link", "add", inner_name, "netns", f"{net.prefix}-{inner}", "type", "veth"),
            *("peer", "name", outer_name, "netns", f"{net.prefix}-{outer}"),
        )
        for where, name in ((inner, inner_name), (outer, outer_name)):
            net.run(where, "ip", "link", "set", name, "up")

    with ExitStack() as opened:
        for where in ("node", "world", *PODS):
            ip("netns", "add", f"{net.prefix}-{where}")
            opened.callback(ip, "netns", "delete", f"{net.prefix}-{where}")
            net.run(where, "ip", "link", "set", "lo", "up")
        pair("node", "eth0", "world", "node0")
        for address in (f"{WORLD}/24", f"{RESOLVER}/24", f"{FAR}/32"):
            net.run("world", "ip", "address", "add", address, "dev", "node0")
        net.run("world", "ip", "route", "add", "10.244.0.0/16", "via", NODE)
        net.run("node", "ip", "address", "add", f"{NODE}/24", "dev", "eth0")
        net.run("node", "ip", "route", "add", "default", "via", WORLD)
        net.run("node", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        # One refusal a second and target by default, which is no matter for a program that tries again.
        net.run("node", "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
        for pod, address in PODS.items():
            pair(pod, "eth0", "node", f"veth{pod}")
            net.run("node", "ip", "address", "add", f"{_GATEWAY}/32", "dev", f"veth{pod}")
            net.run("node", "ip", "route", "add", f"{address}/32", "dev", f"veth{pod}")
            net.run(pod, "ip", "address", "add", f"{address}/32", "dev", "eth0")
            net.run(pod, "ip", "route", "add", f"{_GATEWAY}/32", "dev", "eth0", "scope", "link")
            net.run(pod, "ip", "route", "add", "default", "via", _GATEWAY)
        chain = "type nat hook postrouting priority srcnat; oifname eth0 ip saddr 10.244.0.0/16 masquerade;"
        nat = f"table ip nat {{ chain out {{ {chain} }}; }}"
        net.run("node", "nft", "--file", "-", stdin=nat)
        _listen(opened, net, "world", f"{WORLD}:443", f"{WORLD}:80", f"{RESOLVER}:53", f"{RESOLVER}:443", f"{FAR}:443")
        _listen(opened, net, "node", f"{NODE}:6443")
        _listen(opened, net, "b", f"{PODS['b']}:8080")
        yield net
