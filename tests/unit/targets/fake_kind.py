"""A stand-in for kind and docker behind the runner: remembers clusters and networks, creates nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import CommandFailed
from harness.process import Completed

from .fake_node import FakeNode

_KUBECONFIG = "contexts: [{{name: kind-{name}}}]\n"


class FakeKind:
    """A `Runner` that plays kind and docker."""

    def __init__(self) -> None:
        self.clusters: set[str] = set()
        self.networks: set[str] = set()
        self.foreign: set[str] = set()
        self.node: FakeNode | None = None
        self.rules: list[str] = []
        self.resolvers = "nameserver 192.0.2.53\n"
        self.routes = '[{"dst":"default","gateway":"172.18.0.1","dev":"eth0"}]'
        self.calls: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.fail_create_with: list[str] = []

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
        command = [str(part) for part in argv]
        self.calls.append(command)
        self.environments.append(env or {})
        if command[-3:] == ["nft", "--file", "-"]:
            self.rules.append(str(stdin))
        in_node = command[1:4] == ["exec", "--privileged", "--interactive"]
        said = self._in_node(command[5:]) if in_node else self._answer(command)
        return Completed(tuple(command), 0, said, "", 0.0)

    def pipe(
        self,
        source: Sequence[str | Path],
        sink: Sequence[str | Path],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        if self.node is None:
            raise AssertionError("nothing is piped here")
        self.node.pipe(source, sink, timeout=timeout, env=env)

    def _in_node(self, inside: list[str]) -> str:
        match inside:
            case ["cat", _]:
                return self.resolvers
            case ["ip", "-json", *_]:
                return self.routes
            case ["nft", "--file", "-"] | ["tee", _] | ["systemctl", "enable", _]:
                return ""
        raise AssertionError(f"unexpected command in the node {inside}")

    def _answer(self, command: list[str]) -> str:
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
            case ["network", "ls", *_]:
                return "\n".join(self.networks)
            case ["network", "rm", name]:
                self.networks.discard(name)
            case _:
                raise AssertionError(f"unexpected command {command}")
        return ""
