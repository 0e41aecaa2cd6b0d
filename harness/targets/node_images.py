"""Images of the engine in a kind node: loaded where the node has another or none, and what a pod will show of them.

Not by `kind load`: that imports every platform of an image, of which an engine with containerd's image store (the
default of new installations since Docker 29) has only its own (https://github.com/kubernetes-sigs/kind/issues/3795).
The import here is kind's own, for the node's platform alone.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.imagenames import qualified
from harness.model import Engine, ImageName
from harness.process import Runner
from harness.wait import Waiter

_LOAD_SECONDS = 900
_QUICK_SECONDS = 60
# The runtime takes an imported image in by an event, a moment after the import has ended.
_TAKEN_IN_SECONDS = 30
_CTR = ("ctr", "--namespace", "k8s.io", "images")
# Where containerd's configuration names its snapshotter: version 3 of the file (containerd 2), then version 2.
_SNAPSHOTTER = (
    ("io.containerd.cri.v1.images", "snapshotter"),
    ("io.containerd.grpc.v1.cri", "containerd", "snapshotter"),
)


@dataclass(frozen=True, slots=True)
class NodeListing:
    """What containerd in a node calls by which name.

    The runtime that the kubelet talks to (containerd's CRI plug-in) names an image that it has taken in by its id, too:
    "sha256:<digest of its configuration>". A pod's status shows the digest of a name of the form "name@sha256:..."
    where the image has one (`ctr images import --digests` gives one), else the id
    (containerd, internal/cri/server/container_status.go, toCRIContainerStatus).

    Attributes:
        targets: Digest of the manifest or index by name.
    """

    targets: Mapping[str, str]

    @classmethod
    def read(cls, listing: str) -> NodeListing:
        """Read what `ctr images ls` prints: a heading, then REF, TYPE, DIGEST and more."""
        rows = (line.split() for line in listing.splitlines()[1:])
        return cls({row[0]: row[2] for row in rows})

    def digests(self, reference: str, wanted: str) -> tuple[str, ...]:
        """The digests that a pod's status may show for an image, the id first; none if it is not there.

        Args:
            reference: Its name.
            wanted: The engine's id: where the node knows that, too, under another manifest, it is the same image.
        """
        target = self.targets.get(qualified(reference))
        if target is None:
            return ()
        ids = [name for name, its in self.targets.items() if name.startswith("sha256:") and its == target]
        if not ids and wanted in self.targets:
            return (wanted, target, self.targets[wanted])
        return (*ids, target)

    def is_known(self, reference: str, wanted: str) -> bool:
        """Whether the runtime has taken the image in."""
        return len(self.digests(reference, wanted)) > 1


@dataclass(slots=True)
class NodeImages:
    """The images of one node.

    Attributes:
        node: The node's container.
        engine: Where images come from.
        runner: Runs docker.
        record: File of what was loaded: by reference, the engine's id and the node's digest.
        status: Told what is going on.
        waiter: Waits until the node's runtime knows what was imported.
    """

    node: str
    engine: Engine
    runner: Runner
    record: Path
    status: Callable[[str], None] = lambda _text: None
    waiter: Waiter = field(default_factory=Waiter)

    def load(self, references: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Bring images into the node as the engine has them, in one archive; those that are there already stay.

        A name alone says little: an image that has changed under its name is loaded again.

        Args:
            references: As the engine names them.

        Returns:
            By reference, the digests of which a pod's status shows one.

        Raises:
            CommandFailed: The engine lacks an image, or the node refused the archive.
            WaitTimeout: The node's runtime does not take an image in.
        """
        wanted = dict(zip(references, self._engine_ids(references), strict=True))
        there = self._there()
        recorded = self._recorded()

        def fits(reference: str) -> bool:
            digests = there.digests(reference, wanted[reference])
            known = recorded.get(reference, {})
            # An engine with containerd's image store calls an image by another digest than the node does.
            same = known.get("engine") == wanted[reference] and known.get("node") in digests
            return wanted[reference] in digests or same

        missing = [reference for reference in references if not fits(reference)]
        if missing:
            changed = [reference for reference in missing if qualified(reference) in there.targets]
            again = f", {len(changed)} of them in place of others of the same name" if changed else ""
            self.status(f"loading {len(missing)} images into the node{again}")
            self._import(missing)

            def strange(found: NodeListing) -> list[str]:
                return [reference for reference in missing if not found.is_known(reference, wanted[reference])]

            there = self.waiter.until(
                "the node's container runtime to take the images in",
                self._there,
                ready=lambda found: not strange(found),
                describe=lambda found: f"still without {', '.join(strange(found))}",
                timeout=_TAKEN_IN_SECONDS,
                interval=0.2,
                next_step=f"docker exec {self.node} {' '.join(_CTR)} ls",
            )
            for reference in missing:
                recorded[reference] = {"engine": wanted[reference], "node": there.targets[qualified(reference)]}
            self.record.write_text(json.dumps(recorded, indent=1), encoding="utf-8")
        return {reference: there.digests(reference, wanted[reference]) for reference in references}

    def shown(
        self, wanted: Mapping[ImageName, str], known: Mapping[ImageName, tuple[str, ...]]
    ) -> dict[ImageName, tuple[str, ...]]:
        """Load images, and add the digests that a pod's status shows of them to those that are known.

        Args:
            wanted: The engine's names of images, by the harness's.
            known: Digests of all images, by the harness's names.

        Raises:
            CommandFailed: As `load`.
            WaitTimeout: Likewise.
        """
        loaded = self.load(tuple(wanted.values()))
        digests = dict(known)
        for name, image in wanted.items():
            # The image's own id stays the last: reports call it by that.
            digests[name] = tuple(dict.fromkeys([*loaded[image], *known[name]][::-1]))[::-1]
        return digests

    def _engine_ids(self, references: Sequence[str]) -> list[str]:
        return self._docker("image", "inspect", "--format", "{{.Id}}", *references).split()

    def _import(self, references: Sequence[str]) -> None:
        platform = self._docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").strip()
        snapshotter = snapshotter_of(self._inside("containerd", "config", "dump"))
        command = [*_CTR, "import", "--digests", "--platform", platform, "--snapshotter", snapshotter, "-"]
        docker = str(self.engine.docker)
        self.runner.pipe(
            [docker, "save", *references],
            [docker, "exec", "--privileged", "--interactive", self.node, *command],
            timeout=_LOAD_SECONDS,
            env=self.engine.env,
        )

    def _recorded(self) -> dict[str, dict[str, str]]:
        """What was loaded; nothing where the file is damaged: images are only loaded once more then."""
        try:
            found = json.loads(self.record.read_text(encoding="utf-8")) if self.record.exists() else {}
            return {str(reference): {**known} for reference, known in found.items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def _there(self) -> NodeListing:
        return NodeListing.read(self._inside(*_CTR, "ls"))

    def _inside(self, *arguments: str) -> str:
        return self._docker("exec", "--privileged", self.node, *arguments)

    def _docker(self, *arguments: str) -> str:
        return self.runner.run([self.engine.docker, *arguments], env=self.engine.env, timeout=_QUICK_SECONDS).stdout


def snapshotter_of(configuration: str) -> str:
    """The snapshotter for which images are unpacked, from what `containerd config dump` prints."""
    plugins = tomllib.loads(configuration).get("plugins", {})
    for path in _SNAPSHOTTER:
        value: Any = plugins
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return value
    return "overlayfs"  # containerd's own default on Linux
