"""The supply as a whole, and the choice of a supply, against a real registry."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from harness.errors import SupplyError
from harness.model import Engine, ImageName, PulledName
from harness.names import LABEL_OWNER, OWNER
from harness.process import SubprocessRunner
from harness.processgroup import Scope
from harness.settings import SupplyKind
from harness.supply.cache import Cache
from harness.supply.choose import RegistryProbe, choose
from harness.supply.host import HostConfiguration
from harness.supply.images import REPOSITORY, BuiltImage, ImageBuilder, Recipe
from harness.supply.inuse import InUse
from harness.supply.locks import KeyLocks
from harness.supply.pins import ChartPin, Download, Reference, pins
from harness.supply.pulling import PullFailed, Trouble
from harness.supply.registry import RegistrySupply
from harness.supply.registry_images import DIGESTS_FILE, PULLED_FILE
from harness.timeline import Timeline
from harness.versions import versions

from .conftest import Engineer, Proxy, Registry

CHART = b"an archive"
PINNED: tuple[PulledName, ...] = ("node", "airflow", "postgres", "localstack", "git-sync", "base")


class TinyBuilder(ImageBuilder):
    """Builds nothing: the Dockerfiles need package registries. What it is asked for is what counts here."""

    def __init__(self, engineer: Engineer, folder: Path, in_use: InUse) -> None:
        super().__init__(
            engine=engineer.engine,
            host=HostConfiguration("", None, Path("ca.crt"), {}),
            runner=engineer.runner,
            scratch=folder,
            locks=KeyLocks(folder / "locks"),
            in_use=in_use,
        )
        self.engineer = engineer
        self.recipes: dict[str, Recipe] = {}

    def build(self, recipe: Recipe, *, status: Callable[[str], None] = lambda _text: None) -> BuiltImage:
        self.recipes[recipe.target or recipe.name] = recipe
        self.engineer.make(recipe.tag)
        return BuiltImage(recipe.tag, self.find(recipe.tag) or "", built=True)


@pytest.fixture
def builder(engineer: Engineer, tmp_path: Path) -> Iterator[TinyBuilder]:
    with InUse(tmp_path / "builder", "test").registered() as in_use:
        yield TinyBuilder(engineer, tmp_path / "builder", in_use)


@pytest.fixture
def supply(builder: TinyBuilder, registry: Registry, tmp_path: Path) -> RegistrySupply:
    return supply_from(builder, registry, registry.host, tmp_path)


def supply_from(builder: TinyBuilder, registry: Registry, mirror: str, tmp_path: Path) -> RegistrySupply:
    """Every pinned image is a tiny one in a local registry, which is the mirror of the registries that are named."""
    engineer, scope = builder.engineer, Scope()
    token = secrets.token_hex(4)
    images: dict[PulledName, Reference] = {}
    for name in PINNED:
        pushed = engineer.push(registry.host, f"hub/{token}/{name}")
        host = "registry.k8s.io" if name == "git-sync" else "docker.io"
        digest = None if name == "airflow" else pushed.digest
        images[name] = Reference(host, f"{token}/{name}", pushed.tag, digest)
        engineer.names.update(
            {f"{token}/{name}:1", *(f"{host}/hub/{token}/{name}:1" for host in (registry.host, mirror))}
        )
    names: dict[ImageName, str] = {name: f"harness-test-{token}/{name}:1" for name in versions().images}
    engineer.names.update({*names.values(), f"{REPOSITORY}/registry-base:{token}"})
    programs = tmp_path / "bin"
    programs.mkdir()
    for program, version in {"kind": "v0.33.0", "helm": "v3.20.1+g1", "kubectl": "v1.34.4"}.items():
        (programs / program).write_text(f"#!/bin/sh\necho {program} {version} go1.24.0\n")
        (programs / program).chmod(0o755)
    return RegistrySupply(
        engine=engineer.engine,
        builder=builder,
        runner=engineer.runner.within(scope),
        cleanup=engineer.runner,
        timeline=Timeline(),
        cache_dir=tmp_path / "cache",
        drafts=tmp_path / "cache" / "drafts",
        versions=replace(versions(), images=names, debian_base=token),
        mirrors={"docker.io": f"{mirror}/hub", "registry.k8s.io": f"{mirror}/hub"},
        # The one host besides the registries, which must not be asked for real.
        client=httpx.Client(transport=httpx.MockTransport(lambda _request: httpx.Response(200, content=CHART))),
        tool_path=str(programs),
        pinned=replace(
            pins(),
            images=images,
            chart=ChartPin("1.22.0", Download("https://charts.example/a.tgz", hashlib.sha256(CHART).hexdigest())),
        ),
        scope=scope,
    )


def test_a_toolchain_has_every_image_under_its_name_in_the_cluster(supply: RegistrySupply, engineer: Engineer) -> None:
    toolchain = supply.toolchain(strict_s3=False)
    assert set(toolchain.images) == set(supply.versions.images) - {"strict-s3"}
    assert all(engineer.has(name) for name in (*toolchain.images.values(), toolchain.node_image))
    assert toolchain.engine_images == toolchain.images, "so one can be run beside the node, too"
    assert toolchain.image_digests["postgres"][0] == supply.pinned.images["postgres"].digest
    assert toolchain.stand_ins == ()
    assert toolchain.chart is not None
    assert toolchain.chart.read_bytes() == CHART
    airflow = supply.pinned.images["airflow"]
    assert toolchain.unpinned == (f"{airflow.path}:{airflow.tag}",)
    assert toolchain.kubernetes_version == supply.pinned.images["node"].tag


def test_what_no_registry_has_is_built_on_the_pulled_base(supply: RegistrySupply) -> None:
    supply.toolchain(strict_s3=True)
    assert isinstance(supply.builder, TinyBuilder)
    assert set(supply.builder.recipes) == {"worker", "strict-s3", "git-server", "adapter"}
    bases = {recipe.parents["BASE"].tag for recipe in supply.builder.recipes.values()}
    assert bases == {f"{REPOSITORY}/registry-base:{supply.versions.debian_base}"}


def test_one_image_that_cannot_be_had_fails_the_supply_and_is_named(supply: RegistrySupply) -> None:
    wrong = replace(supply.pinned.images["localstack"], digest="sha256:" + "a" * 64)
    supply.pinned = replace(supply.pinned, images={**supply.pinned.images, "localstack": wrong})
    with pytest.raises(SupplyError, match="localstack"):
        supply.toolchain(strict_s3=False)


@pytest.fixture
def dying(start_registry: Callable[[bool], Registry]) -> Iterator[Proxy]:
    """The way to a registry of its own, both of which a test may kill."""
    proxy = Proxy(start_registry(False))
    yield proxy
    proxy.stop()


def dies_at(proxy: Proxy, part: str, *, before: str = "no path has this") -> None:
    """Let registry and way end in the middle of the first answer at a path that holds `part`.

    Of an image's blobs, a layer: without its configuration the engine gives an image up, a layer it asks for again.
    Nothing at a path that holds `before` is answered until then.
    """
    dead = threading.Event()

    def misbehave(_method: str, path: str, _size: int) -> str:
        if before in path:
            assert dead.wait(60)
        if part not in path or dead.is_set() or is_configuration(proxy.target, path):
            return ""
        proxy.target.process.kill()
        proxy.target.process.wait()
        proxy.server.shutdown()
        proxy.server.socket.close()
        dead.set()
        return "cut"

    proxy.misbehave = misbehave


def is_configuration(registry: Registry, path: str) -> bool:
    """Whether what is asked for is no layer but the configuration of the image `:1`."""
    repository, blobs, digest = path.partition("/blobs/")
    if not blobs:
        return False
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    manifest = httpx.get(f"http://{registry.host}{repository}/manifests/1", headers=accept).json()
    return bool(manifest["config"]["digest"] == digest)


def left_behind(supply: RegistrySupply, engineer: Engineer, host: str) -> list[str]:
    """Half files in the cache, programs that still talk to the host, images of it without a name in the cluster."""
    whole = {DIGESTS_FILE, f"{DIGESTS_FILE}.lock", PULLED_FILE, f"{PULLED_FILE}.lock"}
    files = [
        path.name
        for path in supply.cache_dir.rglob("*")
        if path.is_file() and path.name not in whole and path.read_bytes() != CHART
    ]
    programs = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        programs += [str(process) for word in words if host.encode() in word]
    mine = set(supply.versions.images.values()) | {
        supply_node(supply),
        f"{REPOSITORY}/registry-base:{supply.versions.debian_base}",
    }
    images = []
    for line in engineer.docker("image", "ls", "--no-trunc", "--format", "{{.Repository}} {{.ID}}").splitlines():
        repository, image = line.split()
        if repository.startswith(host):
            names = json.loads(engineer.docker("image", "inspect", "--format", "{{json .RepoTags}}", image))
            images += [] if mine & set(names) else [line]
    return [*files, *programs, *images]


def supply_node(supply: RegistrySupply) -> str:
    node = supply.pinned.images["node"]
    return f"{node.path}:{node.tag}"


@pytest.mark.waits
def test_a_registry_that_dies_between_images_is_named_with_what_was_fetched_and_what_to_do(
    builder: TinyBuilder, engineer: Engineer, dying: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One after the other: base, node, airflow, localstack, postgres, git-sync.
    monkeypatch.setattr("harness.supply.registry._PARALLEL", 1)
    supply = supply_from(builder, dying.target, dying.host, tmp_path)
    dies_at(dying, "/localstack/manifests/")
    with pytest.raises(PullFailed, match=f"{dying.host}/hub/.*/localstack.* could not be pulled") as caught:
        supply.toolchain(strict_s3=False)
    error = caught.value
    assert error.trouble is Trouble.UNREACHABLE
    assert error.evidence["registry"] == dying.host
    assert error.evidence["images that are here"] == (
        "airflow (pulled), base (pulled), node (pulled); they stay for the next run"
    )
    assert "--registry-mirror docker.io=<another mirror>, or --supply packages" in error.next_step
    names = supply.versions.images
    assert engineer.has(names["airflow"])
    assert not any(engineer.has(names[name]) for name in ("localstack", "postgres", "git-sync"))
    assert left_behind(supply, engineer, dying.host) == []


@pytest.mark.waits
@pytest.mark.parametrize("image", ["node", "base"])
def test_a_registry_that_dies_inside_a_layer_ends_the_supply_within_seconds_and_leaves_nothing_half(
    builder: TinyBuilder, engineer: Engineer, dying: Proxy, tmp_path: Path, image: str
) -> None:
    supply = supply_from(builder, dying.target, dying.host, tmp_path)
    # Another image is on its way then: its refusal ends the supply, also where all wait for the base. By itself, the
    # engine would go on asking for the layer for over a minute, as it should where a registry comes back.
    dies_at(dying, f"/{image}/blobs/", before="/airflow/manifests/")
    begun = time.monotonic()
    with pytest.raises(PullFailed, match=f"{dying.host}/hub/"):
        supply.toolchain(strict_s3=False)
    assert time.monotonic() - begun < 20
    names = {"node": supply_node(supply), "base": f"{REPOSITORY}/registry-base:{supply.versions.debian_base}"}
    assert not engineer.has(names[image]), "the other may have arrived whole before"
    assert left_behind(supply, engineer, dying.host) == []


def test_a_registry_that_answers_is_chosen_also_when_it_asks_for_a_login(
    start_registry: Callable[[bool], Registry],
) -> None:
    closed = start_registry(True)
    choice = choose(
        SupplyKind.AUTO, RegistryProbe({"docker.io": closed.host}, hosts=("docker.io",)), minutes=lambda _: 7
    )
    assert choice.kind is SupplyKind.REGISTRY


def test_a_registry_that_is_gone_leads_to_packages_and_is_named(start_registry: Callable[[bool], Registry]) -> None:
    gone = start_registry(False)
    gone.stop()
    choice = choose(
        SupplyKind.AUTO, RegistryProbe({"docker.io": gone.host}, hosts=("docker.io",)), minutes=lambda _: 20
    )
    assert choice.kind is SupplyKind.PACKAGES
    assert gone.host in choice.why


def test_a_silent_registry_costs_no_more_than_the_time_limit() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silent", request=request)

    probe = RegistryProbe(hosts=("docker.io", "registry.k8s.io"), seconds=0.2, transport=httpx.MockTransport(silent))
    assert set(probe().values()) == {"no answer within 0 s"}


class AllBut(AbstractSet[str]):
    """Everything is in use except this: other runs may use this engine, and make images meanwhile."""

    def __init__(self, free: Iterable[str]) -> None:
        self.free = frozenset(free)

    def __contains__(self, name: object) -> bool:
        return name not in self.free

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __and__(self, other: AbstractSet[object]) -> frozenset[str]:
        return frozenset(str(name) for name in other if name in self)

    def __or__(self, other: AbstractSet[object]) -> AllBut:
        return AllBut(name for name in self.free if name not in other)


def test_the_cache_counts_and_evicts_only_what_is_ours(
    engine: Engine, runner: SubprocessRunner, engineer: Engineer, tmp_path: Path
) -> None:
    token = secrets.token_hex(4)
    old, kept, foreign = f"{REPOSITORY}/{token}-old:1", f"{REPOSITORY}/{token}-kept:1", f"{token}-foreign:1"
    for name in (old, kept, foreign):
        changes = (f"LABEL {LABEL_OWNER}={OWNER}",) if name != foreign else ()
        engineer.make(name, size=2_000_000, changes=changes)
    now = datetime(2001, 1, 1, tzinfo=UTC)
    Cache(replace(engine, ours=False), runner, tmp_path, now=lambda: now).touch([old])
    cache = Cache(replace(engine, ours=False), runner, tmp_path, now=lambda: now + timedelta(days=1))
    cache.touch([kept])
    usage = cache.usage()
    mine = [name for image in usage.images for name in image.names if token in name]
    assert mine == [old, kept]
    doomed = next(image for image in usage.images if image.names == (old,))
    assert 2_000_000 <= doomed.unique < 2_100_000
    assert cache.evict(0, keep=AllBut({old, doomed.id})).removed == (old,)
    assert not engineer.has(old)
    assert engineer.has(kept)
    assert engineer.has(foreign)
