"""A stand-in for kind and docker behind the runner: remembers clusters and networks, creates nothing."""

from __future__ import annotations

from pathlib import Path

from harness.errors import CommandFailed
from tests.fakes import Call, FakeRunner

from .fake_node import FakeNode

_KUBECONFIG = "contexts: [{{name: kind-{name}}}]\n"


class FakeKind(FakeRunner):
    """A `Runner` that plays kind and docker.

    Attributes:
        clusters: The network of each cluster's one node, by the cluster's name.
        networks: The run on each network's label, by the network's name; empty for one without.
        foreign: Names of further containers, without any label.
        twins: The run on the label of a second network, by its name, which another network has too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clusters: dict[str, str] = {}
        self.networks: dict[str, str] = {}
        self.foreign: set[str] = set()
        self.twins: dict[str, str] = {}
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
        return self._in_node(command[5:]) if in_node else self._outside(call)

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

    def _containers(self, condition: str) -> str:
        by_name = condition.startswith("name=^")
        nodes = {f"{name}-control-plane": (name, inside) for name, inside in self.clusters.items()}
        found = nodes | (dict.fromkeys(self.foreign, ("", "bridge")) if by_name else {})
        wanted = condition[len("name=^") : -1] if by_name else f"{condition.rpartition('=')[2]}-control-plane"
        return "".join(
            f"id of {name}\t{name}\tUp 3 days\t{inside}\t{cluster}\n"
            for name, (cluster, inside) in found.items()
            if name == wanted
        )

    def _network(self, command: list[str]) -> str:
        match command[1:]:
            case ["network", "create", *words, name]:
                if name in self.networks:
                    said = f"Error response from daemon: network with name {name} already exists"
                    raise CommandFailed(argv=command, code=1, stdout="", stderr=said)
                labels = dict(word.split("=", 1) for word in words if word.startswith("harness."))
                self.networks[name] = labels["harness.run"]
            case ["network", "ls", *_]:
                found = [(f"id of {name}", name, run) for name, run in self.networks.items()]
                found += [(f"twin of {name}", name, run) for name, run in self.twins.items()]
                return "".join("\t".join(line) + "\n" for line in found)
            case ["network", "inspect", *_]:
                return "172.18.0.1"
            case ["network", "rm", network]:
                whose = self.twins if network.startswith("twin of ") else self.networks
                del whose[network.removeprefix("id of ").removeprefix("twin of ")]
        return ""

    def _outside(self, call: Call) -> str:
        command = call.argv
        match command[1:]:
            case ["get", "clusters"]:
                return "\n".join(self.clusters)
            case ["create", "cluster", "--name", name, "--kubeconfig", kubeconfig, *_]:
                if self.fail_create_with:
                    raise CommandFailed(argv=command, code=1, stdout="", stderr=self.fail_create_with.pop(0))
                self.clusters[name] = call.env["KIND_EXPERIMENTAL_DOCKER_NETWORK"]
                Path(kubeconfig).write_text(_KUBECONFIG.format(name=name))
            case ["container", "ls", *_]:
                return self._containers(command[command.index("--filter") + 1])
            case ["rm", "--force", "--volumes", node]:
                del self.clusters[node.removeprefix("id of ").removesuffix("-control-plane")]
            case ["image" | "version" | "exec", *_] if self.node is not None:
                return self.node.run(command).stdout
            case ["network", *_]:
                return self._network(command)
            case _:
                raise AssertionError(f"unexpected command {command}")
        return ""
