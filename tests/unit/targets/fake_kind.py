"""A stand-in for kind and docker behind the runner: remembers clusters and networks, creates nothing."""

from __future__ import annotations

from pathlib import Path

from harness.errors import CommandFailed
from tests.fakes import Call, FakeRunner

from .fake_node import FakeNode

_KUBECONFIG = "contexts: [{{name: kind-{name}}}]\n"


class FakeKind(FakeRunner):
    """A `Runner` that plays kind and docker."""

    def __init__(self) -> None:
        super().__init__()
        self.clusters: set[str] = set()
        self.networks: set[str] = set()
        self.foreign: set[str] = set()
        self.node: FakeNode | None = None
        self.rules: list[str] = []
        self.resolvers = "nameserver 192.0.2.53\n"
        self.routes = '[{"dst":"default","gateway":"172.18.0.1","dev":"eth0"}]'
        self.fail_create_with: list[str] = []

    def answer(self, call: Call) -> str:
        command = call.argv
        if command[-3:] == ["nft", "--file", "-"]:
            self.rules.append(str(call.stdin))
        in_node = command[1:4] == ["exec", "--privileged", "--interactive"]
        return self._in_node(command[5:]) if in_node else self._outside(command)

    def piped(self, source: Call, sink: list[str]) -> None:
        if self.node is None:
            raise AssertionError("nothing is piped here")
        self.node.piped(source, sink)

    def _in_node(self, inside: list[str]) -> str:
        match inside:
            case ["cat", _]:
                return self.resolvers
            case ["ip", "-json", *_]:
                return self.routes
            case ["nft", "--file", "-"] | ["tee", _] | ["systemctl", "enable", _]:
                return ""
        raise AssertionError(f"unexpected command in the node {inside}")

    def _outside(self, command: list[str]) -> str:
        match command[1:]:
            case ["get", "clusters"]:
                return "\n".join(self.clusters)
            case ["create", "cluster", "--name", name, "--kubeconfig", kubeconfig, *_]:
                if self.fail_create_with:
                    raise CommandFailed(argv=command, code=1, stdout="", stderr=self.fail_create_with.pop(0))
                self.clusters.add(name)
                Path(kubeconfig).write_text(_KUBECONFIG.format(name=name))
            case ["delete", "cluster", "--name", name, *_]:
                self.clusters.discard(name)
            case ["container", "ls", *_]:
                return "\n".join(self.foreign)
            case ["image" | "version" | "exec", *_] if self.node is not None:
                return self.node.run(command).stdout
            case ["network", "create", *_, name]:
                self.networks.add(name)
            case ["network", "inspect" | "ls" as verb, *_]:
                return "172.18.0.1" if verb == "inspect" else "\n".join(self.networks)
            case ["network", "rm", name]:
                self.networks.discard(name)
            case _:
                raise AssertionError(f"unexpected command {command}")
        return ""
