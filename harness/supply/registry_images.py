"""The images of the registry supply in the engine: pulled by digest, compared afterwards, named as in the cluster.

An image whose digest no published source shows is trusted at its first pull. Its digest is then written to
`<cache>/registry-digests.json` ({"apache/airflow:3.3.2": "sha256:..."}) and is the pin of every later pull.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock

from harness.errors import CommandFailed, SupplyError
from harness.model import Engine
from harness.process import Runner
from harness.supply.pins import Reference
from harness.supply.pulling import Puller

_INSPECT_SECONDS = 60
DIGESTS_FILE = "registry-digests.json"
PULLED_FILE = "registry-pulled.json"


@dataclass(frozen=True, slots=True)
class InEngine:
    """What the engine says of an image.

    Attributes:
        id: Its id: the digest of its configuration (of its manifest in an engine with containerd's image store).
        digests: Digests of the manifests or indexes that it was pulled by.
    """

    id: str
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image that is in the engine under the name it has in the cluster.

    Attributes:
        name: That name.
        reference: Where it comes from, with the digest that was checked.
        id: The engine's id.
        pulled: Whether this call pulled it; False when it was there.
        published: Whether its digest is pinned in `registry-images.toml`; else it was recorded at the first pull.
        retries: How often the pull was tried again.
    """

    name: str
    reference: Reference
    id: str
    pulled: bool
    published: bool
    retries: int = 0

    @property
    def digests(self) -> tuple[str, ...]:
        """What a pod's status may show for it."""
        return tuple(dict.fromkeys(digest for digest in (self.reference.digest, self.id) if digest))


@dataclass(frozen=True, slots=True)
class Ledger:
    """A small JSON object on disk that several runs may change at once.

    Attributes:
        path: The file.
    """

    path: Path

    def read(self) -> dict[str, str]:
        """Its entries.

        Raises:
            SupplyError: It is damaged.
        """
        if not self.path.exists():
            return {}
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(name): str(value) for name, value in data.items()}
        except (ValueError, AttributeError) as error:
            raise SupplyError(
                f"{self.path} is damaged", next_step=f"mend it, or remove it: {self.path.name} is written anew"
            ) from error

    def write(self, **changes: str) -> None:
        """Add or replace entries; the file is replaced whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            text = json.dumps({**self.read(), **changes}, indent=1, sort_keys=True)
            fresh = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self.path)


@dataclass(slots=True)
class RegistryImages:
    """Has images in the engine, pulling what is not there.

    Attributes:
        engine: The engine.
        runner: Runs docker. Outside of the scope that pulls are given up with: what they leave is to be put in order.
        puller: Pulls.
        cache_dir: Where digests are recorded.
        mirrors: Registry host to mirror.
        status: Told what the reader should know.
    """

    engine: Engine
    runner: Runner
    puller: Puller
    cache_dir: Path
    mirrors: Mapping[str, str] = field(default_factory=dict)
    status: Callable[[str], None] = lambda _text: None

    def ensure(self, reference: Reference, *, name: str) -> PulledImage:
        """The image under that name, pulled if it is not there.

        Raises:
            SupplyError: It could not be pulled, or is not the one that was pinned or recorded.
        """
        published = reference.digest is not None
        recorded = None if published else Ledger(self.cache_dir / DIGESTS_FILE).read().get(str(reference))
        if not published:
            known = (
                f"checked against {recorded}, recorded at the first pull" if recorded else "recorded now and trusted"
            )
            self.status(f"{reference}: no published digest is known; {known}")
        wanted = replace(reference, digest=reference.digest or recorded)
        there = self.inspect(name)
        if there is not None and wanted.digest is not None and wanted.digest in there.digests:
            return PulledImage(name, wanted, there.id, pulled=False, published=published)
        source = wanted.mirrored(self.mirrors)
        with self._whole_or_gone(source):
            self.puller.pull(source, wanted=wanted)
            checked = self._checked(source, wanted)
            if not published and recorded is None:
                Ledger(self.cache_dir / DIGESTS_FILE).write(**{str(reference): str(checked.reference.digest)})
            self._name(source, checked.id, name, before=there)
        retries = self.puller.retries.get(str(source), 0)
        return replace(checked, name=name, published=published, retries=retries)

    def inspect(self, name: str) -> InEngine | None:
        """What the engine has under a name, or None."""
        template = '{"id": {{json .Id}}, "digests": {{json .RepoDigests}}}'
        done = self._docker("image", "inspect", "--format", template, name, check=False)
        if not done.strip():
            return None
        data = json.loads(done)
        return InEngine(data["id"], tuple(entry.partition("@")[2] for entry in data["digests"] or ()))

    def tag(self, source: str, name: str) -> None:
        """Give an image of the engine a further name."""
        try:
            self._docker("image", "tag", source, name)
        except CommandFailed as error:
            raise SupplyError(f"{source} could not be named {name}", evidence=error.evidence) from error

    @contextmanager
    def _whole_or_gone(self, source: Reference) -> Iterator[None]:
        """Let what fails in here leave no image that was not there before.

        A pull that is given up may have ended in the engine at that very moment: its image would be there for good,
        under its digest alone, and nobody would ever look for it.
        """
        before = self.inspect(source.to_pull)
        try:
            yield
        except BaseException:
            if before is None and self.inspect(source.to_pull) is not None:
                self._docker("image", "rm", source.to_pull, check=False)
            raise

    def _checked(self, source: Reference, wanted: Reference) -> PulledImage:
        """What was pulled, if it is what was wanted."""
        found = self.inspect(source.to_pull)
        if found is None:
            raise SupplyError(f"the engine does not show {source} after pulling it")
        if wanted.digest is None and len(found.digests) == 0:
            raise SupplyError(f"the engine shows no digest of {source}", next_step="use --supply packages")
        digest = wanted.digest or self._digest_of(source)
        if digest not in found.digests:
            raise SupplyError(
                f"{source} is not the image that is pinned",
                evidence={"expected": str(wanted.digest), "found": ", ".join(found.digests)},
                next_step=f"find out why {source.host} serves another image before you use it",
            )
        return PulledImage("", replace(wanted, digest=digest), found.id, pulled=True, published=True)

    def _digest_of(self, source: Reference) -> str:
        """The digest under which that very repository served it: an image may be known by several."""
        listed = self._docker("image", "inspect", "--format", "{{json .RepoDigests}}", source.to_pull)
        entries = (entry.partition("@") for entry in json.loads(listed))
        return next((digest for name, _at, digest in entries if _same(name, source)), "")

    def _name(self, source: Reference, image_id: str, name: str, *, before: InEngine | None) -> None:
        if before is not None and before.id != image_id:
            self.status(f"{name} in the engine now names {image_id[:19]}; it named {before.id[:19]}")
        self.tag(source.to_pull, name)
        if before is None or before.id != image_id:
            # What was there before under that name is somebody else's; the cache must not evict it.
            Ledger(self.cache_dir / PULLED_FILE).write(**{name: image_id})

    def _docker(self, *arguments: str, check: bool = True) -> str:
        command: list[str | Path] = [self.engine.docker, *arguments]
        return self.runner.run(command, env=self.engine.env, timeout=_INSPECT_SECONDS, check=check).stdout


def _same(name: str, source: Reference) -> bool:
    return Reference.parse(f"{name}:any").repository == source.repository
