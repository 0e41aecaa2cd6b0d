"""The *packages* supply: everything from operating-system, Python and Go packages, no container registry.

Bases come from Debian through mmdebstrap, Kubernetes and its tools from Go modules, Airflow, LocalStack and DVC from
Python packages; one node image then holds it all. Steps that do not depend on each other run side by side, and what
exists by its content key is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from harness.assets import asset, package_path
from harness.model import Engine, ImageName, StandIn, Toolchain
from harness.supply.images import BuiltImage, ImageBuilder, Recipe
from harness.supply.locks import KeyLocks
from harness.supply.node import NodeImageMaker
from harness.supply.parallel import Steps, side_by_side
from harness.timeline import Timeline
from harness.versions import Versions

# Downloads wait for the network while the compiler keeps both cores busy.
_PARALLEL = 4

STAND_INS: tuple[StandIn, ...] = (
    StandIn(
        name="git-sync stand-in (airflow-dvc-harness)",
        replaces="registry.k8s.io/git-sync/git-sync:v4.4.2",
        because="git-sync is published as a container image only, and no container registry is used",
    ),
    StandIn(
        name="Airflow image built from Python packages",
        replaces="docker.io/apache/airflow:3.3.2",
        because="the official image is in a container registry only; same Airflow, same provider versions",
    ),
    StandIn(
        # The official image is built from the core of its own version (LocalStack's Dockerfile).
        name="LocalStack image built from Python packages (localstack-core 4.14.0)",
        replaces="docker.io/localstack/localstack:4.14.0",
        because="the official image is in a container registry only; same release, its S3, STS and IAM parts",
    ),
    StandIn(
        name="PostgreSQL 17 from Debian",
        replaces="docker.io/library/postgres:17",
        because="the official image is in a container registry only",
    ),
)


@dataclass(frozen=True, slots=True)
class PackagesSupply:
    """Builds what a run needs.

    Attributes:
        engine: Where images are built and kept.
        builder: Builds images.
        node_maker: Fills the node image.
        timeline: Told of each step.
        tools_dir: Where kind, helm and kubectl are put, below the caches.
        versions: What to build.
        drafts: Folder for what is half made, on the same file system.
        locks: One per thing that is made.
        cancel: Ends every build that is under way; called when one fails or on an interrupt.
        status: Told what is going on.
    """

    engine: Engine
    builder: ImageBuilder
    node_maker: NodeImageMaker
    timeline: Timeline
    tools_dir: Path
    versions: Versions
    drafts: Path
    locks: KeyLocks
    cancel: Callable[[], None]
    status: Callable[[str], None] = lambda _text: None

    def toolchain(self, *, strict_s3: bool) -> Toolchain:
        """Everything for a cluster, built where it does not exist yet.

        Args:
            strict_s3: Whether the strict S3 backend is wanted inside besides LocalStack.

        Raises:
            SupplyError: A part could not be had; the other builds were ended at once.
        """
        with side_by_side(_PARALLEL, cancel=self.cancel) as steps:
            return self._toolchain(steps, strict_s3=strict_s3)

    def _toolchain(self, steps: Steps, *, strict_s3: bool) -> Toolchain:
        versions = self.versions
        bookworm = steps.start(self._base, versions.debian_node)
        trixie = self._base(versions.debian_base)
        tools_recipe = Recipe(
            "go-tools",
            package_path("supply", "images", "go-tools", "Dockerfile"),
            package_path("supply", "go"),
            {"BASE": trixie},
            {"KUBERNETES_VERSION": versions.kubernetes, "HELM_VERSION": versions.helm},
        )
        tools = steps.start(self._build, tools_recipe)
        names = [name for name in _WORKLOADS if strict_s3 or name != "strict-s3"]
        workloads: dict[ImageName, Future[BuiltImage]] = {
            name: steps.start(self._build, _workload(name, trixie)) for name in names
        }
        compiled = tools.result()
        programs = self._export_tools(tools_recipe, compiled)
        control_plane = self._build(_system("control-plane", trixie, compiled, target="control-plane"))
        coredns = self._build(_system("control-plane", trixie, compiled, target="coredns"))
        pause = self._build(_system("pause", None, compiled))
        bare = self._build(
            Recipe(
                "node",
                package_path("supply", "images", "node", "Dockerfile"),
                package_path("supply", "images", "node"),
                {"BASE": bookworm.result(), "TOOLS": compiled},
                {"KUBERNETES_VERSION": versions.kubernetes},
            )
        )
        images: dict[ImageName, BuiltImage] = {name: future.result() for name, future in workloads.items()}
        images["path-helper"] = trixie
        contents = {versions.images[name]: image for name, image in images.items()}
        contents |= {
            f"registry.k8s.io/{name}:{versions.kubernetes}": control_plane
            for name in ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")
        }
        contents[f"registry.k8s.io/etcd:{versions.etcd}-0"] = control_plane
        contents[f"registry.k8s.io/coredns/coredns:{versions.coredns}"] = coredns
        contents[f"registry.k8s.io/pause:{versions.pause}"] = pause
        contents[f"harness/local-path-provisioner:{versions.local_path}"] = control_plane
        with self.timeline.phase("node image") as note:
            node = self.node_maker.make(bare, contents, status=self.status)
            note(f"{len(contents)} images unpacked inside" if node.built else "reused")
        return Toolchain(
            supply="packages",
            engine=self.engine,
            kind=programs["kind"],
            helm=programs["helm"],
            kubectl=programs["kubectl"],
            node_image=node.tag,
            images={name: versions.images[name] for name in images},
            image_digests={name: node.digests[versions.images[name]] for name in images},
            preloaded=frozenset(contents),
            stand_ins=STAND_INS,
            no_chart="published as a Helm archive, in no package registry",
            kubernetes_version=versions.kubernetes,
            engine_images={name: image.tag for name, image in images.items()},
        )

    def _base(self, suite: str) -> BuiltImage:
        with self.timeline.phase(f"Debian {suite}") as note:
            image = self.builder.base(suite, status=self.status)
            note("made" if image.built else "reused")
        return image

    def _build(self, recipe: Recipe) -> BuiltImage:
        found = self.builder.find(recipe.tag)
        if found is not None:
            return BuiltImage(recipe.tag, found, built=False)
        with self.timeline.phase(f"image {recipe.target or recipe.name}") as note:
            image = self.builder.build(recipe, status=self.status)
            note("built" if image.built else "built by another run")
        return image

    def _export_tools(self, recipe: Recipe, image: BuiltImage) -> Mapping[str, Path]:
        """kind, helm and kubectl as programs of the host."""
        folder = self.tools_dir / image.tag.rpartition(":")[2]
        if not folder.is_dir():
            with (
                self.timeline.phase("kind, helm, kubectl"),
                self.locks.holding(f"tools-{folder.name}", "writing kind, helm and kubectl"),
            ):
                if not folder.is_dir():  # else whoever had the lock before has written them
                    self._write_tools(recipe, folder)
        return {name: folder / name for name in ("kind", "helm", "kubectl")}

    def _write_tools(self, recipe: Recipe, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.drafts.mkdir(parents=True, exist_ok=True)
        fresh = self.drafts / folder.name
        self.builder.export(recipe, fresh)
        (fresh / "kubectl").symlink_to("nodekit")
        fresh.rename(folder)


_WORKLOADS: tuple[ImageName, ...] = (
    # The slowest first.
    "airflow", "localstack", "worker", "postgres", "strict-s3", "git-server", "git-sync", "adapter",
)  # fmt: skip
# Built in one Dockerfile, one target each, on one shared layer.
_SERVICE_TARGETS: frozenset[ImageName] = frozenset({"git-server", "git-sync", "adapter"})


def _workload(name: ImageName, base: BuiltImage) -> Recipe:
    images = package_path("supply", "images")
    if name in _SERVICE_TARGETS:
        context = package_path("services", "apps")
        return Recipe("services", images / "services" / "Dockerfile", context, {"BASE": base}, target=name)
    folder = asset("worker-image") if name == "worker" else images / name
    return Recipe(name, folder / "Dockerfile", folder, {"BASE": base})


def _system(name: str, base: BuiltImage | None, tools: BuiltImage, *, target: str | None = None) -> Recipe:
    folder = package_path("supply", "images", name)
    parents = {"TOOLS": tools} if base is None else {"BASE": base, "TOOLS": tools}
    return Recipe(name, folder / "Dockerfile", folder, parents, target=target)
