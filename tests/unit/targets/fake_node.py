"""A stand-in for an engine and a node behind the runner: remembers what was imported, runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.imagenames import qualified
from tests.fakes import Call, FakeRunner


@dataclass
class FakeNode(FakeRunner):
    """A `Runner` that plays docker and containerd, and the `Clock` of who waits for them.

    Attributes:
        engine: Image id in the engine by name.
        same_ids: Whether the node calls an image by the engine's id, as with the engine's classic image store.
        taken_in_after: Seconds from an import until the runtime knows of it.
        inside: (id, digest of the manifest) in the node by name in full.
    """

    engine: dict[str, str]
    same_ids: bool = True
    taken_in_after: float = 0.0
    inside: dict[str, tuple[str, str]] = field(default_factory=dict)
    pipes: list[tuple[list[str], list[str]]] = field(default_factory=list)
    now: float = 0.0
    _coming: dict[str, tuple[str, str]] = field(default_factory=dict)
    _due: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def piped(self, source: Call, sink: list[str]) -> None:
        self.pipes.append((source.argv, sink))
        for name in source.argv[2:]:
            image = self.engine[name]
            self._coming[qualified(name)] = (image if self.same_ids else f"{image}-config", f"{image}-manifest")
        self._due = self.now + self.taken_in_after

    def answer(self, call: Call) -> str:
        match call.argv[1:]:
            case ["image", "inspect", "--format", "{{.Id}}", *names]:
                return "".join(f"{self.engine[name]}\n" for name in names)
            case ["version", *_]:
                return "linux/arm64\n"
            case ["exec", "--privileged", _, "containerd", "config", "dump"]:
                return "version = 3\n"
            case ["exec", "--privileged", _, "ctr", "--namespace", "k8s.io", "images", "ls"]:
                if self.now >= self._due:
                    self.inside |= self._coming
                    self._coming = {}
                known = {**self.inside, **self._coming}
                named = {name: manifest for name, (_, manifest) in known.items()}
                named |= dict(self.inside.values())
                rows = [f"{name} application/manifest {target} 1 MiB linux/arm64 -" for name, target in named.items()]
                return "\n".join(["REF TYPE DIGEST SIZE PLATFORMS LABELS", *rows])
        raise AssertionError(f"unexpected command {call.argv}")
