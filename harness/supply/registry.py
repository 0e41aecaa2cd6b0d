"""The *registry* supply: pinned images pulled from their registries, pinned programs from PATH or their projects.

What no registry publishes (the worker, the Git server, the adapter, the strict S3) is built from the very Dockerfiles
of the packages supply, on the pulled `debian:trixie-slim`. All images then have the names in the engine that they have
in the cluster; the target loads those that a node lacks in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from harness.assets import asset, package_path
from harness.errors import SupplyError
from harness.model import Engine, ImageName, PulledName, Toolchain
from harness.process import Runner
from harness.processgroup import Scope
from harness.supply.downloads import DOWNLOADS_FOLDER, ChartSupply, Downloader, DownloadFailed, default_client
from harness.supply.images import REPOSITORY, BuiltImage, ImageBuilder, Recipe
from harness.supply.locks import LOCKS_FOLDER, KeyLocks
from harness.supply.parallel import Steps, side_by_side
from harness.supply.pins import Pins, Reference, ToolName, checked_mirrors, pins
from harness.supply.pulling import Puller
from harness.supply.registry_images import PulledImage, RegistryImages
from harness.supply.tools import ToolSupply
from harness.timeline import Timeline
from harness.versions import Versions
from harness.wait import SYSTEM_CLOCK, Clock

# Registries count connections; more pulls at once do not get more bandwidth.
_PARALLEL = 4
# The slowest first.
_PINS: Mapping[ImageName, PulledName] = {
    "airflow": "airflow",
    "localstack": "localstack",
    "postgres": "postgres",
    "git-sync": "git-sync",
}
_BUILT: tuple[ImageName, ...] = ("worker", "strict-s3", "git-server", "adapter")


@dataclass(slots=True)
class RegistrySupply:
    """Pulls, downloads and builds what a run needs.

    Attributes:
        engine: Where images are pulled to, built and kept.
        builder: Builds images.
        runner: Runs programs, in `scope`.
        cleanup: Runs the programs that put in order what was given up; not in `scope`.
        timeline: Told of each step.
        cache_dir: Digests on record, programs and their downloads.
        drafts: Folder for what is half made, on the same file system.
        versions: Names in the cluster.
        mirrors: Registry host to mirror (`--registry-mirror`).
        status: Told what is going on.
        client: For downloads; None for one with the machine's proxies and authorities.
        clock: Time for the pauses between retries.
        tool_path: Where programs are looked for; None for PATH.
        pinned: What is pulled and downloaded.
        locks: One per download; None for some of its own.
        scope: What `runner` and the builder run in; cancelled when a part fails or on an interrupt.
    """

    engine: Engine
    builder: ImageBuilder
    runner: Runner
    cleanup: Runner
    timeline: Timeline
    cache_dir: Path
    drafts: Path
    versions: Versions
    mirrors: Mapping[str, str] = field(default_factory=dict)
    status: Callable[[str], None] = lambda _text: None
    client: httpx.Client | None = None
    clock: Clock = SYSTEM_CLOCK
    tool_path: str | None = None
    pinned: Pins = field(default_factory=pins)
    locks: KeyLocks | None = None
    scope: Scope = field(default_factory=Scope)
    _fetched: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def unpinned(self) -> tuple[Reference, ...]:
        """Images without a published digest: trusted at the first pull, to be named to the user at each use."""
        return tuple(reference for reference in self.pinned.images.values() if reference.digest is None)

    def toolchain(self, *, strict_s3: bool, chart: bool = True) -> Toolchain:
        """Everything for a cluster, had from registries where it is not here yet.

        Args:
            strict_s3: Whether the strict S3 backend is wanted besides LocalStack.
            chart: Whether the official chart is wanted. It alone may be missing: another stands in for it then.

        Raises:
            SupplyError: A part could not be had; says what was fetched by then. Pulls, builds and downloads
                under way are ended.
            UsageError: A mirror is not a host.
        """
        puller = Puller(engine=self.engine, runner=self.runner, status=self.status, clock=self.clock)
        images = RegistryImages(
            engine=self.engine,
            runner=self.cleanup,
            puller=puller,
            cache_dir=self.cache_dir,
            mirrors=checked_mirrors(self.mirrors),
            status=self.status,
        )
        self._fetched.clear()

        def give_up() -> None:
            puller.stop.set()
            self.scope.cancel()

        try:
            # By itself, the engine asks for over a minute for a layer whose registry has died.
            with side_by_side(_PARALLEL, cancel=give_up) as steps:
                return self._toolchain(steps, images, strict_s3=strict_s3, chart=chart)
        except SupplyError as error:
            here = ", ".join(f"{pin} ({how})" for pin, how in sorted(self._fetched.items()))
            error.evidence["images that are here"] = f"{here}; they stay for the next run" if here else "none"
            raise

    def _toolchain(self, steps: Steps, images: RegistryImages, *, strict_s3: bool, chart: bool) -> Toolchain:
        tools = steps.start(self._downloads, chart=chart)
        # The base first: what is built waits for it.
        base = steps.start(self._pull, images, "base", f"{REPOSITORY}/registry-base:{self.versions.debian_base}")
        node = steps.start(self._pull, images, "node", _short(self.pinned.images["node"]))
        pulled: dict[ImageName, Future[PulledImage]] = {
            name: steps.start(self._pull, images, _PINS[name], self.versions.images[name]) for name in _PINS
        }
        trixie = BuiltImage(base.result().name, base.result().id, built=base.result().pulled)
        wanted = [name for name in _BUILT if strict_s3 or name != "strict-s3"]
        built: dict[ImageName, BuiltImage] = {name: self._build(name, trixie, images) for name in wanted}
        images.tag(trixie.tag, self.versions.images["path-helper"])
        programs, official, no_chart = tools.result()
        digests: dict[ImageName, tuple[str, ...]] = {name: future.result().digests for name, future in pulled.items()}
        digests |= {name: (image.id,) for name, image in built.items()}
        digests["path-helper"] = (trixie.id,)
        return Toolchain(
            supply="registry",
            engine=self.engine,
            kind=programs["kind"],
            helm=programs["helm"],
            kubectl=programs["kubectl"],
            node_image=node.result().name,
            images={name: self.versions.images[name] for name in digests},
            image_digests=digests,
            preloaded=frozenset(),
            stand_ins=(),
            kubernetes_version=self.pinned.kubernetes,
            unpinned=tuple(_short(reference) for reference in self.unpinned),
            chart=official,
            no_chart=no_chart,
            engine_images={name: self.versions.images[name] for name in digests},
        )

    def _pull(self, images: RegistryImages, pin: PulledName, name: str) -> PulledImage:
        with self.timeline.phase(f"pull {pin}") as note:
            image = images.ensure(self.pinned.images[pin], name=name)
            words = ["pulled" if image.pulled else "reused"]
            if image.retries:
                words.append(f"{image.retries} retries")
            if not image.published:
                words.append("no published digest: the one of the first pull")
            note(", ".join(words))
        self._fetched[pin] = words[0]
        return image

    def _build(self, name: ImageName, base: BuiltImage, images: RegistryImages) -> BuiltImage:
        recipe = _recipe(name, base)
        found = self.builder.find(recipe.tag)
        if found is not None:
            image = BuiltImage(recipe.tag, found, built=False)
        else:
            with self.timeline.phase(f"image {name}") as note:
                image = self.builder.build(recipe, status=self.status)
                note("built" if image.built else "built by another run")
        images.tag(image.tag, self.versions.images[name])
        return image

    def _downloads(self, *, chart: bool) -> tuple[dict[ToolName, Path], Path | None, str]:
        """Programs, the official chart, and why there is none."""
        client = self.client or default_client()
        locks = self.locks or KeyLocks(self.cache_dir / LOCKS_FOLDER, status=self.status)

        def given_up() -> bool:
            return self.scope.cancelled

        try:
            supply = ToolSupply(
                runner=self.runner,
                cache_dir=self.cache_dir,
                drafts=self.drafts,
                client=client,
                status=self.status,
                clock=self.clock,
                path=self.tool_path,
                locks=locks,
                given_up=given_up,
            )
            with self.timeline.phase("kind, helm, kubectl"):
                programs = {name: supply.get(pin) for name, pin in self.pinned.tools.items()}
            if not chart:
                return programs, None, ""
            downloader = Downloader(self.cache_dir / DOWNLOADS_FOLDER, client, self.status, self.clock, given_up)
            with self.timeline.phase("official chart") as note:
                try:
                    archive = ChartSupply(downloader, locks).get(self.pinned.chart)
                except DownloadFailed as error:
                    note(f"{error.message}; the embedded one stands in")
                    return programs, None, error.message
            return programs, archive, ""
        finally:
            if self.client is None:
                client.close()


def _short(reference: Reference) -> str:
    """As people and kind write it: without Docker Hub's host, without the digest."""
    return str(replace(reference, digest=None)).removeprefix("docker.io/").removeprefix("library/")


def _recipe(name: ImageName, base: BuiltImage) -> Recipe:
    """The Dockerfile of the packages supply, on another base."""
    images = package_path("supply", "images")
    if name in {"git-server", "adapter"}:
        context = package_path("services", "apps")
        return Recipe("services", images / "services" / "Dockerfile", context, {"BASE": base}, target=name)
    folder = asset("worker-image") if name == "worker" else images / name
    return Recipe(name, folder / "Dockerfile", folder, {"BASE": base})
